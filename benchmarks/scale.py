"""Many processes, many secrets, many moves: what a check costs then, and when the last process knows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.aws import NAME, Answers
from benchmarks.check import INTERVAL_S, Tapped, Wire
from benchmarks.fleet import Fleet, fleet
from benchmarks.prices import GET_SECRET_VALUE_PER_S_MAX, MONTH_S, READ_UNIT, SECRETS_MANAGER_CALL, WRITE_UNIT
from benchmarks.results import Part, Parts, Row, Size, counted, ratio

HELD: Final = (1, 100, 1_000)
MARKERS: Final = 10_000
MOVES_PER_ROTATION: Final = 2
TURNS: Final[Mapping[Size, int]] = {"full": 60, "quick": 15}

FLEETS: Final = (
    Fleet(50_000, INTERVAL_S, copies=2, pace_s=10.2, sample=50),
    Fleet(400_000, INTERVAL_S, copies=16, pace_s=49.5, sample=100),
)
"""The largest fleets of one head and of DynamoDB's default quota. Of each `sample`-th process is run."""

HEAD_UNITS: Final = 4
"""The write units of an update of a full head."""

ENVIRONMENTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Check:
    """One process that holds `held` secrets: a check of each kind, and the CPU of the get that makes it."""

    held: int
    calm: Wire
    others: Wire
    own: Wire
    calm_s: float
    others_s: float


def measure(size: Size) -> Parts:
    """Return the only part."""
    logging.getLogger("keyturn").setLevel(logging.ERROR)
    checks = [check(held, TURNS[size]) for held in HELD]
    outcomes = [fleet(one) for one in FLEETS]
    dollars = month(checks[-1])
    part = Part(
        "Scale",
        "Checks by real boto3 clients on canned answers, with a head whose 44 slots are full: when nothing "
        "moved, when another secret moves before each check, and when one of the secrets held has moved. "
        "Fleets as below, a sample of the processes with their share of the quotas.",
        (
            *(made for one in checks for made in rows(one)),
            *(
                counted("time until the last has it", "s", one.last_s, f"{plan.environments:,} environments")
                for plan, one in zip(FLEETS, outcomes, strict=True)
            ),
            counted("one environment, 1,000 held of 10,000", "$/month", dollars),
        ),
        (
            ratio("requests of a check, others move", max(c.others.requests for c in checks), "at most", 1),
            ratio("read units of a check, others move", max(c.others.units for c in checks), "at most", 0.5),
            ratio("read units of a check, its own moved", max(c.own.units for c in checks), "at most", 0.5),
            ratio(
                "requests, its own moved",
                max(c.own.requests for c in checks),
                "at most",
                2,
            ),
            ratio(
                "CPU of the get that checks, others move / nothing moves",
                max(one.others_s / one.calm_s for one in checks),
                "at most",
                1.3,
            ),
            *(
                ratio(
                    f"last of {plan.environments:,} / max(interval, N/10,000 s)",
                    one.last_s / max(plan.interval_s, plan.environments / GET_SECRET_VALUE_PER_S_MAX),
                    "at most",
                    1.3 if plan.environments > 100_000 else 1 + 6 / plan.interval_s,
                )
                for plan, one in zip(FLEETS, outcomes, strict=True)
            ),
            ratio("throttled calls", sum(one.refused for one in outcomes), "at most", 0, "calls"),
            ratio("failed gets", sum(one.failed for one in outcomes), "at most", 0, "gets"),
            ratio(
                f"$ a month and environment, {MARKERS:,} markers, 1,000 held", dollars, "at most", 0.045, "$"
            ),
        ),
    )
    return {"scale": part}


def check(held: int, turns: int) -> Check:
    """Measure the checks of one process."""
    calm, others = Tapped(held), Tapped(held, answers=Answers(others_move=True))
    caches = [one.cache() for one in (calm, others)]

    def get(tapped: Tapped, number: int) -> float:
        tapped.clock.advance(INTERVAL_S)
        tapped.wire = Wire()
        began_s = time.thread_time()
        caches[number].get(f"{NAME}-0")
        return time.thread_time() - began_s

    taken = [(cpu(lambda: get(calm, 0)), cpu(lambda: get(others, 1))) for _ in range(turns)]
    seen = calm.wire, others.wire
    calm.answers.rotate()
    get(calm, 0)
    return Check(held, *seen, calm.wire, median(one for one, _ in taken), median(two for _, two in taken))


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process for some work, in whichever threads."""
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


def rows(one: Check) -> tuple[Row, ...]:
    """Return the figures of one process."""
    note = f"{one.held:,} held"
    return (
        counted("requests of a check, another secret moved", "requests", one.others.requests, note),
        counted("consumed capacity, another secret moved", "read units", one.others.units, note),
        counted("requests, its own secret moved", "requests", one.own.requests, note),
        counted("CPU of the get that checks, nothing moved", "ms", 1000 * one.calm_s, note),
        counted("CPU of the get that checks, another secret moved", "ms", 1000 * one.others_s, note),
    )


def month(one: Check) -> float:
    """Return the dollars a month and environment: checks, its reads, and its share of the heads' writes.

    Each secret rotates once a month, with two changes of its marker. Two changes in one slot between two
    checks are so rare, one in a thousand, that the reads of markers round to nothing.
    """
    checks = MONTH_S / INTERVAL_S * one.others.units * READ_UNIT
    values = one.held * SECRETS_MANAGER_CALL
    changes = MARKERS * MOVES_PER_ROTATION
    writes = changes * (2 + HEAD_UNITS) * WRITE_UNIT
    return checks + values + writes / ENVIRONMENTS
