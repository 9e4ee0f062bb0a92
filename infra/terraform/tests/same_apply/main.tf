# What a configuration makes in the same apply is not known when the module is planned.

resource "aws_kms_key" "tables" {
  description = "Encrypts the tables."
}

resource "aws_sns_topic" "alarms" {
  name_prefix = "alarms-"
}

resource "aws_iam_policy" "boundary" {
  name_prefix = "boundary-"
  policy      = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_s3_bucket" "code" {
  bucket_prefix = "code-"
}

resource "aws_s3_object" "listener" {
  bucket = aws_s3_bucket.code.id
  key    = "listener.zip"
  source = "main.tf"
}

resource "aws_organizations_organization" "own" {}

resource "aws_organizations_account" "orders" {
  name  = "orders"
  email = "orders@example.com"
}

module "keyturn" {
  source = "../.."

  name                   = "keyturn-orders"
  code_bucket            = aws_s3_bucket.code.id
  code_key               = aws_s3_object.listener.key
  code_s3_object_version = aws_s3_object.listener.version_id
  name_prefixes          = ["${aws_sns_topic.alarms.name}/"]
  parameter_prefixes     = ["/${aws_sns_topic.alarms.name}/"]
  table_key_arn          = aws_kms_key.tables.arn
  table_parameter        = aws_kms_key.tables.key_id
  reader_accounts        = [aws_organizations_account.orders.id]
  reader_organization    = aws_organizations_organization.own.id
  create_table_policy    = true
  convergence            = true

  convergence_table_parameter = aws_kms_key.tables.id

  alarm_topic_arn      = aws_sns_topic.alarms.arn
  permissions_boundary = aws_iam_policy.boundary.arn
  tags                 = { topic = aws_sns_topic.alarms.name }
}
