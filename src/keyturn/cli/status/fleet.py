"""The environments that report to the convergence table, and their versions, for `keyturn status`. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keyturn.cli.output import short_key
from keyturn.cli.status.overview import Compared, Overview, is_comparable
from keyturn.convergence.counting import Convergence, Holders, counted, living
from keyturn.convergence.table import ReportsRead
from keyturn.model.versions import AWSCURRENT


@dataclass(frozen=True, slots=True)
class Fleet:
    """The environments whose reports count at `now_s` (the table's clock), and each secret that they hold.

    `reporting` is the number that `--expect` counts: all environments or, where secrets are named, those that
    hold the secret that the fewest hold. `truncated` counts environments that hold more than fits a report,
    `unusable` items that are no reports.
    """

    secrets: tuple[Convergence, ...]
    environments: int
    reporting: int
    truncated: int
    unusable: int
    now_s: float

    @property
    def is_on_current(self) -> bool:
        """Return True if every environment holds AWSCURRENT of each secret whose current version is known.

        Returns False if no current version is known.
        """
        known = [one for one in self.secrets if one.current is not None]
        return bool(known) and all(one.is_complete for one in known)


def fleet_of(read: ReportsRead, overview: Overview, now_s: float, *, all_secrets: bool) -> Fleet:
    """Compare the reports with the overview: all reported secrets, or only those that the overview names.

    `now_s` is this host's clock in epoch seconds. It is used if the answer had no Date header.
    """
    now_s = read.answered_at_s if read.answered_at_s is not None else now_s
    reports, truth = living(read.reports, now_s), {one.key: _current(one) for one in overview.secrets}
    every = counted(reports, truth)
    shown = tuple(one for one in every if (one.holders if all_secrets else one.key in truth))
    return Fleet(
        secrets=shown,
        environments=len(reports),
        reporting=len(reports) if all_secrets else min((one.environments for one in shown), default=0),
        truncated=sum(bool(one.left_out) for one in reports),
        unusable=read.unusable,
        now_s=now_s,
    )


def _current(one: Compared) -> str | None:
    """Return the version under AWSCURRENT: DescribeSecret's of a secret, the sweep's of a parameter."""
    if one.described is not None:
        return one.described.stages.get(AWSCURRENT)
    if one.marker is None or is_comparable(one.marker):
        return None
    return one.marker.stages.get(AWSCURRENT)


# The functions below put a fleet into words.


def headline(one: Convergence) -> str:
    """Return in words how many environments are on the current version."""
    if one.current is None:
        versions = ", ".join(f"{some.environments} on {some.version_id}" for some in one.holders)
        return f"not compared: {versions or 'no environment reports it'}"
    if not one.holders:
        return f"no environment reports it; AWSCURRENT is {one.current}"
    return f"{one.on_current} of {one.environments} environments on {one.current}"


def labels(some: Holders) -> str:
    """Return how many environments have each label, the most frequent label first."""
    counts = sorted(some.labels.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{label or 'no label'} {number}" for label, number in counts)


def rows(fleet: Fleet) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each secret, and below it a row for each version that is behind.

    Such a row has the number of environments, their labels, and the age of the latest report.
    """
    for one in fleet.secrets:
        yield short_key(one.key), headline(one), "", ""
        for some in one.behind if one.current is not None else ():
            age = f"{_age_s(some, fleet.now_s):.0f} s ago"
            yield "", f"{some.environments} behind on {some.version_id}", labels(some), age


def _age_s(some: Holders, now_s: float) -> float:
    """Return how old the last report is. An environment's clock may be ahead of the table's."""
    return max(0.0, now_s - some.reported_at_s)


def notes(fleet: Fleet) -> Iterator[str]:
    """Yield what else the reader of the table should learn."""
    if not fleet.environments:
        yield "No environment reports: do they have --convergence-table's name, and dynamodb:PutItem on it?"
    if fleet.truncated:
        yield (
            f"Environments with more secrets than fit a report: {fleet.truncated}; keyturn help convergence."
        )
    if fleet.unusable:
        yield f"Items of the table that are not reports: {fleet.unusable}."


def document(fleet: Fleet) -> dict[str, object]:
    """Return the fleet for JSON."""
    return {
        "on_current": fleet.is_on_current,
        "environments": fleet.environments,
        "truncated": fleet.truncated,
        "unusable": fleet.unusable,
        "secrets": [_secret(one, fleet.now_s) for one in fleet.secrets],
    }


def _secret(one: Convergence, now_s: float) -> Mapping[str, object]:
    return {
        "key": one.key,
        "current": one.current,
        "environments": one.environments,
        "on_current": one.on_current,
        "complete": one.is_complete,
        "versions": [
            {
                "version_id": some.version_id,
                "environments": some.environments,
                "labels": dict(some.labels),
                "reported_at_s": some.reported_at_s,
                "reported_age_s": _age_s(some, now_s),
            }
            for some in one.holders
        ],
    }
