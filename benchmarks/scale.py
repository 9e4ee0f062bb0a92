"""Many processes, many secrets, many moves: what a check costs then, and when the last process knows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Final

from benchmarks.aws import NAME, Answers
from benchmarks.check import INTERVAL_S, Tapped, Wire
from benchmarks.fleet import BURST_S, Fleet, Outcome, fleet
from benchmarks.operations import MARKERS, share
from benchmarks.prices import GET_SECRET_VALUE_PER_S_MAX, HEAD_READS_PER_S_MAX
from benchmarks.results import Part, Parts, Ratio, Row, Size, counted, ratio

HELD: Final = (1, 100, 1_000)
MOVES_PER_ROTATION: Final = 2
TURNS: Final[Mapping[Size, int]] = {"full": 60, "quick": 15}

OF_ONE_HEAD: Final = Fleet(50_000, INTERVAL_S, copies=2, pace_s=10.2, sample=50)
OF_THE_QUOTA: Final = Fleet(400_000, INTERVAL_S, copies=16, pace_s=49.5, sample=100)
FLEETS: Final[Mapping[Size, Sequence[Fleet]]] = {
    "full": (OF_ONE_HEAD, OF_THE_QUOTA),
    "quick": (OF_ONE_HEAD,),
}
"""The largest fleets of one head and of DynamoDB's default quota. Each `sample`-th process of one is run."""


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
    plans = FLEETS[size]
    outcomes = [fleet(one) for one in plans]
    dollars = share(HELD[-1], MOVES_PER_ROTATION)
    part = Part(
        "Scale",
        "Real boto3 clients make the checks and get prepared answers, with a head whose 44 slots are full. "
        "Three cases are measured: no secret moves, another secret moves before each check, and one of the "
        "secrets held has moved. The fleets are run as in the section before: a sample of the processes, "
        "with its share of the quotas. The sample spreads its draws evenly, while each process of a whole "
        "fleet draws its copy of the head, its moment of a check and its pause at random. So the calls of "
        "the whole fleet are also counted with random draws, without running the caches.",
        (
            *(made for one in checks for made in rows(one)),
            *(
                counted("time until the last has it", "s", one.last_s, f"{plan.environments:,} environments")
                for plan, one in zip(plans, outcomes, strict=True)
            ),
            counted("one environment, 1,000 held of 10,000", "$/month", dollars),
            counted(
                "the same, both changes of a rotation between two checks",
                "$/month",
                share(HELD[-1], MOVES_PER_ROTATION, quick=True),
            ),
        ),
        targets(checks, plans, outcomes, dollars),
        notes=(
            (
                "The dollars are of checks, of the reads of what has moved, and of one thousandth of the "
                "writes. The hourly reads of each value ($0.0036 a month and secret held) are not in them."
            ),
        ),
    )
    return {"scale": part}


def targets(
    checks: Sequence[Check], plans: Sequence[Fleet], outcomes: Sequence[Outcome], dollars: float
) -> tuple[Ratio, ...]:
    """Return what is compared with a target."""
    return (
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
            for plan, one in zip(plans, outcomes, strict=True)
        ),
        ratio("throttled calls", sum(one.refused for one in outcomes), "at most", 0, "calls"),
        ratio(
            "throttled of random draws, the whole fleet",
            sum(refused_draws(one, Random(seed)) for seed, one in enumerate(plans)),
            "at most",
            0,
            "calls",
        ),
        ratio("failed gets", sum(one.failed for one in outcomes), "at most", 0, "gets"),
        ratio(f"$ a month and environment, {MARKERS:,} markers, 1,000 held", dollars, "at most", 0.045, "$"),
    )


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


def refused_draws(plan: Fleet, random: Random) -> int:
    """Count the refused calls of one check and one read of each process of a fleet that draws by chance."""
    heads: list[list[float]] = [[] for _ in range(plan.copies)]
    for _ in range(plan.environments):
        heads[int(random.random() * plan.copies)].append(random.random() * plan.interval_s)
    values = [random.random() * plan.pace_s for _ in range(plan.environments)]
    refused = sum(over(moments, HEAD_READS_PER_S_MAX) for moments in heads)
    return refused + over(values, GET_SECRET_VALUE_PER_S_MAX)


def over(moments_s: list[float], per_s: float) -> int:
    """Count the calls at these moments that exceed a quota, which saves up a tenth of a second of itself."""
    refused, left, at_s = 0, per_s * BURST_S, 0.0
    for moment_s in sorted(moments_s):
        left, at_s = min(per_s * BURST_S, left + (moment_s - at_s) * per_s), moment_s
        refused += left < 1
        left -= left >= 1
    return refused


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
