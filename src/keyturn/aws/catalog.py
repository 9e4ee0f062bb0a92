"""What is known without reading a value: DescribeSecret, ListSecrets and DescribeParameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from keyturn.aws.faults import secret_error
from keyturn.errors import AccessDeniedError, ConfigurationError, UnavailableError
from keyturn.model.versions import AWSCURRENT, Described

PAGE_SIZE: Final = 100
FILTER_VALUES_MAX: Final = 10
"""ListSecrets takes at most so many values of one filter."""
TAG: Final = re.compile(r"(?P<key>[\w :/@+.-]+)(=(?P<value>[\w :/@+.=-]*))?", re.ASCII)
"""KEY or KEY=VALUE, of the characters that a filter of ListSecrets takes (API reference, Filter)."""
PARAMETERS_PAGE_SIZE: Final = 50
"""The largest page of DescribeParameters (API reference)."""

Call: TypeAlias = Callable[..., Mapping[str, object]]


class CatalogClient(Protocol):
    """The part of a Secrets Manager client (boto3's or botocore's) that is used."""

    @property
    def describe_secret(self) -> Call: ...

    @property
    def list_secrets(self) -> Call: ...


class ListingClient(Protocol):
    """The part of a Systems Manager client (boto3's or botocore's) that is used."""

    @property
    def describe_parameters(self) -> Call: ...


class Tag(NamedTuple):
    """A tag that a secret has to have, with this value; None: with any."""

    key: str
    value: str | None = None

    @classmethod
    def of(cls, text: str) -> Tag | None:
        """The tag of `KEY` or `KEY=VALUE`; None of an empty text. Raises `ConfigurationError`."""
        if not text.strip():
            return None
        found = TAG.fullmatch(text.strip())
        if found is None:
            raise ConfigurationError(
                f"the tag {text!r} cannot be looked for: give KEY or KEY=VALUE of ASCII letters, digits, "
                "spaces and _ : / @ + . -"
            )
        return cls(found["key"], found["value"])

    def is_on(self, entry: Mapping[str, object]) -> bool:
        """Whether the secret of an answer has it."""
        return any(
            one.get("Key") == self.key and self.value in (None, one.get("Value"))
            for one in _entries(entry.get("Tags"))
        )


class SecretsManagerCatalog:
    """The `Catalog` of one account and Region. Holds no state: as thread-safe as `client`.

    `name_prefixes`: `list` gives only secrets whose name starts with one of them; empty means all.
    `tag`: it gives only secrets that have it, and others that are described are not `wanted`.
    """

    def __init__(
        self, client: CatalogClient, *, name_prefixes: Sequence[str] = (), tag: Tag | None = None
    ) -> None:
        self._client = client
        self._name_prefixes = tuple(name_prefixes)
        self._tag = tag

    def describe(self, secret_id: str) -> Described:
        """The stages of one secret now, or some seconds ago. Raises `SecretError`."""
        answer = _asked(
            "secretsmanager:DescribeSecret", self._client.describe_secret, secret_id, SecretId=secret_id
        )
        described = _described(answer, stages=_labels(answer.get("VersionIdsToStages")))
        if described is None:
            raise UnavailableError(secret_id, "DescribeSecret's answer has no ARN or no Name")
        return described if self._has_tag(answer) else described._replace(wanted=False)

    def list(self) -> Iterator[Described]:
        """The secrets as they were at most five minutes ago, deleted ones included. Raises `SecretError`."""
        request: dict[str, object] = {"MaxResults": PAGE_SIZE, "IncludePlannedDeletion": True}
        filters = list(self._filters())
        if filters:
            request["Filters"] = filters
        while True:
            answer = _asked("secretsmanager:ListSecrets", self._client.list_secrets, "*", **request)
            for entry in _entries(answer.get("SecretList")):
                described = _described(entry, stages=_labels(entry.get("SecretVersionsToStages")))
                # ListSecrets compares names without regard to case, and keys and values of any tag by
                # their beginnings.
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

    The latest version's number stands under AWSCURRENT. DescribeParameters allows three calls a
    second in an account, so `client` should retry patiently.
    """

    def __init__(self, client: ListingClient, prefixes: Sequence[str]) -> None:
        self._client = client
        self._prefixes = tuple(prefixes)

    def list(self) -> Iterator[Described]:
        """Every parameter with its latest version. Raises `SecretError`."""
        chosen = {"Key": "Name", "Option": "BeginsWith", "Values": list(self._prefixes)}
        request: dict[str, object] = {"MaxResults": PARAMETERS_PAGE_SIZE, "ParameterFilters": [chosen]}
        while True:
            answer = _asked("ssm:DescribeParameters", self._client.describe_parameters, "*", **request)
            for entry in _entries(answer.get("Parameters")):
                version = entry.get("Version")
                described = _described(entry, stages={AWSCURRENT: str(version)})
                if described is not None and isinstance(version, int):
                    yield described
            if not answer.get("NextToken"):
                return
            request["NextToken"] = answer["NextToken"]


def _asked(action: str, call: Call, secret_id: str, **request: object) -> Mapping[str, object]:
    """The answer of a call that needs the right to `action`."""
    try:
        return call(**request)
    except Exception as error:
        failure = secret_error(error, secret_id)
        if failure is None:
            raise
        if isinstance(failure, AccessDeniedError):
            failure = AccessDeniedError(secret_id, failure.detail, advice=f"allow {action} to this role")
        raise failure from error


def _described(entry: Mapping[str, object], *, stages: Mapping[str, str]) -> Described | None:
    arn, name = entry.get("ARN"), entry.get("Name")
    if not isinstance(arn, str) or not isinstance(name, str):
        return None
    return Described(arn, name, stages, deleted=entry.get("DeletedDate") is not None)


def _labels(version_ids_to_stages: object) -> dict[str, str]:
    """Staging label -> version id, of AWS's map version id -> labels; {} for a secret without a value."""
    if not isinstance(version_ids_to_stages, Mapping):
        return {}
    return {
        label: version_id
        for version_id, labels in version_ids_to_stages.items()
        for label in (labels if isinstance(labels, list) else ())
        if isinstance(label, str) and isinstance(version_id, str)
    }


def _entries(listed: object) -> list[Mapping[str, object]]:
    return [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
