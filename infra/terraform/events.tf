locals {
  # By the names of infra/template.yaml.
  all_rules = {
    # What Secrets Manager says itself, of every label but AWSPENDING and AWSPREVIOUS.
    SecretLabelUpdated = {
      description = "A staging label of a secret moved."
      schedule    = null
      pattern = {
        source      = ["aws.secretsmanager"]
        detail-type = ["Secret Label Updated"]
      }
    }
    ParameterChange = {
      description = "A parameter of Parameter Store changed or expired."
      schedule    = null
      pattern = {
        for key, value in {
          source      = ["aws.ssm"]
          detail-type = ["Parameter Store Change", "Parameter Store Policy Action"]
          detail = {
            "$or" = [
              { name = [for prefix in var.parameter_prefixes : { prefix = prefix }] },
              { policy-type = ["Expiration"], parameter-name = [for prefix in var.parameter_prefixes : { prefix = prefix }] },
            ]
          }
        } : key => value if key != "detail" || length(var.parameter_prefixes) > 0
      }
    }
    # What only a trail tells: AWSPENDING, rotations that fail or are abandoned, deletion, replication.
    CloudTrailEvent = {
      description = "A call or a rotation changed what a secret's labels are on, or whether it can be read."
      schedule    = null
      pattern = {
        source      = ["aws.secretsmanager"]
        detail-type = ["AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"]
        detail = {
          eventSource = ["secretsmanager.amazonaws.com"]
          eventName = [
            "CancelRotateSecret",
            "CancelSecretVersionDelete",
            "CreateSecret",
            "DeleteSecret",
            "EndSecretVersionDelete",
            "PutSecretValue",
            "ReplicationSucceeded",
            "RestoreSecret",
            "RotateSecret",
            "RotationAbandoned",
            "RotationFailed",
            "RotationStarted",
            "RotationSucceeded",
            "StartSecretVersionDelete",
            "TestRotationFailed",
            "TestRotationStarted",
            "TestRotationSucceeded",
            "UpdateSecret",
            "UpdateSecretVersionStage",
          ]
          errorCode = [{ exists = false }]
        }
      }
    }
    Sweep = {
      description = "Renews the lease of the markers and finds what no event announced."
      schedule    = "rate(5 minutes)"
      pattern     = null
    }
  }
  unwatched = concat(
    [for name in ["CloudTrailEvent"] : name if var.cloudtrail_events == "ignored"],
    [for name in ["ParameterChange"] : name if length(var.parameter_prefixes) == 0 && !var.parameter_events],
  )
  rules = {
    for name, rule in local.all_rules : name => rule
    if !contains(local.unwatched, name)
  }
}

resource "aws_cloudwatch_event_rule" "listener" {
  for_each            = local.rules
  name                = "${var.name}-${each.key}"
  description         = each.value.description
  schedule_expression = each.value.schedule
  event_pattern       = each.value.pattern == null ? null : jsonencode(each.value.pattern)
  tags                = local.tags
}

resource "aws_cloudwatch_event_target" "listener" {
  for_each  = local.rules
  rule      = aws_cloudwatch_event_rule.listener[each.key].name
  target_id = "listener"
  arn       = aws_lambda_function.listener.arn
  input     = each.key == "Sweep" ? "{\"keyturn\": \"sweep\"}" : null

  # A late sweep is worth nothing: the next one is due.
  retry_policy {
    maximum_event_age_in_seconds = each.key == "Sweep" ? 240 : 3600
    maximum_retry_attempts       = each.key == "Sweep" ? 2 : 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.undelivered.arn
  }
}

# Of one rule each, whose ARN has the account in it. With a condition on aws:SourceAccount EventBridge could invoke
# nothing.
resource "aws_lambda_permission" "listener" {
  for_each      = local.rules
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.listener.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.listener[each.key].arn
}

# Events that EventBridge could not hand over, and those the listener failed on three times. An event of CloudTrail
# says who called from where, so they are kept for a day: the sweep has made up for them long before that, and the
# listener's log, which says on what it failed, names no caller.
resource "aws_sqs_queue" "undelivered" {
  name                      = "${var.name}-undelivered"
  message_retention_seconds = 86400
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

resource "aws_sqs_queue_policy" "undelivered" {
  queue_url = aws_sqs_queue.undelivered.id
  policy    = local.undelivered_policy
}
