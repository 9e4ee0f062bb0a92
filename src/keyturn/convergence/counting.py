"""What an environment reports and when, and how reports are counted: decisions without I/O.

An environment is one process with its caches. It reports when the versions that it holds under AWSCURRENT
have changed, and again before its last report ends. So the report of an environment that is gone ends by
itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from keyturn.model.instant import Instant
from keyturn.model.markers import Report

HELD_BYTES_MAX: Final = 380_000
"""The map `held` takes at most so many of an item's 400 KB (DynamoDB). The rest takes some hundred bytes."""

ENTRY_BYTES: Final = 4
"""An entry of a map takes so many bytes beside its key and text (DynamoDB: 1 byte each, 3 for the map)."""

CLOCK_SKEW_MAX_S: Final = 300.0
"""A report from further in the future is ignored: AWS rejects requests that such a clock has signed."""


class LastReport(NamedTuple):
    """The last report that an environment has tried to make.

    Args:
        environment: the environment's id.
        moves: how often the held versions had changed when they were reported; None if the report failed.
        at: the moment of the report.
        pause_s: the seconds that must pass until the next report.
        reported: the moment of the last report that succeeded.
        failures: how many reports have failed since then.
        trouble: why the last report failed; None if it succeeded.
    """

    environment: str
    moves: int | None
    at: Instant
    pause_s: float
    reported: Instant | None = None
    failures: int = 0
    trouble: str | None = None


def is_due(last: LastReport | None, moves: int, now: Instant, half_life_s: float) -> bool:
    """Return True if a report is due: the first one, after a change, and `half_life_s` after the last."""
    if last is None:
        return True
    age_s = last.at.age_s(now)
    if age_s < last.pause_s:
        return False
    return moves != last.moves or age_s >= half_life_s


def merged(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Merge what several caches hold. If two caches hold one parameter, the earlier version counts."""
    held: dict[str, str] = {}
    for part in parts:
        for key, version_id in part.items():
            held[key] = min(held.get(key, version_id), version_id, key=_age)
    return held


def _age(version_id: str) -> tuple[int, str]:
    """Return a sort key: the versions of a parameter are numbers, so the shorter text is the lower one."""
    return len(version_id), version_id


def fitting(held: Mapping[str, str]) -> dict[str, str]:
    """Return as many of the held versions as fit into an item.

    All environments begin with the same keys, so that these are counted completely.
    """
    left, kept = HELD_BYTES_MAX, dict[str, str]()
    for key in sorted(held):
        left -= len(key.encode()) + len(held[key].encode()) + ENTRY_BYTES
        if left < 0:
            break
        kept[key] = held[key]
    return kept


# Counting


def living(reports: Iterable[Report], now_s: float) -> list[Report]:
    """Return the reports that count at `now_s`, in epoch seconds. DynamoDB deletes the others days later."""
    latest_s = now_s + CLOCK_SKEW_MAX_S
    return [report for report in reports if report.reported_at_s <= latest_s and now_s < report.expires_at_s]


class Holders(NamedTuple):
    """The environments that hold one version of a secret.

    `environments` is their number, and `labels` is their number by label. `reported_at_s` is the moment of
    the last of their reports, in epoch seconds.
    """

    version_id: str
    environments: int
    labels: Mapping[str, int]
    reported_at_s: float


class Convergence(NamedTuple):
    """One secret or parameter, by its marker key, and the environments that hold it.

    `current` is the version under AWSCURRENT in Secrets Manager; None if it is unknown or there is none.
    `holders` begins with the version that most environments hold.
    """

    key: str
    current: str | None
    holders: tuple[Holders, ...]

    @property
    def environments(self) -> int:
        """How many environments hold the secret."""
        return sum(version.environments for version in self.holders)

    @property
    def on_current(self) -> int:
        """How many environments hold the current version."""
        return sum(version.environments for version in self.holders if version.version_id == self.current)

    @property
    def behind(self) -> tuple[Holders, ...]:
        """The environments that hold another version."""
        return tuple(version for version in self.holders if version.version_id != self.current)

    @property
    def is_complete(self) -> bool:
        """Whether at least one environment holds the secret, and all of them hold the current version."""
        return 0 < self.environments == self.on_current


def counted(reports: Iterable[Report], current: Mapping[str, str | None]) -> tuple[Convergence, ...]:
    """Count the environments of each secret, in the order of the marker keys.

    `current` maps a marker key to the version id of AWSCURRENT. A secret in `current` is counted also if no
    report has it.
    """
    holders: dict[str, dict[str, list[Report]]] = {key: {} for key in current}
    for report in reports:
        for key, version_id in report.held.items():
            holders.setdefault(key, {}).setdefault(version_id, []).append(report)
    return tuple(Convergence(key, current.get(key), _holders(holders[key])) for key in sorted(holders))


class Current(NamedTuple):
    """The version under AWSCURRENT, or a parameter's latest version, and since when it may have been there.

    `since_s` is in epoch seconds: the label has not moved since then. None means unknown.
    """

    version_id: str
    since_s: float | None


class Standing(NamedTuple):
    """How far a fleet is.

    `environments` report, and `behind` of them hold a version of some secret that is not current.
    `oldest_behind_s` is for how long the secret that waits longest has been ahead of some environment, in
    seconds; 0 if none is behind. `secrets_behind` are the keys of these secrets, the longest wait first.
    """

    environments: int
    behind: int
    oldest_behind_s: float
    secrets_behind: tuple[str, ...]


def standing(reports: Sequence[Report], truth: Mapping[str, Current], now_s: float) -> Standing:
    """Compare reports that count with the current versions. Passes over a secret that is not in `truth`."""
    behind = [{key for key in report.held if is_behind(report, key, truth)} for report in reports]
    waits_s = {key: _waits_s(truth[key], now_s) for keys in behind for key in keys}
    return Standing(
        environments=len(reports),
        behind=sum(bool(keys) for keys in behind),
        oldest_behind_s=max(waits_s.values(), default=0.0),
        secrets_behind=tuple(sorted(waits_s, key=lambda key: (-waits_s[key], key))),
    )


def is_behind(report: Report, key: str, truth: Mapping[str, Current]) -> bool:
    """Return True if this environment holds another version than the current one."""
    return key in truth and report.held[key] != truth[key].version_id


def _waits_s(current: Current, now_s: float) -> float:
    return max(0.0, now_s - current.since_s) if current.since_s is not None else 0.0


def _holders(reports: Mapping[str, list[Report]]) -> tuple[Holders, ...]:
    found = [_of_one_version(version_id, some) for version_id, some in reports.items()]
    return tuple(sorted(found, key=lambda version: (-version.environments, version.version_id)))


def _of_one_version(version_id: str, reports: Sequence[Report]) -> Holders:
    labels = Counter(report.label for report in reports)
    return Holders(version_id, len(reports), labels, max(report.reported_at_s for report in reports))
