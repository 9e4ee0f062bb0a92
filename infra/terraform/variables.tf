variable "name" {
  description = "The beginning of the names of all resources. Two installations in one Region need two names. A change makes all resources anew, also the tables."
  type        = string
  default     = "keyturn"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,30}$", var.name))
    error_message = "name has 1 to 31 letters, digits and hyphens, and begins with a letter."
  }
}

variable "listener_zip" {
  description = "Path of rotation_listener.zip, as `keyturn stack --listener-zip` builds it. Null if the code is in a bucket or at a URL."
  type        = string
  default     = null
}

variable "listener_zip_url" {
  description = "Where rotation_listener.zip is fetched from, by curl, on the machine that runs terraform. Null if it is a file or in a bucket."
  type        = string
  default     = null

  validation {
    condition     = var.listener_zip_url == null || can(regex("^https?://[!-~]+$", var.listener_zip_url))
    error_message = "listener_zip_url is a URL, https://HOST/PATH."
  }
}

variable "listener_zip_sha256" {
  description = "The SHA-256 of the file at that URL, in hexadecimal digits. A file with another hash is not deployed."
  type        = string
  default     = null

  validation {
    condition     = var.listener_zip_sha256 == null || can(regex("^[0-9a-f]{64}$", var.listener_zip_sha256))
    error_message = "listener_zip_sha256 has 64 hexadecimal digits, in lower case."
  }
}

variable "code_bucket" {
  description = "The S3 bucket, in this Region, that holds rotation_listener.zip. Null if the code is a file or at a URL."
  type        = string
  default     = null

  validation {
    condition     = var.code_bucket == null || can(regex("^[A-Za-z0-9._-]{2,62}[A-Za-z0-9_-]$", var.code_bucket))
    error_message = "code_bucket is the name of a bucket, without s3:// and without a key."
  }
}

variable "code_key" {
  description = "The key of rotation_listener.zip in that bucket."
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

variable "name_prefixes" {
  description = "Prefixes of secret names to keep markers for. Empty means every secret. The listener may describe these secrets and no others, and readers may read their markers."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.name_prefixes) <= 10 && length(join(",", var.name_prefixes)) <= 2500 && alltrue([for prefix in var.name_prefixes : can(regex("^[A-Za-z0-9/_+=.@!-]+$", prefix))])
    error_message = "name_prefixes is at most ten prefixes, of 2500 characters in all, of letters, digits and / _ + = . @ ! -"
  }
}

variable "secret_tag" {
  description = "Only secrets with this tag get markers, KEY or KEY=VALUE. Empty means every secret."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9_ :/@+.-]+(=[A-Za-z0-9_ :/@+.=-]*)?)?$", var.secret_tag))
    error_message = "secret_tag is KEY or KEY=VALUE of letters, digits, spaces and _ : / @ + . -"
  }
}

variable "parameter_prefixes" {
  description = "Prefixes of parameters. Only the events of these parameters reach the listener, and the sweep puts their versions into markers. If it is empty, parameter_events decides."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.parameter_prefixes) <= 10 && length(join(",", var.parameter_prefixes)) <= 750 && alltrue([for one in var.parameter_prefixes : can(regex("^[A-Za-z0-9/_.-]+$", one))])
    error_message = "parameter_prefixes is at most ten prefixes, of 750 characters in all, of letters, digits and / _ . -."
  }
}

variable "parameter_events" {
  description = "Whether the events of all parameters reach the listener if parameter_prefixes is empty. Set it to false if no process reads parameters through keyturn."
  type        = bool
  default     = true
  nullable    = false
}

variable "cloudtrail_events" {
  description = "Whether the listener also gets CloudTrail's events: of a trail that the Region already has, or of a trail that the module makes."
  type        = string
  default     = "of-your-trail"
  nullable    = false

  validation {
    condition     = contains(["ignored", "of-your-trail", "of-own-trail"], var.cloudtrail_events)
    error_message = "cloudtrail_events is ignored, of-your-trail or of-own-trail."
  }
}

variable "settle_seconds" {
  description = "How long the listener waits until DescribeSecret shows the change that an event reported."
  type        = number
  default     = 6
  nullable    = false

  validation {
    condition     = var.settle_seconds >= 0 && var.settle_seconds <= 60
    error_message = "settle_seconds is 0 to 60."
  }
}

variable "head_copies" {
  description = "How many copies of the head the marker table has. One serves 30,000 processes that check every 5 seconds. Update all functions that announce before you raise it."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = contains(range(1, 33), var.head_copies)
    error_message = "head_copies is a whole number from 1 to 32."
  }
}

variable "pace_seconds" {
  description = "Over how many seconds processes spread their reads of a secret that has rotated: their number divided by 9,000, and 5 seconds more. 0 for fewer than 10,000."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.pace_seconds >= 0 && var.pace_seconds <= 600
    error_message = "pace_seconds is 0 to 600."
  }
}

variable "create_table_parameter" {
  description = "Whether a parameter of Parameter Store holds the marker table's name, where every program of the account finds it."
  type        = bool
  default     = true
  nullable    = false
}

variable "table_parameter" {
  description = "The path of the parameter that holds the marker table's name. A second installation in the Region needs one of its own."
  type        = string
  default     = "/keyturn/marker-table"
  nullable    = false

  validation {
    condition     = can(regex("^(/[A-Za-z0-9_.-]+)+$", var.table_parameter))
    error_message = "table_parameter is the full path of a parameter, such as /keyturn/marker-table."
  }
}

variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the marker table. Set it to false before you destroy the module."
  type        = bool
  default     = true
  nullable    = false
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

variable "reader_accounts" {
  description = "Other accounts whose processes read the marker table: their numbers. They see names of secrets and version ids, and no value."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.reader_accounts) <= 100 && alltrue([for account in var.reader_accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "reader_accounts is at most a hundred numbers of accounts, of 12 digits each."
  }
}

variable "reader_organization" {
  description = "The id of an organization whose accounts all read the marker table, beside reader_accounts. Null means none."
  type        = string
  default     = null

  validation {
    condition     = var.reader_organization == null || can(regex("^o-[a-z0-9]{10,32}$", var.reader_organization))
    error_message = "reader_organization is the id of an organization, such as o-a1b2c3d4e5."
  }
}

variable "create_table_policy" {
  description = "Whether the marker table gets a policy for reader_accounts and reader_organization. Null means: if one of them is given. Say true where the organization's id is known only after the apply."
  type        = bool
  default     = null
}

variable "convergence" {
  description = "Whether there is a table to which environments report the versions that they hold, and whether readers may write it. A function then counts every five minutes how many environments are behind."
  type        = bool
  default     = false
  nullable    = false
}

variable "create_convergence_table_parameter" {
  description = "Whether a parameter of Parameter Store holds the convergence table's name."
  type        = bool
  default     = true
  nullable    = false
}

variable "convergence_table_parameter" {
  description = "The path of the parameter that holds the convergence table's name. A second installation in the Region needs one of its own."
  type        = string
  default     = "/keyturn/convergence-table"
  nullable    = false

  validation {
    condition     = can(regex("^(/[A-Za-z0-9_.-]+)+$", var.convergence_table_parameter))
    error_message = "convergence_table_parameter is the full path of a parameter, such as /keyturn/convergence-table."
  }
}

variable "behind_seconds" {
  description = "How long after a rotation an environment may hold the old version before the alarm. An environment that is gone counts for 900 seconds after its last report."
  type        = number
  default     = 1800
  nullable    = false

  validation {
    condition     = var.behind_seconds >= 900 && var.behind_seconds <= 86400
    error_message = "behind_seconds is 900 to 86400."
  }
}

variable "dashboard" {
  description = "Whether there is a dashboard of listener, markers, fleet and readers. CloudWatch bills it beyond three in an account."
  type        = bool
  default     = false
  nullable    = false
}

variable "alarm_topic_arn" {
  description = "The SNS topic that the alarms notify. Null means no topic."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn is the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME."
  }
}

variable "permissions_boundary" {
  description = "The ARN of a managed policy that limits the listener's role, if your organisation demands it. Null means none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9_+=,.@/-]+$", var.permissions_boundary))
    error_message = "permissions_boundary is the ARN of a managed policy, arn:aws:iam::ACCOUNT:policy/NAME."
  }
}

variable "log_retention_days" {
  description = "Days the listener's log is kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "log_retention_days is 1, 3, 5, 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "runtime" {
  description = "The Python that Lambda runs the listener with. The AWS provider knows python3.14 from 6.20 on."
  type        = string
  default     = "python3.13"
  nullable    = false

  validation {
    condition     = contains(["python3.11", "python3.12", "python3.13", "python3.14"], var.runtime)
    error_message = "runtime is python3.11, python3.12, python3.13 or python3.14."
  }
}

variable "reserved_concurrency" {
  description = "The concurrency that is reserved for the listener, which is also its limit. -1 reserves and limits nothing."
  type        = number
  default     = -1
  nullable    = false

  validation {
    condition     = var.reserved_concurrency == -1 || (var.reserved_concurrency >= 1 && floor(var.reserved_concurrency) == var.reserved_concurrency)
    error_message = "reserved_concurrency is -1, or a whole number from 1; with 0 the listener would never run."
  }
}

variable "tags" {
  description = "Tags of all resources, beside application = keyturn."
  type        = map(string)
  default     = {}
  nullable    = false
}
