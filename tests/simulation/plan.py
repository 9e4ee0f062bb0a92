"""What one seed stands for: how big its world is, how it is set up, and what goes wrong in it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

NAMES = ("prod/db", "prod/db-abcdef", "api")
"""One of them ends as if it had a random suffix: the other's name and a hyphen and six characters."""

LIMITS: tuple[dict[str, float], ...] = (
    {},
    {
        "check_interval_s": 3.0,
        "uncovered_ttl_s": 60.0,
        "covered_ttl_s": 1800.0,
        "lease_s": 840.0,
        "max_denied_s": 60.0,
    },
    {"check_interval_s": 10.0, "max_stale_s": 900.0},
)
DEFAULTS: dict[str, float] = {
    "check_interval_s": 5.0,
    "uncovered_ttl_s": 300.0,
    "covered_ttl_s": 3600.0,
    "lease_s": 1260.0,
    "max_denied_s": 300.0,
    "max_stale_s": 21600.0,
    "min_refresh_interval_s": 1.0,
}


@dataclass(frozen=True, slots=True)
class ReaderPlan:
    """One reader: its limits, how its clock is wrong, how often it gets; a steady one gets one secret.

    `storms`: the chance that it is busy just after a move.
    """

    limits: dict[str, float]
    background: bool
    skew_s: float
    drift: float
    mean_gap_s: float
    storms: float
    steady: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One world. `rotations`: of each secret, 14 on average. `swept_parameters`: the sweep lists them.

    `undescribed`: names that the listener may not describe. `slots`, `copies`: of the head. `old`: which
    share of the listener's environments, announcers and readers is of the version before slots. `pace_s`:
    over how many seconds readers spread what they read because of a marker.
    """

    rotations: int
    mean_gap_s: float
    stale: float
    trail: bool
    announced: bool
    swept_parameters: bool
    alternating: bool
    undescribed: frozenset[str]
    readers: tuple[ReaderPlan, ...]
    faults: tuple[str, ...]
    mean_fault_gap_s: float
    slots: int
    copies: int
    old: float
    pace_s: float


def planned(random: Random, faults: list[str], only: str | None = None) -> Plan:
    """Draw a world. One in eight is without faults: there the promises are the strictest.

    `only`: the one fault there is to be; empty for none.
    """
    chosen = random.sample(faults, random.randrange(2, 8)) if random.random() > 1 / 8 else []
    if only is not None:
        chosen = [only] if only else []
    # An old writer knows of no copies.
    old = random.choice((0.0, 0.0, 0.0, 0.5))
    return Plan(
        rotations=random.choice((6, 12, 24)),
        mean_gap_s=random.choice((10.0, 25.0, 45.0)),
        stale=random.choice((0.0, 0.3, 0.9)),
        trail=random.random() < 0.35,
        announced=random.random() < 0.4,
        swept_parameters=random.random() < 0.7,
        alternating=random.random() < 0.5,
        undescribed=frozenset({"api"}) if random.random() < 0.2 else frozenset(),
        readers=tuple(_reader(random) for _ in range(3)),
        faults=tuple(chosen),
        mean_fault_gap_s=random.choice((40.0, 150.0, 500.0)),
        slots=random.choice((2, 6, 48)),
        copies=1 if old else random.choice((1, 4, 8)),
        old=old,
        pace_s=0.0 if old else random.choice((0.0, 0.0, 20.0)),
    )


def _reader(random: Random) -> ReaderPlan:
    return ReaderPlan(
        limits={**DEFAULTS, **random.choice(LIMITS)},
        background=random.random() < 0.25,
        skew_s=random.choice((0.0, -40.0, 5000.0)) * random.random(),
        drift=random.uniform(-2e-4, 2e-4),
        mean_gap_s=random.choice((3.0, 6.0, 12.0, 24.0)),
        storms=random.choice((0.01, 0.01, 0.01, 0.3)),
        steady=random.random() < 0.3,
    )
