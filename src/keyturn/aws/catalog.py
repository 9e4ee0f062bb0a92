"""What AWS tells of secrets and parameters without their values.

The calls are DescribeSecret, ListSecrets and DescribeParameters. AWS's API reference is the source of every
field name here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from keyturn.aws.answers import Call, mapping, mappings
from keyturn.aws.faults import ADVICE_CREDENTIALS, Fault, FaultKind, called, fault_of, secret_error
from keyturn.errors import AccessDeniedError, ConfigurationError, KeyturnError, SecretError, UnavailableError
from keyturn.model.versions import AWSCURRENT, Described

PAGE_SIZE: Final = 100
"""How many secrets ListSecrets returns in one page (at most 100, API reference)."""

FILTER_VALUES_MAX: Final = 10
"""How many values one filter of ListSecrets takes at most."""

TAG: Final = re.compile(r"(?P<key>[\w :/@+.-]+)(=(?P<value>[\w :/@+.=-]*))?", re.ASCII)
"""KEY or KEY=VALUE, of the characters that a filter of ListSecrets takes (API reference, Filter)."""

PARAMETERS_PAGE_SIZE: Final = 50
"""How many parameters DescribeParameters returns in one page at most (API reference)."""

PARAMETERS_ATTEMPTS: Final = 10
"""How often a client should try one DescribeParameters: an account may make three such calls a second."""

LIST_OF: Final = "the list of"
"""What the errors of a list are about, in the place of "secret"."""

_REFUSED_FILTERS: Final = frozenset(
    {
        *("InvalidParameterException", "ValidationException"),
        *("InvalidFilterKey", "InvalidFilterOption", "InvalidFilterValue"),
    }
)
"""The codes of a filter that cannot be (API reference, ListSecrets and DescribeParameters)."""


class CatalogClient(Protocol):
    """The operations of a boto3 or botocore client for Secrets Manager that the catalog uses."""

    @property
    def describe_secret(self) -> Call: ...

    @property
    def list_secrets(self) -> Call: ...


class ListingClient(Protocol):
    """The operation of a boto3 or botocore client for Systems Manager that the listing uses."""

    @property
    def describe_parameters(self) -> Call: ...


class Tag(NamedTuple):
    """A tag that a secret must have. With `value=None` any value of the tag will do."""

    key: str
    value: str | None = None

    @classmethod
    def of(cls, text: str) -> Tag | None:
        """Return the tag that `KEY` or `KEY=VALUE` means; None for an empty text.

        Raises `ConfigurationError` for a text that no filter of ListSecrets takes.
        """
        if not text.strip():
            return None
        found = TAG.fullmatch(text.strip())
        if found is None:
            raise ConfigurationError(
                f"ListSecrets cannot filter by the tag {text!r}: give KEY or KEY=VALUE of ASCII letters, "
                "digits, spaces and _ : / @ + . -"
            )
        return cls(found["key"], found["value"])

    def is_on(self, entry: Mapping[str, object]) -> bool:
        """Return True if the secret that this entry of an answer describes has the tag."""
        return any(
            one.get("Key") == self.key and self.value in (None, one.get("Value"))
            for one in mappings(entry.get("Tags"))
        )


class SecretsManagerCatalog:
    """The `Catalog` of one account and Region. Threads may share it if they may share `client`.

    Args:
        client: a client for Secrets Manager.
        name_prefixes: `list` returns only secrets whose name starts with one of these; empty means all.
        tag: `list` returns only secrets that have this tag, and `describe` marks all others as not `wanted`.
    """

    def __init__(
        self, client: CatalogClient, *, name_prefixes: Sequence[str] = (), tag: Tag | None = None
    ) -> None:
        self._client = client
        self._name_prefixes = tuple(name_prefixes)
        self._tag = tag

    def describe(self, secret_id: str) -> Described:
        """Return the staging labels of one secret by DescribeSecret, whose answer may be some seconds old.

        Raises `SecretError`.
        """
        answer = called(
            lambda: self._client.describe_secret(SecretId=secret_id),
            lambda error: _described_error(error, secret_id),
        )
        described = _described(answer, stages=_labels(answer.get("VersionIdsToStages")))
        if described is None:
            raise UnavailableError(secret_id, "DescribeSecret's answer has no ARN or no Name")
        return described if self._has_tag(answer) else described._replace(wanted=False)

    def list(self) -> Iterator[Described]:
        """Yield the secrets by ListSecrets, whose answer may be five minutes old.

        Secrets that are scheduled for deletion are among them. Raises `SecretError`, or `ConfigurationError`
        if ListSecrets refuses the prefixes or the tag.
        """
        request: dict[str, object] = {"MaxResults": PAGE_SIZE, "IncludePlannedDeletion": True}
        filters = list(self._filters())
        if filters:
            request["Filters"] = filters
        while True:
            answer = _listed("secrets", "secretsmanager:ListSecrets", self._client.list_secrets, request)
            for entry in mappings(answer.get("SecretList")):
                described = _described(entry, stages=_labels(entry.get("SecretVersionsToStages")))
                # The filters of ListSecrets let too much through: they ignore the case of names, and take a
                # tag whose key or value only begins like the one asked for.
                if described is not None and self._is_wanted(described.name) and self._has_tag(entry):
                    yield described
            if not answer.get("NextToken"):
                return
            request["NextToken"] = answer["NextToken"]

    def _filters(self) -> Iterator[Mapping[str, object]]:
        if 0 < len(self._name_prefixes) <= FILTER_VALUES_MAX:
            yield {"Key": "name", "Values": list(self._name_prefixes)}
        if self._tag is not None:
            yield {"Key": "tag-key", "Values": [self._tag.key]}
            if self._tag.value:
                yield {"Key": "tag-value", "Values": [self._tag.value]}

    def _has_tag(self, entry: Mapping[str, object]) -> bool:
        return self._tag is None or self._tag.is_on(entry)

    def _is_wanted(self, name: str) -> bool:
        return not self._name_prefixes or name.startswith(self._name_prefixes)


class ParameterListing:
    """The `Listing` of the parameters whose names begin with one of `prefixes` (at least one).

    The number of a parameter's latest version stands under AWSCURRENT. An account may make three
    DescribeParameters a second, so `client` should make `PARAMETERS_ATTEMPTS` attempts.
    """

    def __init__(self, client: ListingClient, prefixes: Sequence[str]) -> None:
        self._client = client
        self._prefixes = tuple(prefixes)

    def list(self) -> Iterator[Described]:
        """Yield every parameter with its latest version.

        Raises `SecretError`, or `ConfigurationError` if DescribeParameters refuses the prefixes.
        """
        chosen = {"Key": "Name", "Option": "BeginsWith", "Values": list(self._prefixes)}
        request: dict[str, object] = {"MaxResults": PARAMETERS_PAGE_SIZE, "ParameterFilters": [chosen]}
        while True:
            answer = _listed(
                "parameters", "ssm:DescribeParameters", self._client.describe_parameters, request
            )
            for entry in mappings(answer.get("Parameters")):
                version = entry.get("Version")
                described = _described(entry, stages={AWSCURRENT: str(version)})
                if described is not None and isinstance(version, int):
                    yield described
            if not answer.get("NextToken"):
                return
            request["NextToken"] = answer["NextToken"]


def _listed(what: str, action: str, call: Call, request: Mapping[str, object]) -> Mapping[str, object]:
    """Return one page of the list of `what`. Raises `SecretError`, or `ConfigurationError` for a filter."""

    def failure(error: Exception) -> KeyturnError:
        fault = fault_of(error)
        match fault.kind:
            case FaultKind.DENIED:
                return AccessDeniedError(what, str(fault), advice=_allowing(action), noun=LIST_OF)
            case FaultKind.CREDENTIALS_WRONG:
                advice = fault.advice or ADVICE_CREDENTIALS
                return AccessDeniedError(what, str(fault), advice=advice, noun=LIST_OF)
            case FaultKind.CREDENTIALS_EXPIRED:
                advice = fault.advice or ADVICE_CREDENTIALS
                return UnavailableError(what, str(fault), advice=advice, noun=LIST_OF)
        if fault.kind is FaultKind.ARGUMENT or fault.code in _REFUSED_FILTERS:
            return ConfigurationError(_wrong_filter(what, action, fault))
        return UnavailableError(what, str(fault), advice=fault.advice or _later(action), noun=LIST_OF)

    return called(lambda: call(**request), failure)


def _described_error(error: Exception, secret_id: str) -> SecretError:
    """Make the error of a failed DescribeSecret, whose advice is not that of a read."""
    failed, action = secret_error(error, secret_id), "secretsmanager:DescribeSecret"
    if fault_of(error).kind is FaultKind.DENIED:
        return AccessDeniedError(secret_id, failed.detail, advice=_allowing(action))
    if isinstance(failed, UnavailableError) and failed.advice == UnavailableError.default_advice:
        return UnavailableError(secret_id, failed.detail, advice=_later(action))
    return failed


def _wrong_filter(what: str, action: str, fault: Fault) -> str:
    return f"{action} refused the filter of the list of {what} ({fault}); correct the prefixes or the tag"


def _allowing(action: str) -> str:
    return f"allow {action} to this role"


def _later(action: str) -> str:
    return (
        "try again; if it lasts, check the network path (VPC endpoint, DNS), the credentials and the quota "
        f"of {action}"
    )


def _described(entry: Mapping[str, object], *, stages: Mapping[str, str]) -> Described | None:
    arn, name = entry.get("ARN"), entry.get("Name")
    if not isinstance(arn, str) or not isinstance(name, str):
        return None
    changed = entry.get("LastChangedDate") or entry.get("LastModifiedDate")
    return Described(
        arn,
        name,
        stages,
        deleted=entry.get("DeletedDate") is not None,
        changed_s=changed.timestamp() if isinstance(changed, datetime) else None,
    )


def _labels(version_ids_to_stages: object) -> dict[str, str]:
    """Turn AWS's map version id -> staging labels into a map label -> version id.

    A secret without a value has an empty map.
    """
    return {
        label: version_id
        for version_id, labels in mapping(version_ids_to_stages).items()
        for label in (labels if isinstance(labels, list) else ())
        if isinstance(label, str) and isinstance(version_id, str)
    }
