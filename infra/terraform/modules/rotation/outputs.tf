output "function_arn" {
  description = "The ARN of the rotation function, for rotation_lambda_arn of aws_secretsmanager_secret_rotation."
  value       = aws_lambda_function.function.arn
  # Whoever tells Secrets Manager of the function makes it invoke the function at once.
  depends_on = [aws_lambda_permission.rotation]
}

output "function_log_name" {
  description = "The function's log group."
  value       = aws_cloudwatch_log_group.function.name
}

output "function_role_arn" {
  description = "The role of the function."
  value       = aws_iam_role.function.arn
}
