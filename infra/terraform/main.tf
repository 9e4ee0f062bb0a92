# The marker table and the rotation listener that keeps it, as infra/template.yaml has them.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.id
  tags      = merge({ application = "keyturn" }, var.tags)
}

# The sweep rebuilds every marker, so losing the table costs time and never a secret.
resource "aws_dynamodb_table" "markers" {
  name                        = "${var.name}-markers"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  deletion_protection_enabled = var.deletion_protection
  tags                        = local.tags

  attribute {
    name = "pk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  # Of markers whose secrets are gone.
  ttl {
    attribute_name = "expires_at_s"
    enabled        = true
  }

  dynamic "server_side_encryption" {
    for_each = var.table_key_arn[*]
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
}

# Other accounts may give their roles the reads of a reader. "*" is the table that the policy is attached to.
resource "aws_dynamodb_resource_policy" "markers" {
  count        = local.is_shared ? 1 : 0
  resource_arn = aws_dynamodb_table.markers.arn
  policy       = local.table_policy

  lifecycle {
    precondition {
      condition     = length(var.reader_accounts) > 0 || var.reader_organization != null
      error_message = "create_table_policy needs reader_accounts or reader_organization."
    }
  }
}

locals {
  is_shared = var.create_table_policy != null ? var.create_table_policy : length(var.reader_accounts) > 0 || var.reader_organization != null
}

resource "aws_ssm_parameter" "marker_table" {
  count       = var.create_table_parameter ? 1 : 0
  name        = var.table_parameter
  description = "The name of keyturn's marker table in this account and Region."
  type        = "String"
  value       = aws_dynamodb_table.markers.name
  tags        = local.tags
}

# A table of its own: who reports may not write a marker. Its items end by themselves.
resource "aws_dynamodb_table" "convergence" {
  count        = var.convergence ? 1 : 0
  name         = "${var.name}-convergence"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  tags         = local.tags

  attribute {
    name = "pk"
    type = "S"
  }

  ttl {
    attribute_name = "expires_at_s"
    enabled        = true
  }

  dynamic "server_side_encryption" {
    for_each = var.table_key_arn[*]
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
}

# Fetched by curl where terraform runs, when the URL, the hash or the name changes, and when there is one function more
# or less. Nothing but what has the hash is kept. On a runner that begins empty the file is not there any more: it is
# needed only for a function that has to be made anew, and then `terraform apply -replace` of this resource fetches it.
resource "terraform_data" "listener_zip" {
  count            = local.is_fetched ? 1 : 0
  triggers_replace = [var.listener_zip_url, var.listener_zip_sha256, var.name, var.convergence]

  provisioner "local-exec" {
    command = <<-EOT
      curl --fail --silent --show-error --location --max-time 120 --create-dirs --output "$FILE" "$URL" || exit 1
      found=$( (sha256sum "$FILE" 2>/dev/null || shasum -a 256 "$FILE") | cut -c1-64)
      if [ "$found" != "$SHA256" ]; then
        rm -f "$FILE"
        echo "What listener_zip_url gave has the SHA-256 $found and not listener_zip_sha256: it is not deployed." >&2
        exit 1
      fi
    EOT
    environment = {
      FILE   = "${local.fetched}/${self.id}.zip"
      URL    = var.listener_zip_url
      SHA256 = var.listener_zip_sha256
    }
  }
}

locals {
  # By the hash and not by the URL, which may be known only after the apply.
  is_fetched = var.listener_zip_sha256 != null
  fetched    = "${path.root}/.terraform/keyturn"
}

resource "aws_lambda_function" "listener" {
  function_name                  = "${var.name}-listener"
  description                    = "Turns the events about secrets into markers, and sweeps for what no event announced."
  filename                       = local.is_fetched ? "${local.fetched}/${one(terraform_data.listener_zip[*].id)}.zip" : var.listener_zip
  source_code_hash               = var.listener_zip == null ? null : filebase64sha256(var.listener_zip)
  s3_bucket                      = var.code_bucket
  s3_key                         = var.code_key
  s3_object_version              = var.code_s3_object_version
  handler                        = "rotation_listener.handler.handler"
  runtime                        = var.runtime
  architectures                  = ["arm64"]
  memory_size                    = 256
  timeout                        = 300
  reserved_concurrent_executions = var.reserved_concurrency
  role                           = aws_iam_role.listener.arn
  tags                           = local.tags

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.listener.name
  }

  environment {
    variables = {
      KEYTURN_MARKER_TABLE       = aws_dynamodb_table.markers.name
      KEYTURN_STACK              = var.name
      KEYTURN_NAME_PREFIXES      = join(",", var.name_prefixes)
      KEYTURN_SECRET_TAG         = var.secret_tag
      KEYTURN_PARAMETER_PREFIXES = join(",", var.parameter_prefixes)
      KEYTURN_SETTLE_S           = tostring(var.settle_seconds)
      KEYTURN_HEAD_COPIES        = tostring(var.head_copies)
      KEYTURN_PACE_S             = tostring(var.pace_seconds)
    }
  }

  lifecycle {
    precondition {
      condition = length([for is_given in [
        var.listener_zip != null,
        var.listener_zip_url != null && var.listener_zip_sha256 != null,
        var.code_bucket != null && var.code_key != null,
      ] : is_given if is_given]) == 1
      error_message = "Give listener_zip, or listener_zip_url and listener_zip_sha256, or code_bucket and code_key."
    }
  }

  # Without its rights the first event would fail.
  depends_on = [aws_iam_role_policy.listener]
}

# Events on which the listener failed three times.
resource "aws_lambda_function_event_invoke_config" "listener" {
  function_name                = aws_lambda_function.listener.function_name
  qualifier                    = "$LATEST"
  maximum_event_age_in_seconds = 3600
  maximum_retry_attempts       = 2

  destination_config {
    on_failure {
      destination = aws_sqs_queue.undelivered.arn
    }
  }
}

resource "aws_cloudwatch_log_group" "listener" {
  name              = "/aws/lambda/${var.name}-listener"
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

resource "aws_iam_role" "listener" {
  name_prefix          = "${var.name}-"
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# Version ids and labels only. There is no GetSecretValue here, and no need of it.
resource "aws_iam_role_policy" "listener" {
  name   = "listener"
  role   = aws_iam_role.listener.id
  policy = local.listener_policy
}

# What a process needs beside secretsmanager:GetSecretValue to use keyturn's markers.
resource "aws_iam_policy" "reader" {
  name_prefix = "${var.name}-reader-"
  description = "What a process needs beside secretsmanager:GetSecretValue to use keyturn's markers."
  tags        = local.tags
  policy      = local.reader_policy
}
