# keyturn, and a rotation function for one secret, which Secrets Manager invokes every month.
#
#   keyturn stack --terraform keyturn --listener-zip keyturn/examples/rotation/rotation_listener.zip
#   keyturn stack --rotation-zip keyturn/examples/rotation/rotation_function.zip --rotation-code FOLDER
#   terraform -chdir=keyturn/examples/rotation init
#   terraform -chdir=keyturn/examples/rotation apply

terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }
}

module "keyturn" {
  source = "../.."

  listener_zip  = "${path.module}/rotation_listener.zip"
  name_prefixes = ["orders/"]
}

module "rotation" {
  source = "../../modules/rotation"

  name         = "rotate-orders"
  function_zip = "${path.module}/rotation_function.zip"
  secret_name  = aws_secretsmanager_secret.database.name
  marker_table = module.keyturn.marker_table_name
}

resource "aws_secretsmanager_secret" "database" {
  name = "orders/database"
}

resource "aws_secretsmanager_secret_rotation" "database" {
  secret_id           = aws_secretsmanager_secret.database.id
  rotation_lambda_arn = module.rotation.function_arn
  # The secret has no value yet. Put one into it, and then run `aws secretsmanager rotate-secret`.
  rotate_immediately = false

  rotation_rules {
    automatically_after_days = 30
  }
}
