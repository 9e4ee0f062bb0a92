"""One process that reads secrets through the production cache, from several threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from keyturn.client import SecretCache
from keyturn.errors import SecretError
from keyturn.values import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion
from tests.simulation.hosts import Host
from tests.simulation.scheduler import Scheduler

STAGES = (AWSCURRENT,) * 6 + (AWSPREVIOUS, AWSPENDING, "blue")


@dataclass(frozen=True, slots=True)
class Served:
    """One `get` and how it ended (true seconds)."""

    reader: Reader
    secret_id: str
    stage: str
    begun_s: float
    outcome: SecretVersion | SecretError


@dataclass(slots=True, eq=False)
class Reader:
    """A process and its cache. `ids`: by which id it gets each secret; `told` hears of each get.

    `storms`: whether it now and then invalidates at every turn, as code does on every failed login.
    """

    host: Host
    scheduler: Scheduler
    random: Random
    make_cache: Callable[[], SecretCache]
    limits: Mapping[str, float]
    ids: Callable[[], list[str]]
    told: Callable[[Served], None]
    invalidated: Callable[[Reader, str], None]
    reborn: Callable[[Reader], None]
    counted: Counter[str]
    mean_gap_s: float
    steady: bool
    cache: SecretCache
    born_s: float = 0.0
    quiet: bool = False
    idle_until_s: float = 0.0

    def start(self) -> None:
        """Start the threads of a new process."""
        for number in range(2):
            self.scheduler.spawn(f"{self.host.name}.{number}", self.host.machine, self._read_on)

    def restart(self) -> None:
        """Another process in the place of this one."""
        self.host.kill()
        self.cache = self.make_cache()
        self.reborn(self)
        self.start()

    def forget(self) -> None:
        """Restored from a snapshot, with the hook run."""
        self.reborn(self)
        self.cache.forget()

    def get(self, secret_id: str, stage: str) -> None:
        """Get one version and tell of it."""
        self.counted["gets"] += 1
        begun_s = self.scheduler.now_s
        outcome: SecretVersion | SecretError
        try:
            outcome = self.cache.get(secret_id, stage)
        except SecretError as error:
            outcome = error
        self.told(Served(self, secret_id, stage, begun_s, outcome))

    def _read_on(self) -> None:
        while True:
            self.scheduler.pause(self.random.expovariate(1 / self.mean_gap_s))
            if self.quiet:
                continue
            secret_id, stage = self.random.choice(self.ids()), self.random.choice(STAGES)
            if self.steady:
                secret_id, stage = self.ids()[0], AWSCURRENT
            if self.random.random() < 0.002:
                self._storm(secret_id)
            if self.random.random() < 0.004:
                self.idle_until_s = self.scheduler.now_s + self.random.expovariate(1 / 200)
            if self.idle_until_s > self.scheduler.now_s:
                # All threads of an idle process come back at once, with the same wish.
                self.scheduler.pause(self.idle_until_s - self.scheduler.now_s)
                secret_id, stage = self.ids()[0], AWSCURRENT
            self.get(secret_id, stage)

    def _storm(self, secret_id: str) -> None:
        """Every login fails, and every failure invalidates."""
        self.counted["storms of invalidations"] += 1
        for _ in range(self.random.randrange(1, 30)):
            if self.cache.invalidate(secret_id):
                self.invalidated(self, secret_id)
            self.get(secret_id, AWSCURRENT)
            self.scheduler.pause(0.2 * self.random.random())
