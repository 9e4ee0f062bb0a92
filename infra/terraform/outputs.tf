output "marker_table_name" {
  description = "The name of the marker table (KEYTURN_MARKER_TABLE of the readers)."
  value       = aws_dynamodb_table.markers.name
}

output "marker_table_arn" {
  description = "The ARN of the marker table."
  value       = aws_dynamodb_table.markers.arn
}

output "convergence_table_name" {
  description = "The name of the convergence table (KEYTURN_CONVERGENCE_TABLE of the readers); null without one."
  value       = one(aws_dynamodb_table.convergence[*].name)
}

output "counter_arn" {
  description = "The ARN of the function that counts which environments are behind; null without one."
  value       = one(aws_lambda_function.counter[*].arn)
}

output "counter_log_name" {
  description = "The log group of that function; one JSON object a line."
  value       = one(aws_cloudwatch_log_group.counter[*].name)
}

output "listener_arn" {
  description = "The ARN of the listener function."
  value       = aws_lambda_function.listener.arn
}

output "reader_policy_arn" {
  description = "Attach this managed policy to the roles that read secrets through keyturn."
  value       = aws_iam_policy.reader.arn
}

output "undelivered_url" {
  description = "The queue of events that did not become markers."
  value       = aws_sqs_queue.undelivered.url
}

output "listener_log_name" {
  description = "The listener's log group; one JSON object a line."
  value       = aws_cloudwatch_log_group.listener.name
}

output "listener_role_arn" {
  description = "The role of the listener. It can read no value."
  value       = aws_iam_role.listener.arn
}
