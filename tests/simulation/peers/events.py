"""Events in the shapes in which AWS sends them, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Event: TypeAlias = dict[str, object]


def label_updated(arn: str, name: str, stage: str, version_id: str) -> Event:
    """Secrets Manager's own event, sent when a label moves to another version."""
    detail = {"name": name, "labelUpdated": stage, "versionId": version_id}
    return {
        "source": "aws.secretsmanager",
        "detail-type": "Secret Label Updated",
        "resources": [arn],
        "detail": detail,
    }


def api_call(event_name: str, arn: str, request: Mapping[str, object]) -> Event:
    """A call as CloudTrail reports it, minutes later."""
    return {
        "source": "aws.secretsmanager",
        "detail-type": "AWS API Call via CloudTrail",
        "resources": [],
        "detail": {
            "eventSource": "secretsmanager.amazonaws.com",
            "eventName": event_name,
            "requestParameters": dict(request),
            "responseElements": {"arn": arn},
        },
    }


def service_event(event_name: str, arn: str) -> Event:
    """What Secrets Manager did by itself, as CloudTrail reports it."""
    return {
        "source": "aws.secretsmanager",
        "detail-type": "AWS Service Event via CloudTrail",
        "detail": {
            "eventSource": "secretsmanager.amazonaws.com",
            "eventName": event_name,
            "requestParameters": None,
            "additionalEventData": {"SecretId": arn},
        },
    }


def parameter_changed(event_id: str, arn: str, name: str, operation: str) -> Event:
    """Parameter Store's own event, which has no version."""
    return {
        "id": event_id,
        "source": "aws.ssm",
        "detail-type": "Parameter Store Change",
        "resources": [arn],
        "detail": {"name": name, "operation": operation},
    }


def is_native(event: Event) -> bool:
    """Whether the event comes at once and without a trail."""
    return event.get("detail-type") in ("Secret Label Updated", "Parameter Store Change")
