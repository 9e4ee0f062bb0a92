# terraform test: the module's choices, on a provider that makes nothing.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }
  mock_resource "aws_dynamodb_table" {
    override_during = plan
    defaults        = { arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/markers" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    override_during = plan
    defaults        = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:listener" }
  }
  mock_resource "aws_sqs_queue" {
    override_during = plan
    defaults        = { arn = "arn:aws:sqs:eu-west-1:111122223333:undelivered" }
  }
}

variables {
  listener_zip = "tests/module.tftest.hcl"
}

run "by_default" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.markers.deletion_protection_enabled && aws_dynamodb_table.markers.point_in_time_recovery[0].enabled
    error_message = "The table is protected and can be restored."
  }
  assert {
    condition     = aws_dynamodb_table.markers.ttl[0].attribute_name == "expires_at_s" && aws_dynamodb_table.markers.ttl[0].enabled
    error_message = "The markers of secrets that are gone end by themselves."
  }
  assert {
    condition     = aws_ssm_parameter.marker_table[0].name == "/keyturn/marker-table" && aws_ssm_parameter.marker_table[0].value == aws_dynamodb_table.markers.name
    error_message = "A parameter at a fixed path names the table."
  }
  assert {
    condition     = length(aws_cloudwatch_event_rule.listener) == 4 && length(aws_cloudtrail.own) == 0
    error_message = "All rules are there, and no trail is made."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.listener.policy, "ssm:")
    error_message = "Without parameter_prefixes no parameter may be listed."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.listener.policy, "kms:") && length(aws_dynamodb_table.markers.server_side_encryption) == 0
    error_message = "Without a key there is neither its use nor a right to it."
  }
  assert {
    condition     = endswith(one([for one in jsondecode(aws_iam_role_policy.listener.policy).Statement : one.Resource if one.Sid == "LookAtSecrets"])[0], ":secret:*")
    error_message = "Without name_prefixes every secret may be described."
  }
  assert {
    condition     = length(aws_dynamodb_table.convergence) == 0 && !strcontains(aws_iam_policy.reader.policy, "PutItem")
    error_message = "Nobody reports, and a reader may write nothing."
  }
  assert {
    condition     = length(aws_lambda_function.counter) == 0 && length(aws_cloudwatch_metric_alarm.counter) == 0 && length(aws_cloudwatch_log_metric_filter.counter) == 0
    error_message = "Nothing counts where nobody reports."
  }
  assert {
    condition     = length(aws_cloudwatch_dashboard.keyturn) == 0
    error_message = "There is no dashboard that nobody asked for."
  }
  assert {
    condition     = one([for one in jsondecode(aws_iam_policy.reader.policy).Statement : one.Resource if one.Sid == "FindTable"]) == "arn:aws:ssm:eu-west-1:111122223333:parameter/keyturn/marker-table"
    error_message = "Readers may read the parameter that names the table."
  }
  assert {
    condition     = length(aws_dynamodb_resource_policy.markers) == 0
    error_message = "No other account may read the table."
  }
}

run "null_is_the_default" {
  command = plan

  variables {
    deletion_protection    = null
    create_table_parameter = null
    parameter_events       = null
    name_prefixes          = null
    reserved_concurrency   = null
    runtime                = null
    tags                   = null
  }

  assert {
    condition     = aws_dynamodb_table.markers.deletion_protection_enabled
    error_message = "The table is protected."
  }
  assert {
    condition     = length(aws_ssm_parameter.marker_table) == 1 && length(aws_cloudwatch_event_rule.listener) == 4
    error_message = "The parameter and all rules are there."
  }
}

run "read_by_accounts" {
  command = plan

  variables {
    reader_accounts = ["444455556666", "777788889999"]
  }

  assert {
    condition     = aws_dynamodb_resource_policy.markers[0].resource_arn == aws_dynamodb_table.markers.arn
    error_message = "The policy is that of the marker table."
  }
  assert {
    condition     = [for one in jsondecode(aws_dynamodb_resource_policy.markers[0].policy).Statement : [one.Sid, one.Principal.AWS]] == [["ReadFromAccounts", ["444455556666", "777788889999"]]]
    error_message = "These accounts may read, and nobody else."
  }
}

run "read_by_an_organization" {
  command = plan

  variables {
    reader_organization = "o-a1b2c3d4e5"
  }

  assert {
    condition     = [for one in jsondecode(aws_dynamodb_resource_policy.markers[0].policy).Statement : [one.Sid, one.Condition.StringEquals["aws:PrincipalOrgID"]]] == [["ReadFromOrganization", "o-a1b2c3d4e5"]]
    error_message = "Accounts of the organization may read, and nobody else."
  }
}

run "a_policy_for_nobody" {
  command = plan

  variables {
    create_table_policy = true
  }

  expect_failures = [aws_dynamodb_resource_policy.markers]
}

run "shared_and_not_by_this_module" {
  command = plan

  variables {
    reader_accounts     = ["444455556666"]
    create_table_policy = false
  }

  assert {
    condition     = length(aws_dynamodb_resource_policy.markers) == 0
    error_message = "The table has no policy of this module."
  }
}

run "reports_without_a_parameter" {
  command = plan

  variables {
    convergence                        = true
    create_convergence_table_parameter = false
  }

  assert {
    condition     = length(aws_ssm_parameter.convergence_table) == 0 && length(aws_dynamodb_table.convergence) == 1
    error_message = "The table is there, and nothing of it in Parameter Store."
  }
}

run "without_parameters" {
  command = plan

  variables {
    parameter_events = false
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_event_rule.listener), "ParameterChange") && length(aws_cloudwatch_event_rule.listener) == 3
    error_message = "No rule watches parameters."
  }
}

run "without_a_parameter" {
  command = plan

  variables {
    create_table_parameter = false
  }

  assert {
    condition     = length(aws_ssm_parameter.marker_table) == 0 && !strcontains(aws_iam_policy.reader.policy, "ssm:GetParameter")
    error_message = "Nothing is put into Parameter Store, and readers may read nothing there."
  }
}

run "with_everything" {
  command = plan

  variables {
    name                 = "second"
    name_prefixes        = ["prod/", "shared/"]
    secret_tag           = "keyturn=yes"
    parameter_prefixes   = ["/prod/", "/shared/"]
    cloudtrail_events    = "of-own-trail"
    deletion_protection  = false
    table_key_arn        = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
    reader_accounts      = ["444455556666"]
    reader_organization  = "o-a1b2c3d4e5"
    convergence          = true
    behind_seconds       = 3600
    dashboard            = true
    alarm_topic_arn      = "arn:aws:sns:eu-west-1:111122223333:alarms"
    permissions_boundary = "arn:aws:iam::111122223333:policy/boundary"
    reserved_concurrency = 5
    tags                 = { team = "orders" }
  }

  assert {
    condition     = aws_lambda_function.listener.environment[0].variables["KEYTURN_PARAMETER_PREFIXES"] == "/prod/,/shared/"
    error_message = "The listener is told the prefixes, comma-separated."
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.listener["ParameterChange"].event_pattern).detail["$or"][0].name == [{ prefix = "/prod/" }, { prefix = "/shared/" }]
    error_message = "Events of other parameters do not reach the listener."
  }
  assert {
    condition     = aws_lambda_function.listener.environment[0].variables["KEYTURN_SECRET_TAG"] == "keyturn=yes"
    error_message = "The listener is told the tag."
  }
  assert {
    condition     = length([for one in jsondecode(aws_iam_role_policy.listener.policy).Statement : one if one.Action == "ssm:DescribeParameters"]) == 1
    error_message = "The right to list parameters comes once with the prefixes."
  }
  assert {
    condition     = [for arn in one([for one in jsondecode(aws_iam_role_policy.listener.policy).Statement : one.Resource if one.Sid == "LookAtSecrets"]) : split(":secret:", arn)[1]] == ["prod/*", "shared/*"]
    error_message = "With name_prefixes the listener may describe those secrets and no others."
  }
  assert {
    condition     = strcontains(aws_iam_policy.reader.policy, ":secret:prod/*") && strcontains(aws_iam_policy.reader.policy, ":secret:shared/*")
    error_message = "Readers may read the markers of those secrets."
  }
  assert {
    condition     = length(aws_cloudtrail.own) == 1 && length(aws_s3_bucket_policy.trail) == 1
    error_message = "The trail is made, with its bucket and policy."
  }
  assert {
    condition     = aws_dynamodb_table.markers.server_side_encryption[0].kms_key_arn == var.table_key_arn && strcontains(aws_iam_role_policy.listener.policy, "kms:ReEncrypt*")
    error_message = "The table is encrypted with the key, and the listener may use it."
  }
  assert {
    condition     = [for one in jsondecode(aws_dynamodb_resource_policy.markers[0].policy).Statement : one.Sid] == ["ReadFromAccounts", "ReadFromOrganization"]
    error_message = "The account and those of the organization may read the table."
  }
  assert {
    condition     = aws_dynamodb_table.convergence[0].ttl[0].attribute_name == "expires_at_s" && aws_dynamodb_table.convergence[0].server_side_encryption[0].kms_key_arn == var.table_key_arn
    error_message = "Reports end by themselves, in a table that is encrypted with the key."
  }
  assert {
    condition     = toset([for one in jsondecode(aws_iam_policy.reader.policy).Statement : one.Sid]) == toset(["ReadMarkers", "FindTable", "UseTableKey", "ReportVersions", "UseTableKeyToReport"])
    error_message = "A reader may report, and use the key for that."
  }
  assert {
    condition     = alltrue([for name, each in aws_cloudwatch_metric_alarm.listener : each.alarm_actions == null ? contains(["LeaseAlarm", "SweptAlarm"], name) : one(each.alarm_actions) == var.alarm_topic_arn])
    error_message = "Every alarm tells the topic, but those two that LeaseLost is made of."
  }
  assert {
    condition     = one(aws_cloudwatch_composite_alarm.lease_lost.alarm_actions) == var.alarm_topic_arn
    error_message = "LeaseLost tells the topic."
  }
  assert {
    condition     = aws_iam_role.listener.permissions_boundary == var.permissions_boundary
    error_message = "The role has the boundary."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.counter["BehindAlarm"].threshold == 3600 && one(aws_cloudwatch_metric_alarm.counter["BehindAlarm"].insufficient_data_actions) == var.alarm_topic_arn
    error_message = "The alarm of the count has the chosen time, and tells the topic also that nobody counts."
  }
  assert {
    condition     = aws_lambda_function.counter[0].environment[0].variables["KEYTURN_PARAMETER_PREFIXES"] == "/prod/,/shared/" && aws_ssm_parameter.convergence_table[0].value == aws_dynamodb_table.convergence[0].name
    error_message = "The counter is told the prefixes, and a parameter names its table."
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_dashboard.keyturn[0].dashboard_body).widgets[7].properties.annotations.horizontal[0].value == 3600
    error_message = "The dashboard is JSON, with the chosen time as a number."
  }
  assert {
    condition     = aws_dynamodb_table.markers.tags == tomap({ application = "keyturn", team = "orders" })
    error_message = "Own tags stand beside the common one."
  }
}

run "code_in_a_bucket" {
  command = plan

  variables {
    listener_zip           = null
    code_bucket            = "code"
    code_key               = "listener.zip"
    code_s3_object_version = "3sL4kqtJlcpXroDTDmJ"
  }

  assert {
    condition     = aws_lambda_function.listener.s3_object_version == "3sL4kqtJlcpXroDTDmJ" && aws_lambda_function.listener.filename == null
    error_message = "The function has the very version of the object."
  }
}

run "code_from_nowhere" {
  command = plan

  variables {
    listener_zip = null
    code_bucket  = "code"
  }

  expect_failures = [aws_lambda_function.listener]
}

run "code_at_a_url_without_its_hash" {
  command = plan

  variables {
    listener_zip     = null
    listener_zip_url = "https://example.com/rotation_listener.zip"
  }

  expect_failures = [aws_lambda_function.listener]
}

run "code_from_two_places" {
  command = plan

  variables {
    code_bucket = "code"
    code_key    = "listener.zip"
  }

  expect_failures = [aws_lambda_function.listener]
}

run "a_prefix_that_would_allow_more" {
  command = plan

  variables {
    name_prefixes = ["prod/*"]
  }

  expect_failures = [var.name_prefixes]
}

run "without_cloudtrail" {
  command = plan

  variables {
    cloudtrail_events = "ignored"
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_event_rule.listener), "CloudTrailEvent")
    error_message = "No rule watches CloudTrail."
  }
}

run "a_tag_that_cannot_be_looked_for" {
  command = plan

  variables {
    secret_tag = "team=!orders"
  }

  expect_failures = [var.secret_tag]
}

run "a_choice_that_there_is_not" {
  command = plan

  variables {
    cloudtrail_events = "all"
  }

  expect_failures = [var.cloudtrail_events]
}

run "what_can_only_fail_later" {
  command = plan

  variables {
    listener_zip           = null
    code_bucket            = "s3://code"
    code_key               = "/listener.zip"
    listener_zip_url       = "rotation_listener.zip"
    listener_zip_sha256    = "1f"
    code_s3_object_version = "a version"
    parameter_prefixes     = ["/prod/*"]
    table_key_arn          = "alias/x"
    reader_accounts        = ["4444"]
    reader_organization    = "*"
    alarm_topic_arn        = "alarms"
    permissions_boundary   = "boundary"
    table_parameter        = "marker-table"
    behind_seconds         = 60
    log_retention_days     = 31
    reserved_concurrency   = 0
  }

  expect_failures = [
    var.listener_zip_url,
    var.listener_zip_sha256,
    var.code_bucket,
    var.code_key,
    var.code_s3_object_version,
    var.parameter_prefixes,
    var.table_key_arn,
    var.reader_accounts,
    var.reader_organization,
    var.alarm_topic_arn,
    var.permissions_boundary,
    var.table_parameter,
    var.behind_seconds,
    var.log_retention_days,
    var.reserved_concurrency,
  ]
}
