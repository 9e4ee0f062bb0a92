"""What is known without reading a value: DescribeSecret, ListSecrets and DescribeParameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from keyturn.errors import AccessDeniedError, UnavailableError
from keyturn.sources.faults import secret_error
from keyturn.values import AWSCURRENT, Described

PAGE_SIZE: Final = 100
FILTER_VALUES_MAX: Final = 10
"""ListSecrets takes at most so many values of one filter."""
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


class SecretsManagerCatalog:
    """The `Catalog` of one account and Region. Holds no state: as thread-safe as `client`.

    `name_prefixes`: `list` gives only secrets whose name starts with one of them; empty means all.
    """

    def __init__(self, client: CatalogClient, *, name_prefixes: Sequence[str] = ()) -> None:
        self._client = client
        self._name_prefixes = tuple(name_prefixes)

    def describe(self, secret_id: str) -> Described:
        """The stages of one secret now, or some seconds ago. Raises `SecretError`."""
        answer = _asked(
            "secretsmanager:DescribeSecret", self._client.describe_secret, secret_id, SecretId=secret_id
        )
        described = _described(answer, stages=_labels(answer.get("VersionIdsToStages")))
        if described is None:
            raise UnavailableError(secret_id, "DescribeSecret's answer has no ARN or no Name")
        return described

    def list(self) -> Iterator[Described]:
        """The secrets as they were at most five minutes ago, deleted ones included. Raises `SecretError`."""
        request: dict[str, object] = {"MaxResults": PAGE_SIZE, "IncludePlannedDeletion": True}
        if 0 < len(self._name_prefixes) <= FILTER_VALUES_MAX:
            request["Filters"] = [{"Key": "name", "Values": list(self._name_prefixes)}]
        while True:
            answer = _asked("secretsmanager:ListSecrets", self._client.list_secrets, "*", **request)
            for entry in _entries(answer.get("SecretList")):
                described = _described(entry, stages=_labels(entry.get("SecretVersionsToStages")))
                # ListSecrets compares names without regard to case.
                if described is not None and self._is_wanted(described.name):
                    yield described
            if not answer.get("NextToken"):
                return
            request["NextToken"] = answer["NextToken"]

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
