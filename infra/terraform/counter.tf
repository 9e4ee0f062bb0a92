# The counting of the environments that have not followed a rotation, where they report what they hold. It is a
# function of its own, with a role of its own: it reads reports, and may neither write a marker nor read a value.

locals {
  # By the names of infra/template.yaml.
  counting       = var.convergence ? { Count = "rate(5 minutes)" } : {}
  counter_alarms = var.convergence ? { BehindAlarm = var.behind_seconds } : {}
  counter_metrics = {
    for name, field in {
      Environments = "environments"
      Behind       = "behind"
      OldestBehind = "oldest_behind_s"
    } : name => field if var.convergence
  }
}

resource "aws_ssm_parameter" "convergence_table" {
  count       = var.convergence && var.create_convergence_table_parameter ? 1 : 0
  name        = var.convergence_table_parameter
  description = "The name of keyturn's convergence table in this account and Region."
  type        = "String"
  value       = aws_dynamodb_table.convergence[0].name
  tags        = local.tags
}

resource "aws_lambda_function" "counter" {
  count             = var.convergence ? 1 : 0
  function_name     = "${var.name}-counter"
  description       = "Counts how many environments have not followed a rotation."
  filename          = aws_lambda_function.listener.filename
  source_code_hash  = var.listener_zip == null ? null : filebase64sha256(var.listener_zip)
  s3_bucket         = var.code_bucket
  s3_key            = var.code_key
  s3_object_version = var.code_s3_object_version
  handler           = "rotation_listener.counter.handler"
  runtime           = var.runtime
  architectures     = ["arm64"]
  memory_size       = 512
  timeout           = 240
  role              = aws_iam_role.counter[0].arn
  tags              = local.tags

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.counter[0].name
  }

  environment {
    variables = {
      KEYTURN_STACK              = var.name
      KEYTURN_CONVERGENCE_TABLE  = aws_dynamodb_table.convergence[0].name
      KEYTURN_NAME_PREFIXES      = join(",", var.name_prefixes)
      KEYTURN_SECRET_TAG         = var.secret_tag
      KEYTURN_PARAMETER_PREFIXES = join(",", var.parameter_prefixes)
    }
  }

  depends_on = [aws_iam_role_policy.counter]
}

# A late count is worth nothing: the next one is due.
resource "aws_lambda_function_event_invoke_config" "counter" {
  count                        = var.convergence ? 1 : 0
  function_name                = aws_lambda_function.counter[0].function_name
  qualifier                    = "$LATEST"
  maximum_event_age_in_seconds = 240
  maximum_retry_attempts       = 0
}

resource "aws_cloudwatch_log_group" "counter" {
  count             = var.convergence ? 1 : 0
  name              = "/aws/lambda/${var.name}-counter"
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

resource "aws_iam_role" "counter" {
  count                = var.convergence ? 1 : 0
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

resource "aws_iam_role_policy" "counter" {
  count  = var.convergence ? 1 : 0
  name   = "counter"
  role   = aws_iam_role.counter[0].id
  policy = local.counter_policy
}

resource "aws_cloudwatch_event_rule" "counter" {
  for_each            = local.counting
  name                = "${var.name}-${each.key}"
  description         = "Counts how many environments have not followed a rotation."
  schedule_expression = each.value
  tags                = local.tags
}

resource "aws_cloudwatch_event_target" "counter" {
  for_each  = local.counting
  rule      = aws_cloudwatch_event_rule.counter[each.key].name
  target_id = "counter"
  arn       = aws_lambda_function.counter[0].arn
  input     = "{\"keyturn\": \"count\"}"

  retry_policy {
    maximum_event_age_in_seconds = 240
    maximum_retry_attempts       = 2
  }

  dead_letter_config {
    arn = aws_sqs_queue.undelivered.arn
  }
}

resource "aws_lambda_permission" "counter" {
  for_each      = local.counting
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.counter[0].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.counter[each.key].arn
}

# The counter logs one JSON object a line.
resource "aws_cloudwatch_log_metric_filter" "counter" {
  for_each       = local.counter_metrics
  name           = each.key
  log_group_name = aws_cloudwatch_log_group.counter[0].name
  pattern        = "{ $.${each.value} >= 0 }"

  metric_transformation {
    namespace  = local.namespace
    dimensions = { Stack = "$.stack" }
    name       = each.key
    value      = "$.${each.value}"
    unit       = each.key == "OldestBehind" ? "Seconds" : "None"
  }
}

# Without data it is of no opinion, and says so: a new stack is silent, and a counting that stops is told.
resource "aws_cloudwatch_metric_alarm" "counter" {
  for_each                  = local.counter_alarms
  alarm_name                = "${var.name}-${each.key}"
  alarm_description         = "The last rotation of a secret did not reach every environment in the time of BehindSeconds; the counter's log names the secret. Without data nobody counts. See: keyturn help runbook"
  namespace                 = local.namespace
  dimensions                = local.stack
  metric_name               = "OldestBehind"
  statistic                 = "Maximum"
  period                    = 900
  evaluation_periods        = 1
  comparison_operator       = "GreaterThanThreshold"
  threshold                 = each.value
  treat_missing_data        = "missing"
  alarm_actions             = var.alarm_topic_arn[*]
  ok_actions                = var.alarm_topic_arn[*]
  insufficient_data_actions = var.alarm_topic_arn[*]
  tags                      = local.tags
}
