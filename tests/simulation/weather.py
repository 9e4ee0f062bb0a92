"""Which faults blow now, which blew last, and how they reach a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tests.simulation.hosts import Host
from tests.simulation.scheduler import NEVER_S, Scheduler

T = TypeVar("T")

SECRETS, TABLE, TAMPER = "secrets", "table", "tamper"
PARAMETERS_PER_S = 40
"""Reads of Parameter Store in one account and Region, without higher throughput."""

EVENTS, LISTENER, SWEEPS = "events", "listener", "sweeps"


class CrashedError(BaseException):
    """The process was ended by the platform, between two of its steps."""


@dataclass(slots=True)
class Weather:
    """The faults in force: chances per call or event, and what is out of order as a whole.

    `active` and `ended_s` tell, by kind, which faults blow and when the last one ended; `lasting` are
    those whose effect goes on until something mends it.
    """

    scheduler: Scheduler
    random: Random
    secrets_error: float = 0.0
    parameters_per_s: int = PARAMETERS_PER_S
    database_error: float = 0.0
    database_whims: float = 0.0
    table_error: float = 0.0
    table_denied: bool = False
    denied: set[str] = field(default_factory=set)
    event_lost: float = 0.0
    event_late: float = 0.0
    event_doubled: float = 0.0
    crash: float = 0.0
    listener_dead: bool = False
    sweeps_off: bool = False
    out_of_time: float = 0.0
    active: Counter[str] = field(default_factory=Counter)
    lasting: set[str] = field(default_factory=set)
    ended_s: dict[str, float] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def blowing(self, *kinds: str) -> Iterator[None]:
        """For the time of an episode."""
        self.active.update(kinds)
        try:
            yield
        finally:
            self.active.subtract(kinds)
            self.struck(*kinds)

    def struck(self, *kinds: str) -> None:
        """A fault of these kinds was felt now."""
        for kind in kinds:
            self.ended_s[kind] = self.scheduler.now_s

    def end(self) -> None:
        """All faults are over."""
        self.struck(*self.active)
        self.active.clear()
        self.denied.clear()
        self.parameters_per_s = PARAMETERS_PER_S
        self.secrets_error = self.database_error = self.database_whims = self.table_error = 0.0
        self.crash = self.out_of_time = 0.0
        self.event_lost = self.event_late = self.event_doubled = 0.0
        self.table_denied = self.listener_dead = self.sweeps_off = False

    def calm_since(self, *kinds: str) -> float:
        """The moment (true seconds) since which none of these faults blew; never, while one does."""
        if any(self.active[kind] > 0 or kind in self.lasting for kind in kinds):
            return NEVER_S
        return max((self.ended_s.get(kind, 0.0) for kind in kinds), default=0.0)

    def hits(self, chance: float, counted_as: str) -> bool:
        """Whether a fault of this chance strikes now."""
        if chance <= 0 or self.random.random() >= chance:
            return False
        self.counted[counted_as] += 1
        return True


@dataclass(slots=True)
class Wire:
    """One host's way to the services: takes time both ways, and is where faults are felt.

    `crashes`: whether the platform may end this host's process at a call.
    """

    scheduler: Scheduler
    weather: Weather
    host: Host
    crashes: bool = False

    def call(self, effect: Callable[[], T], fail: Callable[[], Exception | None]) -> T:
        """Do `effect` at the service; `fail` may say what goes wrong instead, or after it."""
        self._travel()
        failure = fail()
        if failure is not None and self.weather.random.random() < 0.6:
            raise failure
        result = effect()
        self._travel()
        if failure is not None:
            # It took effect, and nobody hears of it.
            raise failure
        return result

    def _travel(self) -> None:
        if self.crashes and self.weather.hits(self.weather.crash, "crashes between two steps"):
            raise CrashedError(self.host.name)
        random = self.weather.random.random
        self.scheduler.pause(0.3 + 0.3 * random() if random() < 0.01 else 0.002 + 0.03 * random() ** 3)
