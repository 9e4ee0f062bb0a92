"""Secrets Manager as a `SecretSource`: GetSecretValue, and nothing else.

AWS's API reference for GetSecretValue is the source of every field name here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from keyturn.aws.answers import Call
from keyturn.aws.faults import asked
from keyturn.errors import SecretError, SecretNotFoundError, StageNotFoundError, UnavailableError
from keyturn.model.protocols import SecretSource
from keyturn.model.versions import AWSCURRENT, SecretVersion


class SecretsManagerClient(Protocol):
    """The one operation that keyturn uses of a boto3 or botocore client for Secrets Manager."""

    @property
    def get_secret_value(self) -> Call: ...


class SecretsManagerSource:
    """Reads versions through a client, which is made at the first read. Threads may share it.

    Every request names the stage, also beside a version id, because a policy may have a condition on
    `secretsmanager:VersionStage`.
    """

    def __init__(self, client: Callable[[], SecretsManagerClient]) -> None:
        self._client = client

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        """Read a version by one GetSecretValue; see `SecretSource.read`."""
        try:
            return self._read(secret_id, stage, version_id)
        except SecretNotFoundError as error:
            # moto answers this for a missing label as well. A second call tells whether the secret is
            # missing.
            if stage == AWSCURRENT or not self._exists(secret_id):
                raise
            raise StageNotFoundError(secret_id, f"no version has the label {stage}") from error

    def _exists(self, secret_id: str) -> bool:
        try:
            self._read(secret_id, AWSCURRENT, None)
        except SecretError:
            return False
        return True

    def _read(self, secret_id: str, stage: str, version_id: str | None) -> SecretVersion:
        if version_id is None:
            return _got(self._client, secret_id, VersionStage=stage)
        return _got(self._client, secret_id, VersionId=version_id, VersionStage=stage)


class PlacedSecrets:
    """Secrets Manager of every account and Region: each secret is read where its ARN says it is.

    `client` returns the client for an id; `reading` makes the source that reads through one client.
    """

    def __init__(
        self,
        client: Callable[[str], SecretsManagerClient],
        reading: Callable[[Callable[[], SecretsManagerClient]], SecretSource],
    ) -> None:
        self._client = client
        self._reading = reading

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        """Read a version by one GetSecretValue; see `SecretSource.read`."""
        there = self._reading(lambda: self._client(secret_id))
        return there.read(secret_id, stage=stage, version_id=version_id)


class VersionSource:
    """Reads versions by their id alone, whatever labels they carry. Its `stage` is a version id."""

    def __init__(self, client: Callable[[], SecretsManagerClient]) -> None:
        self._client = client

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        """Read the version whose id is `stage` by one GetSecretValue; see `SecretSource.read`."""
        return _got(self._client, secret_id, VersionId=version_id or stage)


def _got(client: Callable[[], SecretsManagerClient], secret_id: str, **version: str) -> SecretVersion:
    answer = asked(secret_id, lambda: client().get_secret_value(SecretId=secret_id, **version))
    return _parsed(answer, secret_id)


def _parsed(answer: Mapping[str, object], secret_id: str) -> SecretVersion:
    arn, name, version_id = answer.get("ARN"), answer.get("Name"), answer.get("VersionId")
    string, binary = answer.get("SecretString"), answer.get("SecretBinary")
    created, stages = answer.get("CreatedDate"), answer.get("VersionStages")
    if not (isinstance(arn, str) and isinstance(name, str) and isinstance(version_id, str)):
        raise _unusable(secret_id, "the answer has no ARN, Name or VersionId")
    if isinstance(string, str) == isinstance(binary, bytes):
        raise _unusable(secret_id, "the answer has none or both of SecretString and SecretBinary")
    return SecretVersion(
        secret_id=secret_id,
        arn=arn,
        # Where both texts are equal only one of them is kept in memory.
        name=secret_id if name == secret_id else name,
        version_id=version_id,
        stages=_shared(frozenset(label for label in stages if isinstance(label, str)))
        if isinstance(stages, Iterable)
        else frozenset(),
        created_s=_epoch_s(created) if isinstance(created, datetime) else None,
        string=string if isinstance(string, str) else None,
        binary=binary if isinstance(binary, bytes) else None,
    )


def _epoch_s(moment: datetime) -> float | None:
    """Convert a moment to epoch seconds; None for a moment that this platform's clock cannot express."""
    try:
        return moment.timestamp()
    except (OverflowError, OSError, ValueError):
        return None


@lru_cache(maxsize=64)
def _shared(labels: frozenset[str]) -> frozenset[str]:
    """Return the same object for equal sets of labels.

    Nearly every version has one of a few sets, so this saves memory.
    """
    return labels


def _unusable(secret_id: str, detail: str) -> SecretError:
    return UnavailableError(secret_id, detail, advice="try again; look for a proxy that cuts off answers")
