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
          Sid       = "LookAtMarkers"
          Effect    = "Allow"
          Action    = "dynamodb:GetItem"
          Resource  = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${var.marker_table}"
          Condition = { "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = ["head", "head#*", "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.secret_name}"] } }
        },
        {
          Sid       = "AnnounceSteps"
          Effect    = "Allow"
          Action    = ["dynamodb:PutItem", "dynamodb:UpdateItem"]
          Resource  = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${var.marker_table}"
          Condition = { "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.secret_name}" } }
        },
        {
          Sid       = "TellHeads"
          Effect    = "Allow"
          Action    = "dynamodb:UpdateItem"
          Resource  = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${var.marker_table}"
          Condition = { "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = concat(["head"], [for copy in range(1, 32) : "head#${copy}"]) }, "ForAllValues:StringEquals" = { "dynamodb:Attributes" = ["pk", "counter", "n0", "e0", "n1", "e1", "n2", "e2", "n3", "e3", "n4", "e4", "n5", "e5", "n6", "e6", "n7", "e7", "n8", "e8", "n9", "e9", "n10", "e10", "n11", "e11", "n12", "e12", "n13", "e13", "n14", "e14", "n15", "e15", "n16", "e16", "n17", "e17", "n18", "e18", "n19", "e19", "n20", "e20", "n21", "e21", "n22", "e22", "n23", "e23", "n24", "e24", "n25", "e25", "n26", "e26", "n27", "e27", "n28", "e28", "n29", "e29", "n30", "e30", "n31", "e31", "n32", "e32", "n33", "e33", "n34", "e34", "n35", "e35", "n36", "e36", "n37", "e37", "n38", "e38", "n39", "e39", "n40", "e40", "n41", "e41", "n42", "e42", "n43", "e43"] } }
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
