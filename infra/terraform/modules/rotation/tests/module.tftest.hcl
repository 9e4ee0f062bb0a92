# terraform test: the module's choices, on a provider that makes nothing.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    override_during = plan
    defaults        = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:function" }
  }
}

variables {
  name         = "rotate-orders"
  function_zip = "tests/module.tftest.hcl"
  secret_name  = "prod/orders"
  marker_table = "markers"
}

run "by_default" {
  command = plan

  assert {
    condition     = aws_lambda_permission.rotation.source_account == "111122223333" && aws_lambda_permission.rotation.principal == "secretsmanager.amazonaws.com"
    error_message = "Secrets Manager may invoke it, for secrets of this account."
  }
  assert {
    condition     = [for one in jsondecode(aws_iam_role_policy.rotation.policy).Statement : one.Sid] == ["RotateSecrets", "MakePasswords", "LookAtMarkers", "AnnounceSteps", "TellHeads", "WriteItsLog"]
    error_message = "The role may do the four steps, announce them and log."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.rotation.policy).Statement[0].Resource == "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/orders-??????"
    error_message = "One secret may be rotated."
  }
  assert {
    condition     = length(aws_lambda_function.function.vpc_config) == 0 && aws_lambda_function.function.environment[0].variables == tomap({ KEYTURN_MARKER_TABLE = "markers" })
    error_message = "There is no network, and one variable."
  }
}

run "with_everything" {
  command = plan

  variables {
    handler            = "keyturn.rotation.wrapper.handler"
    wrapped_handler    = "lambda_function.lambda_handler"
    layers             = ["arn:aws:lambda:eu-west-1:111122223333:layer:keyturn:1"]
    admin_secret_name  = "prod/admin"
    secret_key_arns    = ["arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"]
    table_key_arn      = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-666666666666"
    lists_versions     = true
    convergence_table  = "convergence"
    subnet_ids         = ["subnet-1", "subnet-2"]
    security_group_ids = ["sg-1"]
    environment        = { EXCLUDE_CHARACTERS = "/@" }
    alarm_topic_arn    = "arn:aws:sns:eu-west-1:111122223333:alarms"
  }

  assert {
    condition     = [for one in jsondecode(aws_iam_role_policy.rotation.policy).Statement : one.Sid] == ["RotateSecrets", "ListVersions", "MakePasswords", "ReadSecrets", "UseSecretKeys", "UseAdminKeys", "LookAtMarkers", "AnnounceSteps", "TellHeads", "CountReports", "UseTableKey", "WriteItsLog", "AttachToNetwork", "RefuseNetworkToCode"]
    error_message = "Each choice has its statements."
  }
  assert {
    condition     = one([for one in jsondecode(aws_iam_role_policy.rotation.policy).Statement : one.Action if one.Sid == "UseAdminKeys"]) == "kms:Decrypt"
    error_message = "The admin's secret is only read."
  }
  assert {
    condition     = aws_lambda_function.function.environment[0].variables["KEYTURN_HANDLER"] == "lambda_function.lambda_handler" && aws_lambda_function.function.environment[0].variables["SECRETS_MANAGER_ENDPOINT"] == "https://secretsmanager.eu-west-1.amazonaws.com" && aws_lambda_function.function.environment[0].variables["EXCLUDE_CHARACTERS"] == "/@"
    error_message = "A wrapped function gets its own name, and what AWS's templates read."
  }
  assert {
    condition     = tolist(aws_lambda_function.function.vpc_config[0].subnet_ids) == tolist(["subnet-1", "subnet-2"])
    error_message = "The function is attached to the subnets."
  }
}

run "without_code" {
  command = plan

  variables {
    function_zip = null
  }

  expect_failures = [aws_lambda_function.function]
}

run "what_can_only_fail_later" {
  command = plan

  variables {
    handler            = "app"
    wrapped_handler    = "app"
    layers             = ["keyturn"]
    secret_key_arns    = ["alias/x"]
    marker_table       = "arn:aws:dynamodb:eu-west-1:111122223333:table/markers"
    convergence_table  = "arn:aws:dynamodb:eu-west-1:111122223333:table/convergence"
    table_key_arn      = "alias/x"
    subnet_ids         = ["vpc-1"]
    security_group_ids = ["default"]
    alarm_topic_arn    = "alarms"
    log_retention_days = 31
  }

  expect_failures = [
    var.handler,
    var.wrapped_handler,
    var.layers,
    var.secret_key_arns,
    var.marker_table,
    var.convergence_table,
    var.table_key_arn,
    var.subnet_ids,
    var.security_group_ids,
    var.alarm_topic_arn,
    var.log_retention_days,
  ]
}
