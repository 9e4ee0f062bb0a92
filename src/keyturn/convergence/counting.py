"""Which versions a fleet holds: what an environment reports and when, and how reports are counted. Pure.

An environment is one process with its cache. It reports when what it holds under AWSCURRENT has
changed, and again before its last report ends, so that a report that nobody renews ends by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from keyturn.model.instant import Instant
from keyturn.model.markers import Report

HELD_BYTES_MAX: Final = 380_000
"""Of an item's 400 KB (DynamoDB), the share of what is held; the rest is some hundred bytes."""

ENTRY_BYTES: Final = 4
"""What an entry of a map takes beside its name and its text (DynamoDB: 1 byte each, 3 for the map)."""

CLOCK_SKEW_MAX_S: Final = 300.0
"""A report from further in the future is none: AWS refuses what is signed by such a clock."""


class Told(NamedTuple):
    """An environment's last report: under which id, of which state, when; no other before `pause_s`.

    `moves` counts the changes of what is held; None where no report has got through. `failures` since
    the last good one, `trouble` why.
    """

    environment: str
    moves: int | None
    at: Instant
    pause_s: float
    reported: Instant | None = None
    failures: int = 0
    trouble: str | None = None


def is_due(told: Told | None, moves: int, now: Instant, half_life_s: float) -> bool:
    """Return True if a report is due: the first one, after a change, and `half_life_s` after the last."""
    if told is None:
        return True
    age_s = told.at.age_s(now)
    if age_s < told.pause_s:
        return False
    return moves != told.moves or age_s >= half_life_s


def merged(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What several caches hold, together; of one parameter in two versions the earlier one counts."""
    held: dict[str, str] = {}
    for part in parts:
        for key, version_id in part.items():
            held[key] = min(held.get(key, version_id), version_id, key=_age)
    return held


def _age(version_id: str) -> tuple[int, str]:
    """A parameter's versions are numbers; a shorter one is lower."""
    return len(version_id), version_id


def fitting(held: Mapping[str, str]) -> dict[str, str]:
    """As much of what is held as an item takes; of every environment the same keys come first."""
    left, kept = HELD_BYTES_MAX, dict[str, str]()
    for key in sorted(held):
        left -= len(key.encode()) + len(held[key].encode()) + ENTRY_BYTES
        if left < 0:
            break
        kept[key] = held[key]
    return kept


# Counting


def living(reports: Iterable[Report], now_s: float) -> list[Report]:
    """The reports that count at this moment (epoch seconds); DynamoDB deletes the others some days later."""
    latest_s = now_s + CLOCK_SKEW_MAX_S
    return [one for one in reports if one.reported_at_s <= latest_s and now_s < one.expires_at_s]


class Holders(NamedTuple):
    """The environments that hold one version: how many, by label, and when the last of them reported."""

    version_id: str
    environments: int
    labels: Mapping[str, int]
    reported_at_s: float


class Convergence(NamedTuple):
    """One secret (or parameter) by its marker key, with those who hold it, the most first.

    `current`: the version under AWSCURRENT in truth; None where nobody asked or it has none.
    """

    key: str
    current: str | None
    holders: tuple[Holders, ...]

    @property
    def environments(self) -> int:
        """How many hold it."""
        return sum(one.environments for one in self.holders)

    @property
    def on_current(self) -> int:
        """How many of them hold the current version."""
        return sum(one.environments for one in self.holders if one.version_id == self.current)

    @property
    def behind(self) -> tuple[Holders, ...]:
        """Those who hold another version."""
        return tuple(one for one in self.holders if one.version_id != self.current)

    @property
    def is_complete(self) -> bool:
        """Whether somebody reports it, and all who do hold the current version."""
        return 0 < self.environments == self.on_current


def counted(reports: Iterable[Report], current: Mapping[str, str | None]) -> tuple[Convergence, ...]:
    """Each secret that is reported or in `current` (marker key -> version id of AWSCURRENT), by key."""
    holders: dict[str, dict[str, list[Report]]] = {key: {} for key in current}
    for report in reports:
        for key, version_id in report.held.items():
            holders.setdefault(key, {}).setdefault(version_id, []).append(report)
    return tuple(Convergence(key, current.get(key), _holders(holders[key])) for key in sorted(holders))


def _holders(reports: Mapping[str, list[Report]]) -> tuple[Holders, ...]:
    found = [_of_one_version(version_id, some) for version_id, some in reports.items()]
    return tuple(sorted(found, key=lambda one: (-one.environments, one.version_id)))


def _of_one_version(version_id: str, reports: Sequence[Report]) -> Holders:
    labels = Counter(one.label for one in reports)
    return Holders(version_id, len(reports), labels, max(one.reported_at_s for one in reports))
