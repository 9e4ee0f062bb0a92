variable "name" {
  description = "What the names of all resources begin with. Two installations in one Region need two names."
  type        = string
  default     = "keyturn"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,30}$", var.name))
    error_message = "name has 1 to 31 letters, digits and hyphens, and begins with a letter."
  }
}

variable "listener_zip" {
  description = "Path of rotation_listener.zip, as `make listener` builds it. Null if the code is in a bucket."
  type        = string
  default     = null
}

variable "code_bucket" {
  description = "The S3 bucket, in this Region, that holds rotation_listener.zip. Null if listener_zip is given."
  type        = string
  default     = null
}

variable "code_key" {
  description = "The key of rotation_listener.zip in that bucket."
  type        = string
  default     = null
}

variable "code_s3_object_version" {
  description = "The version of that object, in a bucket that keeps versions. Null means the newest."
  type        = string
  default     = null
}

variable "name_prefixes" {
  description = "Prefixes of secret names to keep markers for. Empty means every secret. The listener may describe these secrets and no others, and readers may read their markers."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for prefix in var.name_prefixes : can(regex("^[A-Za-z0-9/_+=.@!-]+$", prefix))])
    error_message = "Each prefix has letters, digits and / _ + = . @ ! -"
  }
}

variable "secret_tag" {
  description = "A tag that secrets have to have to get markers, as KEY or KEY=VALUE. Empty means every secret."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z0-9_ :/@+.-]+(=[A-Za-z0-9_ :/@+.=-]*)?)?$", var.secret_tag))
    error_message = "secret_tag is KEY or KEY=VALUE of letters, digits, spaces and _ : / @ + . -"
  }
}

variable "parameter_prefixes" {
  description = "Prefixes of the parameters whose versions the sweep puts into their markers. Empty means none."
  type        = list(string)
  default     = []
}

variable "cloudtrail_events" {
  description = "Whether CloudTrail's events are watched as well, of a trail that the Region has already or of one made here."
  type        = string
  default     = "of-your-trail"

  validation {
    condition     = contains(["ignored", "of-your-trail", "of-own-trail"], var.cloudtrail_events)
    error_message = "cloudtrail_events is ignored, of-your-trail or of-own-trail."
  }
}

variable "settle_seconds" {
  description = "How long DescribeSecret is given to show what an event announced."
  type        = number
  default     = 6

  validation {
    condition     = var.settle_seconds >= 0 && var.settle_seconds <= 60
    error_message = "settle_seconds is 0 to 60."
  }
}

variable "deletion_protection" {
  description = "Whether the marker table refuses to be deleted. Set it to false before you destroy the module."
  type        = bool
  default     = true
}

variable "table_key_arn" {
  description = "A KMS key of yours that encrypts the tables. Null means the key that DynamoDB owns."
  type        = string
  default     = null
}

variable "convergence" {
  description = "Whether there is a table to which environments report which versions they hold, and whether readers may."
  type        = bool
  default     = false
}

variable "alarm_topic_arn" {
  description = "An SNS topic that the alarms tell. Null means nobody."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days the listener's log is kept."
  type        = number
  default     = 30
}

variable "runtime" {
  description = "The Python that Lambda runs the listener with. The AWS provider knows python3.14 from 6.20 on."
  type        = string
  default     = "python3.13"

  validation {
    condition     = contains(["python3.11", "python3.12", "python3.13", "python3.14"], var.runtime)
    error_message = "runtime is python3.11, python3.12, python3.13 or python3.14."
  }
}

variable "reserved_concurrency" {
  description = "Executions kept free for the listener, and at most so many at a time. -1 reserves and limits nothing."
  type        = number
  default     = -1
}

variable "tags" {
  description = "Tags of all resources, beside application = keyturn."
  type        = map(string)
  default     = {}
}
