"""What the decisions need of the world, as protocols with a few methods each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

from keyturn.model.markers import Head, Marker, MarkersRead, Report
from keyturn.model.versions import Described, SecretVersion

WRITES_MAX: Final = 99
"""One write takes at most so many markers: a transaction of DynamoDB takes 100 items."""

NAMES_MAX: Final = 10
"""GetParameters takes at most so many names, and GetParametersByPath returns at most so many parameters."""


class SecretSource(Protocol):
    """Reads one version of a secret with its value."""

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        """Read the version under the label `stage`, or the version `version_id`, which must have that label.

        Raises `SecretError`. It is a `StageNotFoundError` if the secret is there, but no version with a value
        fits `stage` and `version_id`.
        """
        ...


@runtime_checkable
class CachedSource(SecretSource, Protocol):
    """A source that has a cache of its own: an answer may be `ttl_s` seconds old."""

    @property
    def ttl_s(self) -> float: ...


@runtime_checkable
class ParameterSource(SecretSource, Protocol):
    """Reads parameters, also many by one call. All methods raise `ParameterError`.

    The `stage` of `read` is AWSCURRENT for the latest version, else a label or a version number.
    """

    def read_many(self, names: Sequence[str]) -> Mapping[str, SecretVersion]:
        """Read the latest versions of at most `NAMES_MAX` parameters, by their names or ARNs.

        All of them are in one account and Region. A parameter that does not exist is left out.
        """
        ...

    def read_path(self, path: str, *, recursive: bool) -> Iterator[SecretVersion]:
        """Yield the latest versions of all parameters under `path`."""
        ...


class MarkerReader(Protocol):
    """Reads the marker table for a cache. Both methods raise `MarkerTableError`."""

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        """Read the head, or a copy of it; None if there is no usable one.

        The read is eventually consistent, at half a read unit, unless `consistent` is set.
        """
        ...

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        """Read the markers of these keys, strongly consistent.

        So the markers are never older than a head that was read before.
        """
        ...


class Reports(Protocol):
    """Takes the reports of environments about the versions that they hold."""

    def write(self, report: Report) -> None:
        """Replace the environment's last report by this one. Raises `ConvergenceTableError`."""
        ...


class Listing(Protocol):
    """Lists all secrets, or all parameters, without their values. Raises `SecretError`."""

    def list(self) -> Iterator[Described]: ...


class Catalog(Listing, Protocol):
    """Describes secrets without their values. Both methods raise `SecretError`."""

    def describe(self, secret_id: str) -> Described: ...


class Seen(NamedTuple):
    """A marker as a writer read it, which is the condition of its next write.

    `marker` is None if there is no item, or if the item breaks the schema. Only the store that made `mark`
    can read it. `untold`: its writer may have been killed before it told the head, so that no reader has
    learned of the marker.
    """

    key: str
    marker: Marker | None
    mark: object
    untold: bool = False


class MarkerStore(Protocol):
    """Writes markers. All methods raise `MarkerTableError`."""

    def look(self, key: str) -> Seen:
        """Read the marker of `key`, strongly consistent."""
        ...

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        """Write at most `WRITES_MAX` markers, all or none, then tell the head and its copies.

        The store sets the epoch and the sequence of each marker. Raises `MarkerConflictError`, and writes
        nothing, if one of the markers has changed since it was read. After another error the markers may
        have been written and be untold.
        """
        ...

    def tell(self, seen: Sequence[Seen]) -> None:
        """Tell the head and its copies of at most `WRITES_MAX` markers that are untold."""
        ...


class Lease(Protocol):
    """Gives the sweep the whole marker table, and keeps how far the markers are complete.

    All methods but `absent` raise `MarkerTableError`.
    """

    def now_s(self) -> float:
        """Read the table's own clock, in epoch seconds."""
        ...

    def scan(self) -> Iterator[Seen]:
        """Yield every marker, strongly consistent. An item that breaks the schema has `marker` None."""
        ...

    def absent(self, key: str) -> Seen:
        """Return what `look` would return for a key without an item. Makes no call."""
        ...

    def renew(self, swept_as_of_s: float) -> None:
        """Record that all that happened before `swept_as_of_s` is in the markers.

        A moment before the one that is recorded already changes nothing.
        """
        ...


class SweptTable(MarkerStore, Lease, Protocol):
    """The marker table as a sweep needs it: read as a whole, written, and given a later lease."""
