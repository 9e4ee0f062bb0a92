# keyturn for the secrets and parameters of one team, and a role that reads through it.
#
#   keyturn stack --terraform keyturn --listener-zip keyturn/examples/complete/rotation_listener.zip
#   terraform -chdir=keyturn/examples/complete init
#   terraform -chdir=keyturn/examples/complete apply

terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }
}

provider "aws" {
  default_tags {
    tags = { team = "orders" }
  }
}

resource "aws_sns_topic" "alarms" {
  name_prefix = "keyturn-alarms-"
}

module "keyturn" {
  source = "../.."

  name               = "keyturn-orders"
  listener_zip       = "${path.module}/rotation_listener.zip"
  name_prefixes      = ["orders/"]
  parameter_prefixes = ["/orders/"]
  alarm_topic_arn    = aws_sns_topic.alarms.arn
}

resource "aws_secretsmanager_secret" "database" {
  name_prefix = "orders/database-"
}

# The role of a function that reads the secret: the secret itself, and the markers.
resource "aws_iam_role" "reader" {
  name_prefix = "orders-reader-"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "read_secret" {
  name = "read-secret"
  role = aws_iam_role.reader.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = aws_secretsmanager_secret.database.arn
    }]
  })
}

resource "aws_iam_role_policy_attachment" "read_markers" {
  role       = aws_iam_role.reader.name
  policy_arn = module.keyturn.reader_policy_arn
}

output "marker_table" {
  description = "KEYTURN_MARKER_TABLE of the function."
  value       = module.keyturn.marker_table_name
}
