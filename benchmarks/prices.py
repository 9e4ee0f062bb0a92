"""List prices, quotas and the length of a month: us-east-1, 2026.

https://aws.amazon.com/secrets-manager/pricing/ https://aws.amazon.com/dynamodb/pricing/on-demand/
https://aws.amazon.com/lambda/pricing/ https://aws.amazon.com/cloudwatch/pricing/
https://aws.amazon.com/vpc/pricing/ https://aws.amazon.com/privatelink/pricing/
https://aws.amazon.com/cloudtrail/pricing/ https://aws.amazon.com/guardduty/pricing/
https://aws.amazon.com/appsync/pricing/ https://aws.amazon.com/iot-core/pricing/
https://aws.amazon.com/sns/pricing/ https://aws.amazon.com/sqs/pricing/ https://aws.amazon.com/s3/pricing/
https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
"""

from __future__ import annotations

from typing import Final

SECRETS_MANAGER_CALL: Final = 0.05 / 10_000
READ_UNIT: Final = 0.125 / 1e6
WRITE_UNIT: Final = 0.625 / 1e6
LAMBDA_REQUEST: Final = 0.20 / 1e6
LAMBDA_GB_S: Final = 0.0000133334
"""The price for arm64, as the template deploys it."""

NAT_GATEWAY_GB: Final = 0.045
"""What a NAT gateway adds for each GB that passes it; a gateway endpoint for DynamoDB adds nothing."""

NAT_GATEWAY_HOUR: Final = 0.045
"""A NAT gateway itself, in one availability zone."""

INTERFACE_ENDPOINT_HOUR: Final = 0.01
"""An interface endpoint, in one availability zone."""

TRAIL_DATA_EVENT: Final = 0.10 / 100_000
TRAIL_MANAGEMENT_EVENT: Final = 2.00 / 100_000
"""An event in a second trail; the first trail's management events cost nothing."""

GUARDDUTY_EVENT: Final = 4.00 / 1e6
"""A management event that GuardDuty analyses, in its first tier. It reads none of DynamoDB's data events."""

CONNECTED_MINUTE: Final = 0.08 / 1e6
"""A connected minute of AppSync Events and of IoT Core."""

DELIVERY: Final = 1.00 / 1e6
"""A message that AppSync Events or IoT Core delivers, of 5 KB at most."""

SQS_REQUEST: Final = 0.40 / 1e6
S3_EXPRESS_GET: Final = 0.03 / 1e6
CLOUDWATCH_ALARM: Final = 0.10
CLOUDWATCH_COMPOSITE_ALARM: Final = 0.50
CLOUDWATCH_METRIC: Final = 0.30
"""The price of a metric a month. Ten alarms and ten metrics are free in an account."""

HEAD_READS_PER_S_MAX: Final = 6_000
"""Eventually consistent reads of one item: a partition gives 3,000 read units a second."""

MARKER_READS_PER_S_MAX: Final = 3_000
"""Strongly consistent reads of one item, by the same rule."""

GET_SECRET_VALUE_PER_S_MAX: Final = 10_000
MONTH_S: Final = 30 * 86_400
