"""A fleet of warm environments around one rotation: the production client in virtual time."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import Final

from benchmarks.prices import (
    GET_SECRET_VALUE_PER_S_MAX,
    HEAD_READS_PER_S_MAX,
    MARKER_READS_PER_S_MAX,
    MONTH_S,
    READ_UNIT,
    SECRETS_MANAGER_CALL,
)
from benchmarks.results import Curve, Part, Parts, Plot, Row, Size, counted, ratio
from keyturn import KeyturnError, Limits, MarkerTableError, Peers, SecretCache, UnavailableError
from keyturn.model.markers import Head, MarkersRead
from keyturn.model.names import secret_key
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeSecretsManager

NAME: Final = "prod/orders/database"
INTERVALS_S: Final = (1.0, 5.0, 15.0, 60.0)
DEFAULT_INTERVAL_S: Final = 5.0
REQUESTS_PER_INTERVAL: Final = 5
WARM_INTERVALS: Final = 2
LATE_INTERVALS: Final = 30
LATE_S: Final = 150
"""The longest wait for the last environment, in intervals and in seconds."""

BURST_S: Final = 0.1
BATCH_MAX: Final = 100
RUN_MAX: Final = 500
"""The largest fleet that is run as a whole; of a larger one a sample is."""

MOVES_PER_ROTATION: Final = 1
ROTATION_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of the fleets, and for the growth the secrets held and the markers in the table."""

    fleets: tuple[int, ...]
    held: tuple[int, ...]
    markers: tuple[int, ...]


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan((10, 100, 1_000, 10_000, 20_000, 50_000), (1, 10, 100, 1_000), (10, 100, 1_000, 10_000)),
    "quick": Plan((10, 300, 3_000), (1, 10, 100), (10, 100, 1_000)),
}


class Quota:
    """Counts the calls in each second, and answers only `per_s` of them.

    It is a token bucket of a tenth of a second, so the refusals depend on the moment, not on the order of the
    callers.
    """

    def __init__(self, clock: FakeClock, per_s: float = inf) -> None:
        self._clock, self._per_s = clock, per_s
        self._left, self._at_s = per_s * BURST_S, clock.wall_s
        self.asked: Counter[int] = Counter()
        self.refused = 0

    def exceeded(self) -> bool:
        """Count one call. Return True if it exceeds the quota."""
        now_s = self._clock.wall_s
        self.asked[int(now_s)] += 1
        self._left = min(self._per_s * BURST_S, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left >= 1 or self._per_s == inf:
            self._left -= 1
            return False
        self.refused += 1
        return True


@dataclass(frozen=True, slots=True)
class Fleet:
    """One fleet. Of its environments each `sample`-th is run, with as small a part of the quotas.

    Such a sample agrees with the whole within 0.3 % (peaks) and 3 % (how many use it by when). It draws
    evenly, since chance is larger in a sample than in the whole: 1 % of 10,000 calls a second, 10 % of 100.
    """

    environments: int
    interval_s: float
    copies: int = 1
    pace_s: float = 0.0
    sample: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fleet around one rotation.

    `last_s` and `median_s` are the seconds from the marker to the first use.
    """

    environments: int
    interval_s: float
    head_reads_per_s: float
    head_reads_peak: int
    markers_peak: int
    values_peak: int
    values: int
    used: int
    median_s: float
    last_s: float
    refused: int
    failed: int

    @property
    def dollars_per_month(self) -> float:
        """Return the price of a month's checks at the measured rate."""
        return self.head_reads_per_s * MONTH_S * READ_UNIT / 2


class LimitedMarkers(FakeMarkers):
    """A marker table that throttles reads of each head and of the single marker, and counts markers."""

    def __init__(self, clock: FakeClock, copies: int = 1) -> None:
        super().__init__(clock, copies=copies)
        self.limit(inf, inf)
        self.markers_read = 0

    def limit(self, heads_max: float, markers_max: float) -> None:
        """Answer only so many reads of each head and of the marker from now on, and count anew."""
        self.heads = [Quota(self.clock, heads_max) for _ in range(1 + len(self.copies))]
        self.markers = Quota(self.clock, markers_max)

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        if self.heads[copy].exceeded():
            raise MarkerTableError("markers", "throttled")
        return super().read_head(consistent=consistent, copy=copy)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        self.markers_read += len(keys)
        if self.markers.exceeded():
            raise MarkerTableError("markers", "throttled")
        return super().read_markers(keys)


class World:
    """A rotated secret, its marker, the quotas of AWS, and a fleet that shares one clock."""

    def __init__(self, plan: Fleet) -> None:
        self.plan = plan
        self.clock = FakeClock()
        self.secrets, self.table = FakeSecretsManager(self.clock), LimitedMarkers(self.clock, plan.copies)
        self.arn = self.secrets.create(NAME, "one", "v1")
        self.key = secret_key(self.arn, NAME)
        self.table.set(self.key, self.arn, {"AWSCURRENT": "v1"})
        self.table.sweep(as_of_s=self.clock.wall_s)
        self.table.pace(plan.pace_s)
        self.table.limit(inf, inf)
        self.values = Quota(self.clock)
        self.secrets.fail = self._failure

    def limit(self) -> None:
        """Apply the quotas from now on (not while the fleet starts)."""
        part = self.plan.sample
        self.table.limit(HEAD_READS_PER_S_MAX / part, MARKER_READS_PER_S_MAX / part)
        self.values = Quota(self.clock, GET_SECRET_VALUE_PER_S_MAX / part)

    def rotate(self) -> None:
        """Move AWSCURRENT and write its marker at once."""
        self.secrets.put(NAME, "two", "v2")
        self.table.set(self.key, self.arn, {"AWSCURRENT": "v2", "AWSPREVIOUS": "v1"})

    def _failure(self, secret_id: str) -> Exception | None:
        return UnavailableError(secret_id, "throttled") if self.values.exceeded() else None


def measure(size: Size) -> Parts:
    """Return the only part."""
    plan = PLANS[size]
    # Each of thousands of throttled environments would log it once. Here they are counted instead.
    logging.getLogger("keyturn").setLevel(logging.ERROR)
    outcomes = [
        fleet(Fleet(number, interval_s, sample=max(1, number // RUN_MAX)))
        for interval_s in INTERVALS_S
        for number in plan.fleets
    ]
    held = {number: held_cost(number) for number in plan.held}
    by_default = [one for one in outcomes if one.interval_s == DEFAULT_INTERVAL_S]
    part = Part(
        "Fleets",
        "SecretCache itself runs in virtual time, with the in-memory services of keyturn.testing. Each "
        f"environment holds one secret, and its code asks for it {REQUESTS_PER_INTERVAL} times per check "
        "interval, at moments of its own. Then the secret rotates once, and its marker is written at once. "
        "The services throttle, as AWS does, beyond 6,000 reads of the head, 3,000 reads of the marker or "
        "10,000 GetSecretValue a second. A peak is the number of calls in the busiest second.",
        tuple(made for one in by_default for made in rows(one)) + held_rows(held),
        (
            ratio(
                "last first use / check interval, where nothing is throttled",
                max(one.last_s / one.interval_s for one in outcomes if not one.refused),
                "at most",
                1 + 1 / REQUESTS_PER_INTERVAL + 0.1,
            ),
            ratio(
                "GetSecretValue per environment and rotation",
                max(one.values / one.environments for one in outcomes if not one.refused),
                "at most",
                1,
                "calls",
            ),
            ratio("failed gets", sum(one.failed for one in outcomes), "at most", 0, "gets"),
        ),
        (*fleet_plots(outcomes), *growth_plots(plan, held)),
        (
            f"The walls are {HEAD_READS_PER_S_MAX:,} reads a second of the head and "
            f"{GET_SECRET_VALUE_PER_S_MAX:,} GetSecretValue a second. In environments: "
            + "; ".join(f"{walls(one)} at {one:g} s" for one in INTERVALS_S)
            + ". Beyond them calls are throttled, the known version is served, and the notice is later; no "
            "get fails. More copies of the head, a pace, or a longer check interval help there.",
            (
                f"Of a fleet above {RUN_MAX:,} environments, a sample of {RUN_MAX:,} is run, with its share "
                "of the quotas. A marker is read only if a slot of the head moved more than once between "
                f"two checks, {BATCH_MAX} a request."
            ),
        ),
    )
    return {"fleet": part}


def walls(interval_s: float) -> str:
    """Return the numbers of environments at which the two walls stand."""
    first, second = (round(most * interval_s) for most in (HEAD_READS_PER_S_MAX, GET_SECRET_VALUE_PER_S_MAX))
    return f"{first:,} and {second:,}"


# One fleet is simulated below.


def fleet(plan: Fleet) -> Outcome:
    """Run one fleet: it starts, settles, sees one rotation, and goes on until all use the new version."""
    world = World(plan)
    chance = random.Random(plan.environments) if plan.sample == 1 else Even()
    environments, interval_s, sample = plan.environments // plan.sample, plan.interval_s, plan.sample
    caches = [
        SecretCache(
            check_interval_s=interval_s,
            peers=Peers(source=world.secrets, markers=world.table, clock=world.clock, random=chance.random),
        )
        for _ in range(environments)
    ]
    walk = Walk(world.clock, caches, interval_s, chance)
    for _ in range((1 + WARM_INTERVALS) * REQUESTS_PER_INTERVAL):
        walk.round()
    world.limit()
    world.rotate()
    rotated_s = world.clock.wall_s
    uses = sorted(
        walk.until_used(rotated_s, ceil(min(LATE_S / interval_s, LATE_INTERVALS) * REQUESTS_PER_INTERVAL))
    )
    heads, markers, values = world.table.heads, world.table.markers, world.values
    asked = sum(one.asked.total() for one in heads)
    return Outcome(
        plan.environments,
        interval_s,
        head_reads_per_s=sample * asked / (world.clock.wall_s - rotated_s),
        head_reads_peak=sample * max(max(one.asked.values(), default=0) for one in heads),
        markers_peak=sample * max(markers.asked.values(), default=0),
        values_peak=sample * max(values.asked.values()),
        values=sample * values.asked.total(),
        used=sample * len(uses),
        median_s=uses[len(uses) // 2],
        last_s=uses[-1] if len(uses) == environments else inf,
        refused=sample * (sum(one.refused for one in heads) + markers.refused + values.refused),
        failed=sample * walk.failed,
    )


class Even:
    """Draws numbers in [0, 1) that are spread evenly: the golden ratio's multiples."""

    def __init__(self) -> None:
        self._drawn = 0.5

    def random(self) -> float:
        """Return the next number."""
        self._drawn = (self._drawn + 0.6180339887498949) % 1
        return self._drawn


class Walk:
    """Reads from every environment once per round, at its own moment, and lets time pass in between.

    The starts of the environments are spread over one check interval, which is some rounds.
    """

    def __init__(
        self, clock: FakeClock, caches: list[SecretCache], interval_s: float, chance: random.Random | Even
    ) -> None:
        starts = [(divmod(chance.random() * REQUESTS_PER_INTERVAL, 1), cache) for cache in caches]
        self._turns = sorted(
            ((phase, first, cache) for (first, phase), cache in starts), key=lambda one: one[0]
        )
        self._clock = clock
        self._round_s = interval_s / REQUESTS_PER_INTERVAL
        self._rounds = 0
        self.failed = 0

    def round(self) -> list[str]:
        """Read from each environment that has started.

        Return the version ids in the order of the environments.
        """
        begun_s, seen = self._clock.wall_s, []
        for phase, first, cache in self._turns:
            if self._rounds >= first:
                self._clock.advance(begun_s + phase * self._round_s - self._clock.wall_s)
                seen.append(self._version_id(cache))
        self._clock.advance(begun_s + self._round_s - self._clock.wall_s)
        self._rounds += 1
        return seen

    def until_used(self, rotated_s: float, rounds: int) -> list[float]:
        """Read until all have the new version. Return the seconds that each took."""
        uses: dict[int, float] = {}
        for _ in range(rounds):
            begun_s = self._clock.wall_s
            for number, version_id in enumerate(self.round()):
                if version_id == "v2":
                    uses.setdefault(number, begun_s + self._turns[number][0] * self._round_s - rotated_s)
            if len(uses) == len(self._turns):
                break
        return list(uses.values())

    def _version_id(self, cache: SecretCache) -> str:
        try:
            return cache.get(NAME).version_id
        except KeyturnError:
            self.failed += 1
            return ""


def rows(one: Outcome) -> tuple[Row, ...]:
    """Return the figures of one fleet."""
    note = f"{one.environments:,} environments, interval {one.interval_s:g} s"
    return (
        counted("reads of the head a second, peak", "reads/s", one.head_reads_peak, note),
        counted("reads of the marker a second, peak", "reads/s", one.markers_peak, note),
        counted("GetSecretValue a second after the rotation, peak", "calls/s", one.values_peak, note),
        counted("time to the median first use", "s", one.median_s, note),
        counted(f"have it within {LATE_S} s", "environments", one.used, note),
        *([counted("time until the last has it", "s", one.last_s, note)] if one.last_s < inf else []),
        counted("throttled", "calls", one.refused, note),
        counted("checks of a month", "$", one.dollars_per_month, note),
    )


# The growth with secrets and markers is counted below.


@dataclass(frozen=True, slots=True)
class Held:
    """One environment that holds this number of secrets: its requests per check, and after a move."""

    requests_per_check: float
    markers_read: int
    marker_requests: int
    values: int


def held_cost(held: int) -> Held:
    """Count the calls of one environment with `held` secrets through checks and one move."""
    clock = FakeClock()
    secrets, table = FakeSecretsManager(clock), LimitedMarkers(clock)
    for number in range(held):
        arn = secrets.create(f"{NAME}-{number}", "one", "v1")
        table.set(secret_key(arn, f"{NAME}-{number}"), arn, {"AWSCURRENT": "v1"})
    table.sweep(as_of_s=clock.wall_s)
    cache = SecretCache(
        limits=Limits(max_secrets=held),
        peers=Peers(source=secrets, markers=table, clock=clock, random=lambda: 0.0),
    )
    ids = [f"{NAME}-{number}" for number in range(held)]

    def check() -> None:
        clock.advance(DEFAULT_INTERVAL_S)
        for secret_id in ids:
            cache.get(secret_id)

    check()
    check()
    table.calls.clear()
    for _ in range(10):
        check()
    requests_per_check = table.calls.total() / 10
    secrets.put(ids[0], "two", "v2")
    table.set(next(iter(table.items)), next(iter(table.items.values())).arn, {"AWSCURRENT": "v2"})
    table.markers_read = 0
    secrets.calls.clear()
    check()
    return Held(
        requests_per_check,
        table.markers_read,
        ceil(table.markers_read / BATCH_MAX),
        secrets.calls["GetSecretValue"],
    )


def held_rows(held: dict[int, Held]) -> tuple[Row, ...]:
    """Return the figures by secrets held."""
    return tuple(
        made
        for number, one in held.items()
        for made in (
            counted("requests per check", "requests", one.requests_per_check, f"{number:,} held"),
            counted("read units after one of them moved", "units", one.markers_read, f"{number:,} held"),
            counted("GetSecretValue after one of them moved", "calls", one.values, f"{number:,} held"),
        )
    )


def fleet_plots(outcomes: list[Outcome]) -> tuple[Plot, ...]:
    """Plot the walls, and the time until the last environment has the new version."""

    def curves(y: str) -> tuple[Curve, ...]:
        made = []
        for interval_s in INTERVALS_S:
            taken = [one for one in outcomes if one.interval_s == interval_s and one.last_s < inf]
            x, values = [one.environments for one in taken], [getattr(one, y) for one in taken]
            made.append(Curve(f"interval {interval_s:g} s", tuple(map(float, x)), tuple(map(float, values))))
        return tuple(made)

    return (
        Plot(
            "fleet-reads",
            "Reads of the head in the busiest second",
            "environments",
            "reads/s",
            curves("head_reads_peak"),
            HEAD_READS_PER_S_MAX,
            "6,000: one item's limit",
        ),
        Plot(
            "fleet-values",
            "GetSecretValue in the busiest second after a rotation",
            "environments",
            "calls/s",
            curves("values_peak"),
            GET_SECRET_VALUE_PER_S_MAX,
            "10,000: the account's limit",
        ),
        Plot("fleet-cost", "Checks of a fleet", "environments", "$ a month", curves("dollars_per_month")),
        Plot(
            "fleet-last",
            "From the marker until the last environment has the new version",
            "environments",
            "seconds",
            curves("last_s"),
        ),
    )


def growth_plots(plan: Plan, held: dict[int, Held]) -> tuple[Plot, ...]:
    """Plot an environment's dollars a month by rotating markers in the table and by secrets held."""
    checks = MONTH_S / DEFAULT_INTERVAL_S * READ_UNIT / 2
    curves = [
        Curve(
            f"{number:,} secrets held",
            tuple(map(float, plan.markers)),
            tuple(
                checks
                + markers * MOVES_PER_ROTATION * one.markers_read * READ_UNIT
                + number * SECRETS_MANAGER_CALL
                for markers in plan.markers
            ),
        )
        for number, one in held.items()
    ]
    return (
        Plot(
            "fleet-growth",
            f"One environment by what the table holds, each secret rotating every {ROTATION_DAYS} days",
            "markers in the table",
            "$ a month",
            tuple(curves),
        ),
    )
