# A rotation function of yours, with the least that it needs, as infra/rotation.yaml has it.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.id
  suffix    = data.aws_partition.current.dns_suffix
  tags      = merge({ application = "keyturn" }, var.tags)

  # AWS's rotation templates read the second one.
  wrapped = var.wrapped_handler == "" ? {} : {
    KEYTURN_HANDLER          = var.wrapped_handler
    SECRETS_MANAGER_ENDPOINT = "https://secretsmanager.${local.region}.${local.suffix}"
  }
}

resource "aws_lambda_function" "function" {
  function_name     = var.name
  description       = "Rotates a secret, and announces each step."
  filename          = var.function_zip
  source_code_hash  = var.function_zip == null ? null : filebase64sha256(var.function_zip)
  s3_bucket         = var.code_bucket
  s3_key            = var.code_key
  s3_object_version = var.code_s3_object_version
  handler           = var.handler
  runtime           = var.runtime
  architectures     = [var.architecture]
  layers            = var.layers
  memory_size       = 256
  timeout           = var.timeout_seconds
  role              = aws_iam_role.function.arn
  tags              = local.tags

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.function.name
  }

  dynamic "vpc_config" {
    for_each = length(var.subnet_ids) > 0 ? [true] : []
    content {
      subnet_ids         = var.subnet_ids
      security_group_ids = var.security_group_ids
    }
  }

  environment {
    variables = merge(
      { KEYTURN_MARKER_TABLE = var.marker_table },
      var.convergence_table == "" ? {} : { KEYTURN_CONVERGENCE_TABLE = var.convergence_table },
      local.wrapped,
      var.environment,
    )
  }

  lifecycle {
    precondition {
      condition     = (var.function_zip != null) != (var.code_bucket != null && var.code_key != null)
      error_message = "Give function_zip, or code_bucket and code_key."
    }
  }

  # Without its rights Lambda could not attach it to a network, and the first step would fail.
  depends_on = [aws_iam_role_policy.rotation]
}

# Of this account's secrets alone. The function itself refuses a secret that names another rotation function.
resource "aws_lambda_permission" "rotation" {
  statement_id   = "SecretsManager"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.function.function_name
  principal      = "secretsmanager.amazonaws.com"
  source_account = local.account
}

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

resource "aws_iam_role" "function" {
  name_prefix          = "${substr(var.name, 0, 37)}-"
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

resource "aws_iam_role_policy" "rotation" {
  name   = "rotation"
  role   = aws_iam_role.function.id
  policy = local.rotation_policy
}

# Between setSecret and finishSecret a single user's old password is refused, so a step that failed matters at once.
resource "aws_cloudwatch_metric_alarm" "failures" {
  alarm_name          = "${var.name}-failures"
  alarm_description   = "A step of a rotation failed; the function's log says why. Secrets Manager tries the rotation again."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arn[*]
  ok_actions          = var.alarm_topic_arn[*]
  tags                = local.tags
}
