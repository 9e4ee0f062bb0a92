"""What the decisions need of the world, as protocols of a few methods."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

from keyturn.model.markers import Head, Marker, MarkersRead, Report
from keyturn.model.versions import Described, SecretVersion

WRITES_MAX: Final = 99
"""Markers in one write: a transaction of DynamoDB takes 100 items, and the head is one of them."""

NAMES_MAX: Final = 10
"""Parameters in one read: GetParameters takes so many names, GetParametersByPath gives so many (AWS)."""


class Clock(Protocol):
    """The two clocks of a host, in seconds, as `time.time` and `time.monotonic`."""

    def wall(self) -> float: ...

    def monotonic(self) -> float: ...


class SecretSource(Protocol):
    """Reads one version of a secret with its value."""

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        """Read the version under `stage`; with `version_id`, that version if the label is on it.

        Raises a `SecretError`: `StageNotFoundError` when the secret is there but no version with a
        value fits `stage` (and `version_id`).
        """
        ...


@runtime_checkable
class CachedSource(SecretSource, Protocol):
    """A source with a cache of its own before Secrets Manager: an answer may be `ttl_s` seconds old."""

    @property
    def ttl_s(self) -> float: ...


@runtime_checkable
class ParameterSource(SecretSource, Protocol):
    """Reads parameters, also many in one call. All methods raise `ParameterError`.

    `read` takes AWSCURRENT for the latest version, else a label or a version number as `stage`.
    """

    def read_many(self, names: Sequence[str]) -> Mapping[str, SecretVersion]:
        """The latest versions of at most `NAMES_MAX` parameters, by name; what is not there is missing."""
        ...

    def read_path(self, path: str, *, recursive: bool) -> Iterator[SecretVersion]:
        """The latest versions of all parameters under `path`."""
        ...


class MarkerReader(Protocol):
    """The reader's side of the marker table. Both methods raise `MarkerTableError`."""

    def read_head(self, *, consistent: bool = False) -> Head | None:
        """The head, eventually consistent (half a read unit) unless asked; None without a usable one."""
        ...

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        """The markers of these keys, strongly consistent: never older than the head seen before."""
        ...


class Reports(Protocol):
    """Where environments report which versions they hold."""

    def write(self, report: Report) -> None:
        """Put this report in the place of the environment's last one. Raises `ConvergenceTableError`."""
        ...


class Listing(Protocol):
    """All secrets, or all parameters, without a value. Raises `SecretError`."""

    def list(self) -> Iterator[Described]: ...


class Catalog(Listing, Protocol):
    """What is known of secrets without reading a value. Both methods raise `SecretError`."""

    def describe(self, secret_id: str) -> Described: ...


class Seen(NamedTuple):
    """A marker as a writer saw it: the condition of its write.

    `marker` is None when there is no item or only a broken one. `mark` is opaque to all but the
    store that made it.
    """

    key: str
    marker: Marker | None
    mark: object


class MarkerStore(Protocol):
    """The writer's side of the marker table. All methods raise `MarkerTableError`."""

    def look(self, key: str) -> Seen:
        """The marker of `key`, strongly consistent."""
        ...

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        """Write at most `WRITES_MAX` markers and move the head, together, if none changed since seen.

        The store sets each marker's epoch and sequence. `MarkerConflictError`: nothing was written.
        """
        ...


class Lease(Protocol):
    """The sweep's side of the marker table. All methods raise `MarkerTableError`."""

    def now_s(self) -> float:
        """The table's own clock, epoch seconds."""
        ...

    def scan(self) -> Iterator[Seen]:
        """Every marker, strongly consistent; broken items too (`marker` is None)."""
        ...

    def absent(self, key: str) -> Seen:
        """What `look` gives for a key that has no item; asks nobody."""
        ...

    def renew(self, swept_as_of_s: float) -> None:
        """Say that all before `swept_as_of_s` is in the markers; moves only forward."""
        ...
