# Every policy of the module. Made by `python -m tools.stack_policies` from keyturn.policies.stack, as those
# of infra/rotation.yaml are; `keyturn policy` prints the same statements. Change them there.

locals {
  rotation_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "RotateSecrets"
          Effect   = "Allow"
          Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"]
          Resource = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.secret_name}-??????"
        },
      ],
      [
        for clause in [{
          Sid      = "ListVersions"
          Effect   = "Allow"
          Action   = "secretsmanager:ListSecretVersionIds"
          Resource = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.secret_name}-??????"
        }] : clause if var.lists_versions
      ],
      [
        {
          Sid      = "MakePasswords"
          Effect   = "Allow"
          Action   = "secretsmanager:GetRandomPassword"
          Resource = "*"
        },
      ],
      [
        for clause in [{
          Sid      = "ReadSecrets"
          Effect   = "Allow"
          Action   = "secretsmanager:GetSecretValue"
          Resource = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.admin_secret_name}-??????"
        }] : clause if var.admin_secret_name != ""
      ],
      [
        for clause in [{
          Sid       = "UseSecretKeys"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource  = var.secret_key_arns
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" }, StringLike = { "kms:EncryptionContext:SecretARN" = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.secret_name}-??????" } }
        }] : clause if length(var.secret_key_arns) > 0
      ],
      [
        for clause in [{
          Sid       = "UseAdminKeys"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = var.secret_key_arns
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" }, StringLike = { "kms:EncryptionContext:SecretARN" = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.admin_secret_name}-??????" } }
        }] : clause if var.admin_secret_name != "" && length(var.secret_key_arns) > 0
      ],
      [
        {
          Sid       = "AnnounceSteps"
          Effect    = "Allow"
          Action    = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
          Resource  = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${var.marker_table}"
          Condition = { "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = ["head", "head#*", "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.secret_name}"] } }
        },
      ],
      [
        for clause in [{
          Sid      = "CountReports"
          Effect   = "Allow"
          Action   = "dynamodb:Scan"
          Resource = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${var.convergence_table}"
        }] : clause if var.convergence_table != ""
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
      [
        {
          Sid      = "WriteItsLog"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.function.arn}:*"
        },
      ],
      [
        for clause in [{
          Sid      = "AttachToNetwork"
          Effect   = "Allow"
          Action   = ["ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses"]
          Resource = "*"
        }] : clause if length(var.subnet_ids) > 0
      ],
      [
        for clause in [{
          Sid       = "RefuseNetworkToCode"
          Effect    = "Deny"
          Action    = ["ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses"]
          Resource  = "*"
          Condition = { Null = { "lambda:SourceFunctionArn" = "false" } }
        }] : clause if length(var.subnet_ids) > 0
      ],
    )
  })
}
