"""Which faults blow now, which blew last, and how they reach a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, TypeVar

from tests.simulation.hosts import Host
from tests.simulation.scheduler import NEVER_S, Scheduler, Waiting

T = TypeVar("T")

SECRETS, TABLE, TAMPER = "secrets", "table", "tamper"
PARAMETERS = "parameters"
"""With `SECRETS` and `TABLE`, what requests of a reader can hang at; its faults are of the kind `SECRETS`."""

KINDS = {SECRETS: SECRETS, PARAMETERS: SECRETS, TABLE: TABLE}
"""Of which kind a fault of each service is."""

HANG_MIN_S, HANG_MAX_S = 20.0, 120.0
"""How long a request hangs, unless it hangs until the fault is over."""

PARAMETERS_PER_S = 40
"""Reads of Parameter Store in one account and Region, without higher throughput."""

EVENTS, LISTENER, SWEEPS = "events", "listener", "sweeps"


FOREIGN: tuple[type[Exception], ...] = (PermissionError, ValueError, FileNotFoundError, StopIteration)
"""Errors that come out of credentials, configuration files and other people's code."""


class CrashedError(BaseException):
    """The process was ended by the platform, between two of its steps."""


class Hang(NamedTuple):
    """A service accepts requests and does not answer: each with this `chance`.

    `is_endless`: not before the fault is over.
    """

    chance: float
    is_endless: bool


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
    hangs: dict[str, Hang] = field(default_factory=dict)
    hung_s: float = -NEVER_S
    released: Waiting = field(default_factory=Waiting)
    foreign: dict[str, float] = field(default_factory=dict)
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
            self.ended_s[kind] = max(self.scheduler.now_s, self.ended_s.get(kind, 0.0))

    def end(self) -> None:
        """All faults are over."""
        self.struck(*self.active)
        self.active.clear()
        self.denied.clear()
        self.foreign.clear()
        for service in tuple(self.hangs):
            self.answer_again(service)
        self.parameters_per_s = PARAMETERS_PER_S
        self.secrets_error = self.database_error = self.database_whims = self.table_error = 0.0
        self.crash = self.out_of_time = 0.0
        self.event_lost = self.event_late = self.event_doubled = 0.0
        self.table_denied = self.listener_dead = self.sweeps_off = False

    def hang(self, service: str) -> None:
        """Let the running request hang, if this service does not answer."""
        hang = self.hangs.get(service)
        if hang is None or not self.hits(hang.chance, "requests that hang"):
            return
        if hang.is_endless:
            self.scheduler.park(self.released)
            return
        seconds = HANG_MIN_S + (HANG_MAX_S - HANG_MIN_S) * self.random.random()
        # It may hang for longer than the fault lasts.
        kind, until_s = KINDS[service], self.scheduler.now_s + seconds
        self.ended_s[kind] = max(until_s, self.ended_s.get(kind, 0.0))
        self.hung_s = max(until_s, self.hung_s)
        self.scheduler.pause(seconds)

    def answer_again(self, service: str) -> None:
        """Let this service answer from now on."""
        self.hangs.pop(service, None)
        self.hung_s = max(self.scheduler.now_s, self.hung_s)
        self.scheduler.wake(self.released)

    def hangs_since(self, at_s: float) -> bool:
        """Return True if requests hang now, or did at any moment since then."""
        return bool(self.hangs) or self.hung_s >= at_s

    def foreign_error(self, service: str) -> Exception | None:
        """Return an error that is no client's own, if this service's client raises some now."""
        if not self.hits(self.foreign.get(service, 0.0), "foreign exceptions"):
            return None
        return self.random.choice(FOREIGN)("out of the client's insides")

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


class Requests:
    """The requests of readers, by process and service."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._begun_s: dict[tuple[tuple[str, int], str], float] = {}
        self._ended_s: dict[tuple[tuple[str, int], str], float] = {}

    def begin(self, process: tuple[str, int], service: str) -> None:
        """A request of this process begins."""
        self._begun_s[process, service] = self._scheduler.now_s

    def end(self, process: tuple[str, int], service: str) -> None:
        """A request of this process ends."""
        self._ended_s[process, service] = self._scheduler.now_s

    def begun_s(self, host: Host, service: str) -> float:
        """Return when the last request of this process to this service began (true seconds)."""
        return self._begun_s.get((host.process, service), -NEVER_S)

    def ended_s(self, host: Host, service: str) -> float:
        """Return when the last request of this process to this service ended (true seconds)."""
        return self._ended_s.get((host.process, service), -NEVER_S)


@dataclass(slots=True)
class Wire:
    """One host's way to the services: takes time both ways, and is where faults are felt.

    `crashes`: whether the platform may end this host's process at a call. `requests`: those of readers,
    which hang where a service does, and whose clients may raise anything.
    """

    scheduler: Scheduler
    weather: Weather
    host: Host
    crashes: bool = False
    requests: Requests | None = None

    def call(
        self, effect: Callable[[], T], fail: Callable[[], Exception | None], service: str | None = None
    ) -> T:
        """Do `effect` at the service; `fail` may say what goes wrong instead, or after it."""
        if self.requests is None or service is None:
            return self._call(effect, fail)
        process = self.host.process
        self.requests.begin(process, service)
        try:
            foreign = self.weather.foreign_error(service)
            if foreign is not None:
                raise foreign
            self.weather.hang(service)
            return self._call(effect, fail)
        finally:
            self.requests.end(process, service)

    def _call(self, effect: Callable[[], T], fail: Callable[[], Exception | None]) -> T:
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
