# Every policy of the module. Made by `python -m tools.stack_policies` from keyturn.policies.stack, as those
# of infra/template.yaml are; `keyturn policy` prints the same statements. Change them there.

locals {
  # One empty prefix begins every name.
  watched_prefixes = coalescelist(var.name_prefixes, [""])

  listener_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "LookAtSecrets"
          Effect   = "Allow"
          Action   = "secretsmanager:DescribeSecret"
          Resource = [for prefix in local.watched_prefixes : "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${prefix}*"]
        },
        {
          Sid      = "ListSecrets"
          Effect   = "Allow"
          Action   = "secretsmanager:ListSecrets"
          Resource = "*"
        },
        {
          Sid      = "KeepMarkers"
          Effect   = "Allow"
          Action   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem"]
          Resource = aws_dynamodb_table.markers.arn
        },
      ],
      [
        for clause in [{
          Sid      = "ListParameters"
          Effect   = "Allow"
          Action   = "ssm:DescribeParameters"
          Resource = "*"
        }] : clause if length(var.parameter_prefixes) > 0
      ],
      [
        {
          Sid      = "WriteItsLog"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.listener.arn}:*"
        },
        {
          Sid      = "SetFailuresAside"
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = aws_sqs_queue.undelivered.arn
        },
      ],
      [
        for clause in [{
          Sid       = "UseTableKey"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
          Resource  = var.table_key_arn
          Condition = { StringEquals = { "kms:ViaService" = "dynamodb.${local.region}.amazonaws.com" } }
        }] : clause if var.table_key_arn != null
      ],
    )
  })

  counter_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "LookAtSecrets"
          Effect   = "Allow"
          Action   = "secretsmanager:DescribeSecret"
          Resource = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:*"
        },
        {
          Sid      = "ListSecrets"
          Effect   = "Allow"
          Action   = "secretsmanager:ListSecrets"
          Resource = "*"
        },
        {
          Sid      = "CountReports"
          Effect   = "Allow"
          Action   = "dynamodb:Scan"
          Resource = [join("", aws_dynamodb_table.convergence[*].arn)]
        },
      ],
      [
        for clause in [{
          Sid      = "ListParameters"
          Effect   = "Allow"
          Action   = "ssm:DescribeParameters"
          Resource = "*"
        }] : clause if length(var.parameter_prefixes) > 0
      ],
      [
        {
          Sid      = "WriteItsLog"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${join("", aws_cloudwatch_log_group.counter[*].arn)}:*"]
        },
      ],
      [
        for clause in [{
          Sid       = "UseTableKey"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:DescribeKey"]
          Resource  = var.table_key_arn
          Condition = { StringEquals = { "kms:ViaService" = "dynamodb.${local.region}.amazonaws.com" } }
        }] : clause if var.table_key_arn != null
      ],
    )
  })

  reader_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid       = "ReadMarkers"
          Effect    = "Allow"
          Action    = ["dynamodb:BatchGetItem", "dynamodb:GetItem"]
          Resource  = aws_dynamodb_table.markers.arn
          Condition = { "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = concat(["head", "head#*"], [for prefix in local.watched_prefixes : "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${prefix}*"], ["arn:${local.partition}:ssm:${local.region}:${local.account}:parameter/*", "arn:${local.partition}:ssm:${local.region}::parameter/aws/service/*"]) } }
        },
      ],
      [
        for clause in [{
          Sid      = "FindTable"
          Effect   = "Allow"
          Action   = "ssm:GetParameter"
          Resource = "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${var.table_parameter}"
        }] : clause if var.create_table_parameter
      ],
      [
        for clause in [{
          Sid      = "ReportVersions"
          Effect   = "Allow"
          Action   = "dynamodb:PutItem"
          Resource = [join("", aws_dynamodb_table.convergence[*].arn)]
        }] : clause if var.convergence
      ],
      [
        for clause in [{
          Sid       = "UseTableKey"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:DescribeKey"]
          Resource  = var.table_key_arn
          Condition = { StringEquals = { "kms:ViaService" = "dynamodb.${local.region}.amazonaws.com" } }
        }] : clause if var.table_key_arn != null
      ],
      [
        for clause in [{
          Sid       = "UseTableKeyToReport"
          Effect    = "Allow"
          Action    = ["kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
          Resource  = var.table_key_arn
          Condition = { StringEquals = { "kms:ViaService" = "dynamodb.${local.region}.amazonaws.com" } }
        }] : clause if var.convergence && var.table_key_arn != null
      ],
    )
  })

  table_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        for clause in [{
          Sid       = "ReadFromAccounts"
          Effect    = "Allow"
          Principal = { AWS = var.reader_accounts }
          Action    = ["dynamodb:BatchGetItem", "dynamodb:GetItem"]
          Resource  = "*"
        }] : clause if length(var.reader_accounts) > 0
      ],
      [
        for clause in [{
          Sid       = "ReadFromOrganization"
          Effect    = "Allow"
          Principal = "*"
          Action    = ["dynamodb:BatchGetItem", "dynamodb:GetItem"]
          Resource  = "*"
          Condition = { StringEquals = { "aws:PrincipalOrgID" = var.reader_organization } }
        }] : clause if var.reader_organization != null
      ],
    )
  })

  undelivered_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid       = "TakeEvents"
          Effect    = "Allow"
          Principal = { Service = "events.amazonaws.com" }
          Action    = "sqs:SendMessage"
          Resource  = aws_sqs_queue.undelivered.arn
          Condition = { ArnEquals = { "aws:SourceArn" = [for rule in merge(aws_cloudwatch_event_rule.listener, aws_cloudwatch_event_rule.counter) : rule.arn] } }
        },
        {
          Sid       = "RefuseWithoutTLS"
          Effect    = "Deny"
          Principal = "*"
          Action    = "sqs:*"
          Resource  = aws_sqs_queue.undelivered.arn
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
      ],
    )
  })

  trail_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid       = "LookAtBucket"
          Effect    = "Allow"
          Principal = { Service = "cloudtrail.amazonaws.com" }
          Action    = "s3:GetBucketAcl"
          Resource  = [join("", values(aws_s3_bucket.trail)[*].arn)]
          Condition = { ArnLike = { "aws:SourceArn" = "arn:${local.partition}:cloudtrail:${local.region}:${local.account}:trail/*" } }
        },
        {
          Sid       = "WriteLog"
          Effect    = "Allow"
          Principal = { Service = "cloudtrail.amazonaws.com" }
          Action    = "s3:PutObject"
          Resource  = ["${join("", values(aws_s3_bucket.trail)[*].arn)}/AWSLogs/${local.account}/*"]
          Condition = { ArnLike = { "aws:SourceArn" = "arn:${local.partition}:cloudtrail:${local.region}:${local.account}:trail/*" }, StringEquals = { "s3:x-amz-acl" = "bucket-owner-full-control" } }
        },
        {
          Sid       = "RefuseWithoutTLS"
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:*"
          Resource  = [join("", values(aws_s3_bucket.trail)[*].arn), "${join("", values(aws_s3_bucket.trail)[*].arn)}/*"]
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
      ],
    )
  })
}
