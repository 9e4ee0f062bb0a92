"""The figures of a run. Pure functions compute them from its records."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Final

from keyturn.demo.contenders import CONTENDERS, KEYTURN_GET, KEYTURN_LOGIN
from keyturn.demo.records import Kind, Move, Run

DOLLARS_PER_MILLION: Final = {
    "GetSecretValue": 5.0,
    "DescribeSecret": 5.0,
    "GetItem": 0.0625,
    "BatchGetItem": 0.125,
}
"""List prices of us-east-1 in 2026, for an aws/secretsmanager key and items of at most 4 KB.

Secrets Manager costs $0.05 per 10,000 calls. DynamoDB on demand costs $0.125 per million read units; an
eventually consistent GetItem is half a unit. (keyturn's one strongly consistent read a move, a whole unit, is
counted as half.) https://aws.amazon.com/secrets-manager/pricing/
https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

HOURS_PER_MONTH: Final = 730
NOTICE_SLACK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One contender's figures.

    `logins` is the number of logins, `failed` those that failed. `refused` is the number of attempts that the
    server refused, also within logins that then succeeded. `first_uses_s` has the seconds from each move of
    AWSCURRENT to each worker's first use of the new version; the number is negative if the worker used it in
    the window before the move. `uses_due` is the number of first uses if every worker had noticed every move
    in the run. `checks_per_hour` is per environment. `reads_per_move` has the other calls per worker and
    move, by operation.
    """

    title: str
    setting: str
    logins: int
    failed: int
    refused: int
    first_uses_s: tuple[float, ...]
    uses_due: int
    check: str | None
    checks_per_hour: float
    reads_per_move: dict[str, float]

    @property
    def median_s(self) -> float | None:
        """Return the median of the first uses; None unless every worker noticed every move."""
        return median(self.first_uses_s) if self.noticed_all else None

    @property
    def worst_s(self) -> float | None:
        """Return the longest of the first uses; None unless every worker noticed every move."""
        return max(self.first_uses_s) if self.noticed_all else None

    @property
    def noticed_all(self) -> bool:
        return len(self.first_uses_s) == self.uses_due > 0

    @property
    def dollars_per_million_checks(self) -> float | None:
        """Return the price of a million checks; None if the contender makes no checks."""
        return None if self.check is None else DOLLARS_PER_MILLION[self.check]

    @property
    def dollars_per_month(self) -> float | None:
        """Return the price of the checks of 1,000 environments in a month, at the run's rate.

        None if the contender makes no checks.
        """
        price = self.dollars_per_million_checks
        if price is None or not self.checks_per_hour:
            return None
        return self.checks_per_hour * HOURS_PER_MONTH * 1000 / 1e6 * price


def figures(run: Run, key: str) -> Figures:
    """Return the figures of the contender `key`."""
    contender, workers = CONTENDERS[key], run.workers[key]
    seconds = [first_use_s(run, worker, move) for worker in workers for move in run.moves]
    calls = [
        record.what for worker in workers for record in run.of(worker, "call") if record.at_s > run.ready_s
    ]
    succeeded, failed, refused = (_count(run, key, kind) for kind in ("login", "failed", "refused"))
    hours = (run.ended_s - run.ready_s) / 3600
    others = sorted(set(calls) - {contender.check})
    return Figures(
        title=contender.title,
        setting=contender.setting,
        logins=succeeded + failed,
        failed=failed,
        refused=refused,
        first_uses_s=tuple(one for one in seconds if one is not None),
        uses_due=len(seconds),
        check=contender.check,
        checks_per_hour=calls.count(contender.check) / len(workers) / hours if contender.check else 0.0,
        reads_per_move={what: calls.count(what) / len(workers) / len(run.moves) for what in others},
    )


def _count(run: Run, key: str, kind: Kind) -> int:
    return sum(len(run.of(worker, kind)) for worker in run.workers[key])


def first_use_s(run: Run, worker: str, move: Move) -> float | None:
    """Return the seconds from the move to the worker's first use of its version; None without such a use."""
    uses = (one.at_s for one in run.of(worker, "held") if one.what == move.label)
    return next((at_s - move.at_s for at_s in uses), None)


def broken_promises(run: Run) -> list[str]:
    """Return in words the promises of keyturn that this run broke. Empty if keyturn kept them."""
    checks = (
        (KEYTURN_GET, _late),
        (KEYTURN_GET, _reads),
        (KEYTURN_LOGIN, _late),
        (KEYTURN_LOGIN, _failures),
    )
    return [line for key, check in checks for worker in run.workers[key] for line in check(run, worker)]


def _failures(run: Run, worker: str) -> list[str]:
    failed = run.of(worker, "failed")
    return [f"{len(failed)} logins of {worker} failed"] if failed else []


def _late(run: Run, worker: str) -> list[str]:
    limit_s = run.check_interval_s + NOTICE_SLACK_S
    late = []
    for move in run.moves:
        seconds = first_use_s(run, worker, move)
        if seconds is None:
            late.append(f"{worker} never used {move.label}")
        elif seconds > limit_s:
            late.append(f"{worker} used {move.label} {seconds:.2f} s after the move, more than {limit_s:g} s")
    return late


def _reads(run: Run, worker: str) -> list[str]:
    """Check that a warm worker makes one GetSecretValue per move, and none before the first move."""
    reads_s = [one.at_s for one in run.of(worker, "call") if one.what == "GetSecretValue"]
    starts = [run.ready_s, *(move.at_s for move in run.moves)]
    ends = [*starts[1:], run.ended_s]
    due = [0] + [1] * len(run.moves)
    return [
        f"{worker} called GetSecretValue {made} times, not {wanted}, {after}"
        for start_s, end_s, wanted, after in zip(starts, ends, due, _phases(run), strict=True)
        if (made := sum(start_s < at_s <= end_s for at_s in reads_s)) != wanted
    ]


def _phases(run: Run) -> list[str]:
    return ["before any move", *(f"after the move to {move.label}" for move in run.moves)]
