locals {
  namespace = "keyturn"
  stack     = { Stack = var.name }

  # By the names of infra/template.yaml.
  alarms = {
    UndeliveredAlarm = {
      description = "Events that did not reach the listener, or that it failed on, are in the queue Undelivered. The sweep makes their markers, up to 10 minutes late. The alarm ends when the queue is empty. See: keyturn help runbook"
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.undelivered.name }
      statistic   = "Maximum"
      period      = 300
      periods     = 1
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    ErrorsAlarm = {
      description = "The listener failed in each of three periods of 5 minutes. Its log says on what. See: keyturn help runbook"
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.listener.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 3
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    ThrottlesAlarm = {
      description = "Lambda held the listener back in each of three periods of 5 minutes, so events wait and markers come late. See: keyturn help runbook"
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.listener.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 3
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    # The listener tries an event for an hour. Five minutes are more than its two retries take.
    OldEventsAlarm = {
      description = "Events have waited more than 5 minutes for the listener, in each of three periods of 5 minutes, so markers come late. See: keyturn help runbook"
      namespace   = "AWS/Lambda"
      metric      = "AsyncEventAge"
      dimensions  = { FunctionName = aws_lambda_function.listener.function_name }
      statistic   = "Maximum"
      period      = 300
      periods     = 3
      comparison  = "GreaterThanThreshold"
      threshold   = 300000
      missing     = "notBreaching"
    }
    DroppedEventsAlarm = {
      description = "Lambda gave up events: the listener failed on them three times, or they waited for an hour. They are in the queue Undelivered, and the sweep makes their markers. See: keyturn help runbook"
      namespace   = "AWS/Lambda"
      metric      = "AsyncEventsDropped"
      dimensions  = { FunctionName = aws_lambda_function.listener.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    DestinationAlarm = {
      description = "Lambda could not send a failed event to the queue Undelivered. The sweep makes its marker, up to 10 minutes late. See: keyturn help runbook"
      namespace   = "AWS/Lambda"
      metric      = "DestinationDeliveryFailures"
      dimensions  = { FunctionName = aws_lambda_function.listener.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    DeliveryAlarm = {
      description = "EventBridge could not invoke the listener by the rule SecretLabelUpdated. The sweep makes the markers, up to 10 minutes late. See: keyturn help runbook"
      namespace   = "AWS/Events"
      metric      = "FailedInvocations"
      dimensions  = { RuleName = aws_cloudwatch_event_rule.listener["SecretLabelUpdated"].name }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    TableReadsAlarm = {
      description = "DynamoDB throttled reads of the marker table in each of three periods of 5 minutes, so checks come late. See: keyturn help runbook"
      namespace   = "AWS/DynamoDB"
      metric      = "ReadThrottleEvents"
      dimensions  = { TableName = aws_dynamodb_table.markers.name }
      statistic   = "Sum"
      period      = 300
      periods     = 3
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    TableWritesAlarm = {
      description = "DynamoDB throttled writes of the marker table in each of three periods of 5 minutes, so markers come late. See: keyturn help runbook"
      namespace   = "AWS/DynamoDB"
      metric      = "WriteThrottleEvents"
      dimensions  = { TableName = aws_dynamodb_table.markers.name }
      statistic   = "Sum"
      period      = 300
      periods     = 3
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    # Where nothing has swept yet there is no data either, so this alarm is on at first. It tells nobody: LeaseLost does.
    LeaseAlarm = {
      description = "No sweep has renewed the lease for 12 minutes. At 16 minutes copies fall back to the short TTL. See: keyturn help runbook"
      namespace   = local.namespace
      metric      = "LeaseRenewed"
      dimensions  = local.stack
      statistic   = "Sum"
      period      = 60
      periods     = 12
      comparison  = "LessThanThreshold"
      threshold   = 1
      missing     = "breaching"
    }
    # Without data until the first sweep and OK ever after, since what is missing then is ignored.
    SweptAlarm = {
      description = "Never on. It has no data until the first sweep and is OK from then on, and LeaseLost waits for that. See: keyturn help runbook"
      namespace   = local.namespace
      metric      = "LeaseRenewed"
      dimensions  = local.stack
      statistic   = "Sum"
      period      = 60
      periods     = 1
      comparison  = "LessThanThreshold"
      threshold   = 1
      missing     = "ignore"
    }
    EventPathAlarm = {
      description = "A sweep found moves of staging labels that no event had told of, so readers noticed them up to 10 minutes late. See: keyturn help runbook"
      namespace   = local.namespace
      metric      = "FoundBySweep"
      dimensions  = local.stack
      statistic   = "Sum"
      period      = 900
      periods     = 1
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
  }

  silent = ["LeaseAlarm", "SweptAlarm"]

  # The listener logs one JSON object a line, in which it names its stack: that keeps two installations apart.
  metrics = {
    LeaseRenewed = { pattern = "{ $.outcome = \"swept\" }", value = "1" }
    FoundBySweep = { pattern = "{ $.found_by_sweep >= 0 }", value = "$.found_by_sweep" }
  }
}

resource "aws_cloudwatch_log_metric_filter" "listener" {
  for_each       = local.metrics
  name           = each.key
  log_group_name = aws_cloudwatch_log_group.listener.name
  pattern        = each.value.pattern

  metric_transformation {
    namespace  = local.namespace
    name       = each.key
    value      = each.value.value
    dimensions = { Stack = "$.stack" }
  }
}

resource "aws_cloudwatch_metric_alarm" "listener" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = contains(local.silent, each.key) ? null : var.alarm_topic_arn[*]
  ok_actions          = contains(local.silent, each.key) ? null : var.alarm_topic_arn[*]
  tags                = local.tags
}

# At the first sweep SweptAlarm may be OK a minute before LeaseAlarm is. The wait for a suppressor that is never on
# bridges that: after it the topic is told, unless the alarm is over.
resource "aws_cloudwatch_composite_alarm" "lease_lost" {
  alarm_name        = "${var.name}-LeaseLost"
  alarm_description = "No sweep has renewed the lease for 12 minutes, in a stack that has swept before. At 16 minutes copies fall back to the short TTL. See: keyturn help runbook"
  alarm_rule        = "ALARM(\"${aws_cloudwatch_metric_alarm.listener["LeaseAlarm"].alarm_name}\") AND OK(\"${aws_cloudwatch_metric_alarm.listener["SweptAlarm"].alarm_name}\")"
  alarm_actions     = var.alarm_topic_arn[*]
  ok_actions        = var.alarm_topic_arn[*]
  tags              = local.tags

  actions_suppressor {
    alarm            = aws_cloudwatch_metric_alarm.listener["SweptAlarm"].arn
    extension_period = 0
    wait_period      = 120
  }
}
