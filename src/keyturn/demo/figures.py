"""The figures of a run, computed from its records: pure functions."""

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
"""List prices of us-east-1 in 2026, for an aws/secretsmanager key and items of at most 4 KB: Secrets
Manager $0.05 per 10,000 calls; DynamoDB on demand $0.125 per million read units, an eventually
consistent GetItem being half a unit. (keyturn's one strongly consistent read a move, a whole unit, is
counted as half.)
https://aws.amazon.com/secrets-manager/pricing/ https://aws.amazon.com/dynamodb/pricing/on-demand/"""

HOURS_PER_MONTH: Final = 730
NOTICE_SLACK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One contender's figures.

    `logins` were tried, `failed` of them for their users; `refused` attempts the server counted, also
    those of logins that then succeeded. `first_uses_s`: seconds from each move of AWSCURRENT to each
    worker's first use of the new version, negative if it was used in the window before the move.
    `uses_due` is how many there would be had every worker noticed every move in the run.
    `checks_per_hour` is per environment; `reads_per_move` are the other calls per worker and move,
    by operation.
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
        """The median of the first uses; None unless every move was noticed by every worker."""
        return median(self.first_uses_s) if self.noticed_all else None

    @property
    def worst_s(self) -> float | None:
        """The worst of the first uses; None unless every move was noticed by every worker."""
        return max(self.first_uses_s) if self.noticed_all else None

    @property
    def noticed_all(self) -> bool:
        return len(self.first_uses_s) == self.uses_due > 0

    @property
    def dollars_per_million_checks(self) -> float | None:
        """The price of its checks; None if it makes none."""
        return None if self.check is None else DOLLARS_PER_MILLION[self.check]

    @property
    def dollars_per_month(self) -> float | None:
        """The price of 1,000 environments' checks, a month, at the rate of the run; None without any."""
        price = self.dollars_per_million_checks
        if price is None or not self.checks_per_hour:
            return None
        return self.checks_per_hour * HOURS_PER_MONTH * 1000 / 1e6 * price


def figures(run: Run, key: str) -> Figures:
    """The figures of the contender `key`."""
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
    """Seconds from the move to the worker's first use of its version; None if it never used it."""
    uses = (one.at_s for one in run.of(worker, "held") if one.what == move.label)
    return next((at_s - move.at_s for at_s in uses), None)


def broken_promises(run: Run) -> list[str]:
    """What keyturn promises of a run and this one did not show, in words; empty if it held."""
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
    """Exactly one GetSecretValue per move and none before the first, once the worker is warm."""
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
