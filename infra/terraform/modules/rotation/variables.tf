variable "name" {
  description = "The function's name, with which the names of all resources begin."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,55}$", var.name))
    error_message = "name has 1 to 55 letters, digits, hyphens and underscores."
  }
}

variable "function_zip" {
  description = "Path of the function's zip, as `keyturn stack --rotation-zip` builds it. Null if the code is in a bucket."
  type        = string
  default     = null
}

variable "code_bucket" {
  description = "The S3 bucket, in this Region, that holds the function's zip. Null if function_zip is given."
  type        = string
  default     = null

  validation {
    condition     = var.code_bucket == null || can(regex("^[A-Za-z0-9._-]{2,62}[A-Za-z0-9_-]$", var.code_bucket))
    error_message = "code_bucket is the name of a bucket, without s3:// and without a key."
  }
}

variable "code_key" {
  description = "The key of the zip in that bucket."
  type        = string
  default     = null

  validation {
    condition     = var.code_key == null || can(regex("^[^/]+(/[^/]+)*$", var.code_key))
    error_message = "code_key is the key of an object, without its bucket and without a slash at the beginning or end."
  }
}

variable "code_s3_object_version" {
  description = "The version of that object, in a bucket that keeps versions. Null means the newest."
  type        = string
  default     = null

  validation {
    condition     = var.code_s3_object_version == null || can(regex("^[!-~]*$", var.code_s3_object_version))
    error_message = "code_s3_object_version is the version of an S3 object."
  }
}

variable "handler" {
  description = "The function in the zip that does the steps, as MODULE.NAME; keyturn.rotation.wrapper.handler for a function that is not keyturn's."
  type        = string
  default     = "app.handler"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_/-]+([.][A-Za-z0-9_/-]+)+$", var.handler))
    error_message = "handler is MODULE.NAME."
  }
}

variable "wrapped_handler" {
  description = "If handler is the wrapper, the function that does the steps (lambda_function.lambda_handler). Otherwise empty."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9_/-]+([.][A-Za-z0-9_/-]+)+)?$", var.wrapped_handler))
    error_message = "wrapped_handler is MODULE.NAME, or empty."
  }
}

variable "layers" {
  description = "ARNs of layer versions, such as one of keyturn_layer.zip."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.layers) <= 5 && alltrue([for one in var.layers : can(regex("^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]+:[0-9]+$", one))])
    error_message = "layers is at most five ARNs of layer versions."
  }
}

variable "runtime" {
  description = "The Python that Lambda runs the function with. The packages in the zip must be built for it. The AWS provider knows python3.14 from 6.20 on."
  type        = string
  default     = "python3.13"
  nullable    = false

  validation {
    condition     = contains(["python3.11", "python3.12", "python3.13", "python3.14"], var.runtime)
    error_message = "runtime is python3.11, python3.12, python3.13 or python3.14."
  }
}

variable "architecture" {
  description = "The processor that the packages in the zip are built for."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture is arm64 or x86_64."
  }
}

variable "secret_name" {
  description = "The name of the secret that the function rotates, or a pattern with * for several secrets."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9/_+=.@*-]+$", var.secret_name))
    error_message = "secret_name is a name of letters, digits and / _ + = . @ -, with * for any characters."
  }
}

variable "admin_secret_name" {
  description = "The name of the secret that masterarn names, of a user that changes other users' passwords. It is only read. Empty means none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9/_+=.@!*-]*$", var.admin_secret_name))
    error_message = "admin_secret_name is a name of letters, digits and / _ + = . @ ! -, with * for any characters."
  }
}

variable "secret_key_arns" {
  description = "ARNs of KMS keys of yours that encrypt these secrets. Empty means aws/secretsmanager."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for one in var.secret_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", one))])
    error_message = "secret_key_arns is ARNs of KMS keys, arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "lists_versions" {
  description = "Whether the function lists the secret's versions, by which functions of keyturn.rotation find keys and passwords that have no label."
  type        = bool
  default     = false
  nullable    = false
}

variable "marker_table" {
  description = "The name of the marker table (marker_table_name of the listener's module, or the value of the parameter /keyturn/marker-table)."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.marker_table))
    error_message = "marker_table is the name of a table, not its ARN."
  }
}

variable "convergence_table" {
  description = "The name of the convergence table, if the function counts the environments that still hold a version. Empty means none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9_.-]{3,255})?$", var.convergence_table))
    error_message = "convergence_table is the name of a table, not its ARN, or empty."
  }
}

variable "table_key_arn" {
  description = "A KMS key of yours that encrypts the tables. Null means the key that DynamoDB owns."
  type        = string
  default     = null

  validation {
    condition     = var.table_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.table_key_arn))
    error_message = "table_key_arn is the ARN of a KMS key, arn:aws:kms:REGION:ACCOUNT:key/ID; an alias cannot be in a policy."
  }
}

variable "subnet_ids" {
  description = "Subnets from which the server can be reached, and the endpoints of Secrets Manager and DynamoDB. Empty means no VPC."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for one in var.subnet_ids : can(regex("^subnet-[0-9a-z]+$", one))])
    error_message = "subnet_ids is ids of subnets."
  }
}

variable "security_group_ids" {
  description = "Security groups of the function, in the subnets' VPC. The server's security group must let them in."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for one in var.security_group_ids : can(regex("^sg-[0-9a-z]+$", one))])
    error_message = "security_group_ids is ids of security groups."
  }
}

variable "environment" {
  description = "More environment variables of the function."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "timeout_seconds" {
  description = "How long one step may take. An announcement takes at most about 1 second of it."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.timeout_seconds >= 15 && var.timeout_seconds <= 900
    error_message = "timeout_seconds is 15 to 900."
  }
}

variable "alarm_topic_arn" {
  description = "The SNS topic that the alarm of a failed step notifies. Null means no topic."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn is the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME."
  }
}

variable "permissions_boundary" {
  description = "The ARN of a managed policy that limits the function's role, if your organisation demands it. Null means none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9_+=,.@/-]+$", var.permissions_boundary))
    error_message = "permissions_boundary is the ARN of a managed policy, arn:aws:iam::ACCOUNT:policy/NAME."
  }
}

variable "log_retention_days" {
  description = "Days the function's log is kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "log_retention_days is 1, 3, 5, 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "tags" {
  description = "Tags of all resources, beside application = keyturn."
  type        = map(string)
  default     = {}
  nullable    = false
}
