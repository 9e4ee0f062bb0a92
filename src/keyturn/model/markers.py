"""Markers, the head of the marker table and convergence reports, as immutable values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

LEFT_MAX: Final = 20
"""How many versions that AWSCURRENT has left a marker remembers."""


class Marker(NamedTuple):
    """One secret's (or parameter's) item in the marker table: a hint to re-read, never a belief.

    `key` is the ARN without a secret's random suffix, `left` the versions that AWSCURRENT has
    left, oldest first. `(epoch, sequence)` orders the writers of one item; the epoch is random,
    made with the item. A parameter's marker has the `token` of its last event, and the latest
    version's number under AWSCURRENT if the sweep has listed it since.
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


class Head(NamedTuple):
    """The table's one head item: `(epoch, counter)` moves with every marker.

    `swept_as_of_s`: everything that happened before this moment is in the markers (epoch seconds
    by the table's own clock; None before the first sweep). `answered_at_s`: the `Date` of the
    answer that carried the head, by the same clock; None when the answer had none.
    """

    epoch: str
    counter: int
    swept_as_of_s: float | None = None
    answered_at_s: float | None = None


class MarkersRead(NamedTuple):
    """The answer to a read of several markers: each key is in exactly one of the four."""

    found: Mapping[str, Marker]
    absent: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()


class Report(NamedTuple):
    """What one environment holds, as it told the convergence table: ids, never a value.

    `environment` is random, made at the first report of a process. `held` maps the key of a marker to
    the version id of AWSCURRENT (of a parameter the latest version), `left_out` counts what did not fit.
    The moments are epoch seconds by the environment's own clock.
    """

    environment: str
    held: Mapping[str, str]
    reported_at_s: float
    expires_at_s: float
    label: str = ""
    left_out: int = 0
