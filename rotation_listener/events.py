"""How events are parsed: to a hint about a secret or a parameter, to a request for a sweep, or to nothing.

Parsing has no side effects, and any JSON value gives a result and never an exception. These are the shapes:
"Secret Label Updated" (Secrets Manager user guide), the two kinds of CloudTrail events about Secrets Manager
(same guide, CloudTrail log entries), "Parameter Store Change" and "Parameter Store Policy Action" (Systems
Manager user guide), and keyturn's own `{"keyturn": "sweep"}` and `{"keyturn": "announce", "secret_id": …}`.
An event is only a hint, so a forged event costs one look at the secret and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from keyturn.errors import ConfigurationError, InvalidSecretIdError
from keyturn.markers.decisions import Hint, ParameterHint, announcement
from keyturn.model.names import SECRET_ID_LENGTH_MAX, Arn, is_parameter_key, is_secret_arn, parameter_key
from keyturn.model.versions import AWSCURRENT, AWSPENDING

Fields: TypeAlias = Mapping[str, object]

VERSION_ID_LENGTH_MAX: Final = 64
STAGE_LENGTH_MAX: Final = 256
TOKEN_LENGTH_MAX: Final = 128

NO_FIELDS: Final[Fields] = {}

API_CALLS: Final = frozenset(
    {
        "CancelRotateSecret",
        "CreateSecret",
        "DeleteSecret",
        "PutSecretValue",
        "RestoreSecret",
        "RotateSecret",
        "UpdateSecret",
        "UpdateSecretVersionStage",
    }
)
"""The API calls that can move a staging label, or change whether the secret can be read."""

SERVICE_EVENTS: Final = frozenset(
    {
        "CancelSecretVersionDelete",
        "EndSecretVersionDelete",
        "ReplicationSucceeded",
        "RotationAbandoned",
        "RotationFailed",
        "RotationStarted",
        "RotationSucceeded",
        "StartSecretVersionDelete",
        "TestRotationFailed",
        "TestRotationStarted",
        "TestRotationSucceeded",
    }
)
"""The events of Secrets Manager itself that can do the same.

The test of a rotation puts the label AWSPENDING on a version and takes it off again.
"""

PARAMETER_OPERATIONS: Final = frozenset({"Create", "Delete", "LabelParameterVersion", "Update"})


@dataclass(frozen=True, slots=True)
class Sweep:
    """A request to sweep."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that needs nothing, and why."""

    reason: str


Parsed: TypeAlias = Hint | ParameterHint | Sweep | Ignored


def parse(event: object) -> Parsed:
    """Parse any JSON value."""
    if not isinstance(event, Mapping):
        return Ignored("the event is no JSON object")
    detail = _fields(event, "detail")
    match event.get("keyturn"), event.get("detail-type"):
        case "sweep", _:
            return Sweep()
        case "announce", _:
            return _announced(event)
        case _, "Secret Label Updated":
            return _label_updated(event, detail)
        case _, "AWS API Call via CloudTrail":
            return _cloudtrail(event, detail, API_CALLS)
        case _, "AWS Service Event via CloudTrail":
            return _cloudtrail(event, detail, SERVICE_EVENTS)
        case _, "Parameter Store Change":
            return _parameter_changed(event, detail)
        case _, "Parameter Store Policy Action":
            return _policy_acted(event, detail)
    return Ignored("the event is of no kind that is about secrets or parameters")


def _announced(event: Fields) -> Hint | Ignored:
    secret_id, version_id, step = event.get("secret_id"), event.get("version_id"), event.get("step")
    if not isinstance(secret_id, str):
        return Ignored("the announcement names no secret")
    if step is not None and not isinstance(step, str):
        return Ignored("the announced step is not text")
    if version_id is not None and _text(version_id, VERSION_ID_LENGTH_MAX) is None:
        return Ignored("the announced version id is not 1 to 64 printable characters")
    try:
        return announcement(secret_id, version_id=_text(version_id, VERSION_ID_LENGTH_MAX), step=step)
    except (ConfigurationError, InvalidSecretIdError) as error:
        return Ignored(str(error))


def _label_updated(event: Fields, detail: Fields) -> Hint | Ignored:
    version_id = _text(detail.get("versionId"), VERSION_ID_LENGTH_MAX)
    return _hint(event, detail, version_id, _stage(detail, "labelUpdated"), "Secret Label Updated")


def _cloudtrail(event: Fields, detail: Fields, wanted: frozenset[str]) -> Hint | Ignored:
    name = detail.get("eventName")
    if detail.get("eventSource", "secretsmanager.amazonaws.com") != "secretsmanager.amazonaws.com":
        return Ignored("the event is not about Secrets Manager")
    if not isinstance(name, str) or name not in wanted:
        return Ignored("the call changes no staging label")
    if detail.get("errorCode") is not None:
        return Ignored("the call failed")
    version_id, stage = _cloudtrail_version(name, _fields(detail, "requestParameters"))
    return _hint(event, detail, version_id, stage, name)


def _cloudtrail_version(name: str, request: Fields) -> tuple[str | None, str | None]:
    """Return the version that an API call names, and the label that the call put on it."""
    token = _text(request.get("clientRequestToken"), VERSION_ID_LENGTH_MAX)
    match name:
        case "CreateSecret":
            return token, AWSCURRENT
        case "UpdateSecret":
            # A call that changes only the description looks the same, and makes no version.
            return token, None
        case "PutSecretValue":
            return token, _put_stage(request)
        case "RotateSecret" if request.get("rotateImmediately") is not False:
            return token, AWSPENDING
        case "UpdateSecretVersionStage":
            moved_to = _text(request.get("moveToVersionId"), VERSION_ID_LENGTH_MAX)
            return moved_to, _stage(request, "versionStage")
    return None, None


def _put_stage(request: Fields) -> str | None:
    """Return the label that PutSecretValue put on its version: AWSCURRENT unless the call names others."""
    stages = request.get("versionStages")
    if not isinstance(stages, list) or not stages or AWSCURRENT in stages:
        return AWSCURRENT
    return _text(stages[0], STAGE_LENGTH_MAX)


def _hint(
    event: Fields, detail: Fields, version_id: str | None, stage: str | None, reason: str
) -> Hint | Ignored:
    secret_id = next(_secret_ids(event, detail), None)
    if secret_id is None:
        return Ignored("the event names no secret")
    return Hint(secret_id, next(_names(detail), None), version_id, stage, reason=reason)


def _secret_ids(event: Fields, detail: Fields) -> Iterator[str]:
    """Yield the ids of the secret in an event, the most reliable first.

    The id that the caller of the API typed comes late, since it may be a name, a partial ARN or a full ARN.
    """
    resources = event.get("resources")
    answer, request = _fields(detail, "responseElements"), _fields(detail, "requestParameters")
    more, service = _fields(detail, "additionalEventData"), _fields(detail, "serviceEventDetails")
    arns = [one for one in resources if isinstance(one, str)] if isinstance(resources, list) else []
    candidates = (
        *(arn for arn in arns if is_secret_arn(arn)),
        # Some operations wrote "aRN" until February 2024.
        *(answer.get(name) for name in ("arn", "aRN", "ARN")),
        *(more.get(name) for name in ("SecretId", "ARN")),
        service.get("secretId"),
        *(request.get(name) for name in ("secretId", "name")),
        detail.get("name"),
    )
    return _texts(*candidates)


def _names(detail: Fields) -> Iterator[str]:
    """Yield the friendly names of the secret in an event."""
    answer, request = _fields(detail, "responseElements"), _fields(detail, "requestParameters")
    more = _fields(detail, "additionalEventData")
    return _texts(detail.get("name"), more.get("Name"), answer.get("name"), request.get("name"))


def _parameter_changed(event: Fields, detail: Fields) -> ParameterHint | Ignored:
    operation = detail.get("operation")
    if not isinstance(operation, str) or operation not in PARAMETER_OPERATIONS:
        return Ignored("the operation changes no parameter")
    if detail.get("exception") is not None:
        return Ignored("the change failed")
    deleted, reason = operation == "Delete", f"Parameter Store Change: {operation}"
    return _parameter_hint(event, detail.get("name"), reason, deleted=deleted)


def _policy_acted(event: Fields, detail: Fields) -> ParameterHint | Ignored:
    """Parse what a policy of a parameter did: only its expiration changes the parameter, and deletes it."""
    if detail.get("policy-type") != "Expiration":
        return Ignored("the policy of the parameter only notifies")
    status = detail.get("action-status")
    if isinstance(status, str) and "fail" in status.lower():
        return Ignored("the policy of the parameter could not act")
    reason = "Parameter Store Policy Action: Expiration"
    return _parameter_hint(event, detail.get("parameter-name"), reason, deleted=True)


def _parameter_hint(event: Fields, named: object, reason: str, *, deleted: bool) -> ParameterHint | Ignored:
    token = _text(event.get("id"), TOKEN_LENGTH_MAX)
    key = next(_parameter_keys(event, named), None)
    if token is None or key is None:
        return Ignored("the event names no parameter or has no id")
    return ParameterHint(key, token, deleted, reason)


def _parameter_keys(event: Fields, named: object) -> Iterator[str]:
    resources = event.get("resources")
    name = next(_texts(named), None)
    for text in _texts(*resources) if isinstance(resources, list) else ():
        arn = Arn.parse(text)
        if arn is None or arn.service != "ssm" or not arn.resource.startswith("parameter/"):
            continue
        key = parameter_key(arn, name or arn.resource.removeprefix("parameter/"))
        # A marker is made from such an event alone, so its name must be one that a parameter can have.
        if is_parameter_key(key):
            yield key


def _fields(owner: Fields, name: str) -> Fields:
    fields = owner.get(name)
    return fields if isinstance(fields, Mapping) else NO_FIELDS


def _stage(owner: Fields, name: str) -> str | None:
    return _text(owner.get(name), STAGE_LENGTH_MAX)


def _texts(*candidates: object) -> Iterator[str]:
    """Yield the candidates that can be the name or the ARN of a secret or a parameter."""
    return (text for one in candidates if (text := _text(one, SECRET_ID_LENGTH_MAX)) is not None)


def _text(value: object, length_max: int) -> str | None:
    """Return `value` if it is a printable text of 1 to `length_max` characters, else None."""
    return value if isinstance(value, str) and value.isprintable() and 1 <= len(value) <= length_max else None
