# A trail of what changes something, where the Region has none. The first copy is free, its storage is not.

locals {
  own_trail = var.cloudtrail_events == "of-own-trail" ? { trail = true } : {}
}

resource "aws_cloudtrail" "own" {
  for_each                      = local.own_trail
  name                          = "${var.name}-trail"
  s3_bucket_name                = aws_s3_bucket.trail[each.key].id
  enable_logging                = true
  is_multi_region_trail         = false
  include_global_service_events = false
  enable_log_file_validation    = true
  tags                          = local.tags

  event_selector {
    read_write_type           = "WriteOnly"
    include_management_events = true
  }

  depends_on = [aws_s3_bucket_policy.trail]
}

# A bucket that is not empty is not destroyed: what a trail wrote is for you to keep or not.
resource "aws_s3_bucket" "trail" {
  for_each      = local.own_trail
  bucket_prefix = "${substr(lower(var.name), 0, 30)}-trail-"
  tags          = local.tags
}

resource "aws_s3_bucket_server_side_encryption_configuration" "trail" {
  for_each = local.own_trail
  bucket   = aws_s3_bucket.trail[each.key].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "trail" {
  for_each                = local.own_trail
  bucket                  = aws_s3_bucket.trail[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "trail" {
  for_each = local.own_trail
  bucket   = aws_s3_bucket.trail[each.key].id

  rule {
    id     = "expire"
    status = "Enabled"
    filter {}

    expiration {
      days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_policy" "trail" {
  for_each = local.own_trail
  bucket   = aws_s3_bucket.trail[each.key].id
  policy   = local.trail_policy
}
