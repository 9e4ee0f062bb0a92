"""The life of one secret: rotations of both strategies, whole or not, and what people do to it by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random

from keyturn.errors import KeyturnError
from keyturn.markers.decisions import announcement
from keyturn.markers.recorder import Recorder
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS
from tests.simulation.hosts import Host
from tests.simulation.peers import events
from tests.simulation.peers.database import Database
from tests.simulation.peers.secretsmanager import SecretsManager
from tests.simulation.scheduler import Scheduler

CANARY = "CANARY"
"""Part of every secret value, and of nothing else."""

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")

ACTIONS = {
    "rotated": 50,
    "rotated three times in a row": 5,
    "stopped after a step, then retried": 8,
    "stopped after a step, then cancelled": 5,
    "stopped after a step, then abandoned for a value put by hand": 5,
    "rolled back": 8,
    "value put by hand": 6,
    "custom label moved": 4,
    "deleted and restored": 4,
    "purged and created again": 3,
}


@dataclass(slots=True)
class Rotator:
    """Does one thing after another to one secret until `rotations` were finished.

    `announcer`: what the rotation function announces with, if it does.
    """

    name: str
    scheduler: Scheduler
    random: Random
    service: SecretsManager
    database: Database
    publish: Callable[[events.Event], None]
    host: Host
    announcer: Recorder | None
    alternating: bool
    mean_gap_s: float
    counted: Counter[str]
    say: Callable[[str], None]
    hinted: Callable[[str, str], None]
    rotations: int = 0
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    values: Iterator[int] = field(default_factory=lambda: count(1))

    def begin(self) -> None:
        """Make the secret."""
        value = self._value()
        self.database.set_password(value)
        self.service.create(self.name, self._version_id(), value)

    def run(self, rotations: int) -> None:
        """Live. `rotations`: how many times AWSCURRENT is to move to a new version, about."""
        while self.rotations < rotations:
            self.scheduler.pause(self._gap_s())
            action = self.random.choices(list(ACTIONS), list(ACTIONS.values()))[0]
            self.say(f"{self.name}: to be {action}")
            self.counted[action] += 1
            self._act(action)

    def _gap_s(self) -> float:
        short = self.random.random() < 0.2
        return self.random.expovariate(1 / (3.0 if short else self.mean_gap_s))

    def _act(self, action: str) -> None:
        match action:
            case "rotated":
                self._rotate()
            case "rotated three times in a row":
                for _ in range(3):
                    self._rotate()
            case "stopped after a step, then retried":
                version_id = self._version_id()
                self._rotate(version_id, self.random.choice(STEPS[:3]))
                self._wait()
                self._rotate(version_id)
            case "stopped after a step, then cancelled":
                self._rotate(stop_after=self.random.choice(STEPS[:3]))
                self._wait()
                self.service.move(self.name, AWSPENDING, None)
            case "stopped after a step, then abandoned for a value put by hand":
                self._rotate(stop_after=self.random.choice(STEPS[:3]))
                self._wait()
                self._put_by_hand()
                self.service.move(self.name, AWSPENDING, None)
                self.publish(events.service_event("RotationAbandoned", self._arn()))
            case _:
                self._by_hand(action)

    def _by_hand(self, action: str) -> None:
        match action:
            case "rolled back":
                previous = self.service.held(self.name).stages.get(AWSPREVIOUS)
                if previous is not None:
                    self._roll_back(previous)
            case "value put by hand":
                self._put_by_hand()
            case "custom label moved":
                stages = self.service.held(self.name).stages
                label = self.random.choice((AWSCURRENT, AWSPREVIOUS))
                self.service.move(self.name, "blue", stages.get(label, stages[AWSCURRENT]))
            case "deleted and restored":
                self.service.delete(self.name)
                self._wait()
                self.service.restore(self.name)
            case "purged and created again":
                self.service.purge(self.name)
                self.scheduler.pause(self.random.expovariate(1 / self.random.choice((1.0, 1.0, 200.0))))
                self.numbers = count(1)
                self.begin()

    def _roll_back(self, version_id: str) -> None:
        """The label, and in some cases the server as well: before it or after."""
        value, way = self.service.versions[self._arn(), version_id].value, self.random.random()
        if way < 0.3:
            self.database.set_password(value)
            self.scheduler.pause(self.random.random())
        self.service.move(self.name, AWSCURRENT, version_id)
        if way > 0.5:
            self._wait()
            self.database.set_password(value)

    def _rotate(self, version_id: str | None = None, stop_after: str | None = None) -> None:
        """The four steps; a version that is there already is used again, as AWS's functions do."""
        version_id = version_id or self._version_id()
        if self.service.held(self.name).stages.get(AWSPENDING) != version_id:
            self.service.start_rotation(self.name, version_id)
        for step in STEPS:
            self.scheduler.pause(0.05 + self.random.expovariate(2.0))
            self._step(step, version_id)
            self._announce(version_id, step)
            if step == stop_after:
                self.publish(events.service_event("RotationFailed", self._arn()))
                return
        self._finished()
        self.publish(events.service_event("RotationSucceeded", self._arn()))

    def _step(self, step: str, version_id: str) -> None:
        key = (self._arn(), version_id)
        match step:
            case "createSecret" if key not in self.service.versions:
                self.service.put(self.name, version_id, self._value(), AWSPENDING)
            case "setSecret":
                self.database.set_password(self.service.versions[key].value)
            case "finishSecret":
                self.service.move(self.name, AWSCURRENT, version_id)
                if self.random.random() < 0.5:
                    self.service.move(self.name, AWSPENDING, None)

    def _announce(self, version_id: str, step: str) -> None:
        if self.announcer is None or step == "testSecret":
            return
        self.hinted(self.name, version_id)
        try:
            self.announcer.record(announcement(self._arn(), version_id=version_id, step=step))
        except KeyturnError:
            self.counted["announcements failed"] += 1
        self.hinted(self.name, version_id)

    def _put_by_hand(self) -> None:
        value = self._value()
        self.database.set_password(value)
        self.service.put(self.name, self._version_id(), value)
        self._finished()

    def _wait(self) -> None:
        self.scheduler.pause(self.random.expovariate(1 / self.random.choice((2.0, 30.0, 200.0))))

    def _finished(self) -> None:
        self.rotations += 1
        self.counted["rotations"] += 1

    def _arn(self) -> str:
        return self.service.held(self.name).arn

    def _version_id(self) -> str:
        return f"v{next(self.numbers)}"

    def _value(self) -> str:
        number = next(self.values)
        user = "app_clone" if self.alternating and number % 2 == 0 else "app"
        return f"{user}:{CANARY}-{self.name}-{number}"
