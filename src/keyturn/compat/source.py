"""Secrets Manager as aws-secretsmanager-caching calls it: DescribeSecret, then GetSecretValue by version id.

This is for `keyturn.compat`. The calls are upstream's, so its users' policies, stubs and hooks keep working.
A version that the cache still holds is not read again; it gets its labels from DescribeSecret.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, Self

from keyturn.aws.faults import asked
from keyturn.errors import SecretError, StageNotFoundError
from keyturn.model.bounded import make_room
from keyturn.model.concealed import Concealed
from keyturn.model.versions import SecretVersion

FAILURES_MAX = 2048
"""So many of the last failures are kept."""


class DescribingClient(Protocol):
    """The two operations that upstream uses of its client."""

    def describe_secret(self, *, SecretId: str) -> Mapping[str, object]: ...

    def get_secret_value(self, *, SecretId: str, VersionId: str) -> Mapping[str, object]: ...


class Hook(Protocol):
    """Upstream's `SecretCacheHook`.

    `put` returns the object to keep for an answer, `get` returns the answer.
    """

    def put(self, obj: Mapping[str, object]) -> object: ...

    def get(self, cached_obj: object) -> Mapping[str, object]: ...


class Kept:
    """What a hook made of an answer: perhaps the value, so `repr`, `asdict` and copies do not look in."""

    __slots__ = ("content",)

    def __init__(self, content: object) -> None:
        self.content = content

    def __repr__(self) -> str:
        return "<concealed>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _copied: object) -> Self:
        return self


# As `Concealed`, it names no fields to tools that look for them.
del Kept.__slots__


@dataclass(frozen=True, slots=True, weakref_slot=True, init=False)
class DescribedVersion(SecretVersion):
    """A version read by its id. With a hook, `kept` is all that the version holds of the answer.

    Unlike other versions it may have neither text nor bytes, since upstream allows that.
    """

    kept: Kept = field(repr=False)

    def __init__(  # noqa: PLR0917 # as a version takes them
        self,
        secret_id: str,
        arn: str,
        name: str,
        version_id: str,
        stages: frozenset[str],
        created_s: float | None = None,
        *,
        string: str | None = None,
        binary: bytes | None = None,
        concealed: Concealed | None = None,
        kept: Kept | None = None,
    ) -> None:
        # By its name: see `Parameter`.
        SecretVersion.__init__(
            self, secret_id, arn, name, version_id, stages, created_s, string, binary, concealed
        )
        object.__setattr__(self, "kept", kept or Kept(None))

    @property
    def stored(self) -> object:
        """What the hook made of the answer; None without a hook."""
        return self.kept.content


class DescribedSource:
    """A `SecretSource` that makes upstream's calls. Threads may share it.

    With a `hook`, neither this object nor the cache keeps a value, except the object that the hook made.
    """

    def __init__(self, client: DescribingClient, hook: Hook | None = None) -> None:
        self._client = client
        self._hook = hook
        self._held: weakref.WeakValueDictionary[tuple[str, str], DescribedVersion] = (
            weakref.WeakValueDictionary()
        )
        # Of an id several: each of its stages may have failed in another way.
        self._failures: dict[tuple[str, str], Exception] = {}

    def failure(self, secret_ids: Iterable[str], detail: str) -> Exception | None:
        """Return a copy of the client's error that became an error with this detail, for one of these ids.

        None for another error: of an answer that may not be shown, or of a wait in vain.
        """
        failures = (self._failures.get((one, detail)) for one in secret_ids)
        return next((_copy(one) for one in failures if one is not None), None)

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> DescribedVersion:
        """Read a version. See `SecretSource.read`. A given version is read without a DescribeSecret."""
        if version_id is not None:
            return self._checked(self._fetched(secret_id, version_id, {}), stage)
        described = self._asked(secret_id, lambda: self._client.describe_secret(SecretId=secret_id))
        labels = dict(_labels(described))
        version_id = next((one for one, names in labels.items() if stage in names), None)
        if version_id is None:
            raise StageNotFoundError(secret_id, f"no version has the label {stage}")
        held = self._held.get((_text(described, "ARN", secret_id), version_id))
        if held is None or described.get("DeletedDate") is not None:
            return self._checked(self._fetched(secret_id, version_id, described, labels[version_id]), stage)
        return self._kept(replace(held, secret_id=secret_id, stages=labels[version_id]))

    def _fetched(
        self,
        secret_id: str,
        version_id: str,
        described: Mapping[str, object],
        stages: frozenset[str] = frozenset(),
    ) -> DescribedVersion:
        """Call GetSecretValue. Fields that its answer lacks are taken from DescribeSecret."""
        answer = self._asked(
            secret_id, lambda: self._client.get_secret_value(SecretId=secret_id, VersionId=version_id)
        )
        created, named = answer.get("CreatedDate"), answer.get("VersionStages")
        string, binary = answer.get("SecretString"), answer.get("SecretBinary")
        hook = self._hook
        return self._kept(
            DescribedVersion(
                secret_id=secret_id,
                arn=_text(answer, "ARN", _text(described, "ARN", secret_id)),
                name=_text(answer, "Name", _text(described, "Name", secret_id)),
                version_id=version_id,
                stages=_texts(named) if named is not None else stages,
                created_s=created.timestamp() if isinstance(created, datetime) else None,
                string=string if isinstance(string, str) and hook is None else None,
                binary=binary if isinstance(binary, bytes) and hook is None else None,
                kept=Kept(hook.put(answer)) if hook is not None else None,
            )
        )

    def _kept(self, version: DescribedVersion) -> DescribedVersion:
        """Remember the version for as long as the cache holds it."""
        self._held[version.identity] = version
        return version

    def _checked(self, version: DescribedVersion, stage: str) -> DescribedVersion:
        if stage not in version.stages:
            raise StageNotFoundError(version.secret_id, f"{version.version_id} is not {stage}")
        return version

    def _asked(self, secret_id: str, call: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
        """Return the answer of a call. Remember its failure and raise it as a `SecretError`.

        A success forgets nothing: another stage of the secret may still be answered by its own failure.
        """
        try:
            return asked(secret_id, call)
        except SecretError as error:
            # An older one of this detail must go, whether this one may be handed on or not.
            self._failures.pop((secret_id, error.detail), None)
            if isinstance(error.__cause__, Exception):
                self._failures[secret_id, error.detail] = _copy(error.__cause__)
                make_room(self._failures, FAILURES_MAX)
            raise


def _copy(error: Exception) -> Exception:
    """Return an error of the same class, for another thread to raise.

    `copy.copy` makes a plain `ClientError` of an error of `client.exceptions`.
    """
    kind = type(error)
    again = kind.__new__(kind, *error.args)
    again.__dict__.update(vars(error))
    return again


def _labels(described: Mapping[str, object]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each version id with its labels."""
    versions = described.get("VersionIdsToStages")
    for version_id, labels in versions.items() if isinstance(versions, Mapping) else ():
        yield str(version_id), _texts(labels)


def _texts(labels: object) -> frozenset[str]:
    return frozenset(str(label) for label in labels) if isinstance(labels, Iterable) else frozenset()


def _text(answer: Mapping[str, object], name: str, otherwise: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else otherwise
