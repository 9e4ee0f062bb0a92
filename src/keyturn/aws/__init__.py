"""AWS's services: how they are called, what their failures mean, and how their answers are parsed.

`clients` makes clients, `loading` loads what botocore needs for them, and `faults` makes errors of failures.
`places` and `roles` choose the client of an account and Region, `organization` lists accounts, and `unseen`
keeps calls out of logs.

`answers`, `dynamodb` and `table_calls` hold what all answers, items and tables have in common. One module
each reads `secretsmanager`, `parameterstore`, the `catalog` and the Lambda `extension`. Nothing here
remembers an answer. This folder imports `errors`, `runtime` and `model`, and never the cache.
"""
