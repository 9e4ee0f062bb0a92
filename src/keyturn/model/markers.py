"""Markers, the head of the marker table, and convergence reports, as immutable values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

LEFT_MAX: Final = 20
"""A marker remembers at most so many versions that AWSCURRENT has left."""


class Marker(NamedTuple):
    """The item of one secret or parameter in the marker table. It is a reason to read again, never a proof.

    `key` is the ARN; of a secret without its random suffix. `left` holds the versions that AWSCURRENT has
    left, oldest first. `(epoch, sequence)` orders the writes of one item; the epoch is random and is made
    with the item. The marker of a parameter has the `token` of the last event, and under AWSCURRENT the
    number of the latest version if a sweep has listed the parameter since that event. `changed_at_s` is in
    epoch seconds, by the clock of the host that wrote the marker.
    """

    key: str
    arn: str
    stages: Mapping[str, str]
    left: tuple[str, ...] = ()
    deleted: bool = False
    token: str | None = None
    step: str | None = None
    reason: str = ""
    changed_at_s: float = 0.0
    epoch: str = ""
    sequence: int = 0


def left_after(left: Sequence[str], was_current: str | None, current: str | None) -> tuple[str, ...]:
    """Return the versions that AWSCURRENT has left, oldest first, after it has moved to `current`."""
    if was_current is None or was_current == current:
        return tuple(left)
    kept = [version_id for version_id in left if version_id not in (current, was_current)]
    return (*kept, was_current)[-LEFT_MAX:]


class Slot(NamedTuple):
    """A part of the head: it counts the writes of the markers whose keys belong to it.

    `total` grows with each write by a random step. `entry` says in a few bytes what the last write changed;
    see `keyturn.model.slots`. It is empty if that write was of several markers.
    """

    total: int = 0
    entry: bytes = b""


class Head(NamedTuple):
    """The head item of the marker table: `(epoch, counter)` changes with every write of markers.

    A table has one head, or several copies of it, each with an epoch, counts and a lease of its own.
    `copies` says how many, and `pace_s` over how many seconds a fleet is to spread what it reads because of
    a marker. The counts of `slots` grow by the same steps as `counter`; a writer of an older version moves
    only the counter. `untracked` is by how much they differed at the last sweep, and `untracked_at_s` when a
    sweep last found that changed, in epoch seconds by the table's clock. `swept_as_of_s` is the moment up to
    which the markers are complete: all that happened before it is in them. It is in epoch seconds by the
    table's own clock, and None before the first sweep. `answered_at_s` is the `Date` of the answer that
    carried the head, by the same clock; None if the answer had no `Date`.
    """

    epoch: str
    counter: int
    swept_as_of_s: float | None = None
    answered_at_s: float | None = None
    slots: tuple[Slot, ...] = ()
    copies: int = 1
    pace_s: float = 0.0
    untracked: int | None = None
    untracked_at_s: float | None = None

    @property
    def swept_age_s(self) -> float | None:
        """The age of `swept_as_of_s` in seconds when the head was read, by the table's clock.

        None if no sweep has run, or if the answer had no `Date`.
        """
        if self.swept_as_of_s is None or self.answered_at_s is None:
            return None
        return self.answered_at_s - self.swept_as_of_s


class MarkersRead(NamedTuple):
    """The answer to a read of several markers. Each key that was asked for is in exactly one of the four.

    `found` has the markers by their keys. `absent` keys have no usable item, `denied` ones the role may not
    read, and `unread` ones the table did not answer.
    """

    found: Mapping[str, Marker]
    absent: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()


class Report(NamedTuple):
    """The versions that one environment holds, as it reported them to the convergence table: ids, no values.

    `environment` is a random id, made at the first report of a process. `held` maps the key of a marker to
    the version id of AWSCURRENT, or to the latest version of a parameter. `left_out` counts the entries that
    did not fit into the report. `reported_at_s` and `expires_at_s` are in epoch seconds, by the environment's
    own clock. `label` says what kind of environment it is.
    """

    environment: str
    held: Mapping[str, str]
    reported_at_s: float
    expires_at_s: float
    label: str = ""
    left_out: int = 0
