"""The course of one world: everybody lives under faults, then all faults end and everybody is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from tests.simulation.account import Account
from tests.simulation.changer import LABEL, Changer, ParameterReads
from tests.simulation.checkers.bounds import SWEEP_EVERY_S
from tests.simulation.checkers.broken import require
from tests.simulation.checkers.ending import Ending
from tests.simulation.gremlins import Gremlins
from tests.simulation.hosts import Host
from tests.simulation.judges import Judges
from tests.simulation.peers.parameterstore import TYPES
from tests.simulation.plan import NAMES, Plan
from tests.simulation.reader import Reader
from tests.simulation.record import Record
from tests.simulation.rotator import Rotator
from tests.simulation.scheduler import Scheduler
from tests.simulation.setting import Setting
from tests.simulation.weather import SWEEPS, Weather

HEALED_AFTER_S = 1450.0
"""The latest event, with Lambda's last retry, and a sweep that began a list's lag after it."""

DEPLOYED = 1 / 16
"""In so many worlds processes are closed and replaced, beside those whose readers report."""

DEPLOYED_EVERY_S = 300.0

QUIET_S = 60.0
TIME_MAX_S = 40_000.0


@dataclass(slots=True, repr=False)
class Course:
    """What happens in one world, from the first secret to the last check."""

    setting: Setting
    judges: Judges
    parameters: ParameterReads
    readers: list[Reader]
    gremlins: Gremlins
    plan: Plan = field(init=False)
    scheduler: Scheduler = field(init=False)
    weather: Weather = field(init=False)
    account: Account = field(init=False)
    record: Record = field(init=False)
    ground: Host = field(init=False)
    ended: list[Reader] = field(default_factory=list)

    def __post_init__(self) -> None:
        setting = self.setting
        self.plan, self.account, self.record = setting.plan, setting.account, setting.record
        self.scheduler, self.weather = setting.scheduler, setting.weather
        self.ground = Host("aws", self.scheduler)

    def run(self, rotators: list[Rotator]) -> None:
        """Live until these rotators have done all that they are to do, and end."""
        for rotator in rotators:
            self._spawn(f"creation of {rotator.name}", rotator.begin)
        self._spawn("sweeps", self._sweep_on)
        changers = [
            Changer(
                name,
                self.scheduler,
                self.setting.random,
                self.account.store,
                4 * self.plan.mean_gap_s,
                self.record.counted,
            )
            for name in TYPES
        ]
        for changer in changers:
            self._spawn(f"creation of {changer.name}", changer.begin)
        busy = len(rotators)

        def rotate(rotator: Rotator) -> None:
            nonlocal busy
            rotator.run(self.plan.rotations)
            busy -= 1

        for rotator in rotators:
            self._spawn(f"rotator of {rotator.name}", partial(rotate, rotator))
        for reader in self.readers:
            reader.start()
        # Until here nobody had a marker: the faults begin once the first sweep has made them.
        self.scheduler.run(30)
        chaos = Host("gremlins", self.scheduler)
        people = Host("people", self.scheduler)
        for changer in changers:
            self.scheduler.spawn(f"changes of {changer.name}", people.machine, changer.run)
        for number in range(2 if self.plan.faults else 0):
            run = partial(self.gremlins.run, list(self.plan.faults), self.plan.mean_fault_gap_s)
            self.scheduler.spawn(f"gremlin{number}", chaos.machine, run)
        for reader in self._deployed():
            replace = partial(self._replace_on, reader)
            self.scheduler.spawn(f"deployments of {reader.host.name}", people.machine, replace)
        while busy and self.scheduler.now_s < TIME_MAX_S:
            self.scheduler.run(self.scheduler.now_s + 50)
        chaos.kill()
        people.kill()
        self._heal()

    def _spawn(self, name: str, run: Callable[[], None]) -> None:
        self.scheduler.spawn(name, self.ground.machine, run)

    def _deployed(self) -> list[Reader]:
        """The readers whose processes are closed and replaced: all that report, and in few other worlds.

        The chances are its own, so that the other worlds stay as they were.
        """
        is_deployed = Random(f"{self.plan!r} deploys").random() < DEPLOYED
        return self.readers if is_deployed or self.judges.reporting.table.used else []

    def _replace_on(self, reader: Reader) -> None:
        random = Random(f"{self.plan!r} replaces {reader.host.name}")
        while True:
            self.scheduler.pause(random.expovariate(1 / DEPLOYED_EVERY_S))
            self.record.counted["processes closed and replaced"] += 1
            self.scheduler.spawn(f"end of a process of {reader.host.name}", reader.host.machine, reader.close)

    def _sweep_on(self) -> None:
        while True:
            if self.weather.sweeps_off:
                self.weather.struck(SWEEPS)
            else:
                self.record.counted["sweeps"] += 1
                self.account.function.invoke({"keyturn": "sweep"}, 0.0)
            self.scheduler.pause(SWEEP_EVERY_S)

    # The end

    def _heal(self) -> None:
        """All faults end; then everybody has time to get over them, and is looked at."""
        self.record.say("all faults are over")
        self.weather.end()
        self.account.table.exists = True
        for reader in self.readers:
            reader.quiet = True
        self._spawn("one move more", self._move_each)
        thawed_s = max(self.scheduler.now_s, *(reader.host.machine.thaws_at_s for reader in self.readers))
        self.scheduler.run(thawed_s + HEALED_AFTER_S)
        self.judges.logins.all_ended()
        ending = Ending(
            self.account.service,
            self.plan.undescribed,
            self.account.store,
            self.plan.swept_parameters,
            self.plan.copies,
            self.weather,
            self.setting.requests,
        )
        for reader in self.readers:
            self.scheduler.spawn(
                f"end of {reader.host.name}", reader.host.machine, partial(self._end, ending, reader)
            )
        self.scheduler.run(self.scheduler.now_s + 3 * QUIET_S)
        missing = [reader.host.name for reader in self.readers if reader not in self.ended]
        require(not missing, "liveness", f"{missing} wait for ever")
        ending.table(self.account.table.items(), self.scheduler.now_s)
        ending.listener(self.account.function.waiting)
        self.judges.reporting.over()

    def _move_each(self) -> None:
        """From a reader of the version before slots a forged or restored head may hide what has changed.

        Until the next move that it sees.
        """
        service, store = self.account.service, self.account.store
        for name in NAMES if self.plan.old else ():
            self.scheduler.pause(30.0)
            service.move(name, "blue", None)
            service.move(name, "blue", service.held(name).stages["AWSCURRENT"])
        for name in TYPES:
            store.put(name)
            store.label(name, LABEL, 1)

    def _end(self, ending: Ending, reader: Reader) -> None:
        self._get_all(reader, QUIET_S, every_s=20.0)
        calls = self.record.calls_of(reader.host.name)
        calls.clear()
        self._get_all(reader, QUIET_S, every_s=5.0)
        ending.quiet_minute(reader, calls, QUIET_S)
        ending.reader(reader)
        self.judges.reporting.ended(reader, self.account.service, QUIET_S)
        reader.forget()
        # What the background thread was reading just then lands, and counts for nothing.
        self.scheduler.pause(1.0)
        calls.clear()
        self._get_parameters(reader, QUIET_S / 2)
        ending.first_minute(reader, calls)
        self.ended.append(reader)
        self.record.counted["readers seen converged"] += 1

    def _get_parameters(self, reader: Reader, seconds: float) -> None:
        until_s = self.scheduler.now_s + seconds
        while self.scheduler.now_s < until_s:
            for name in TYPES:
                self.parameters.one(reader, name, "AWSCURRENT", decrypt=True)
            self.scheduler.pause(1.0)

    def _get_all(self, reader: Reader, seconds: float, *, every_s: float) -> None:
        until_s = self.scheduler.now_s + seconds
        while self.scheduler.now_s < until_s:
            for name in NAMES:
                for stage in ("AWSCURRENT", "AWSPREVIOUS"):
                    reader.get(name, stage)
            for name in TYPES:
                for selector in ("AWSCURRENT", LABEL):
                    self.parameters.one(reader, name, selector, decrypt=True)
            self.parameters.some(reader, tuple(TYPES), decrypt=True)
            self.parameters.path(reader, recursive=True, decrypt=True)
            self.scheduler.pause(every_s)
