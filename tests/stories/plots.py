"""How rotations go: what happens to a stage while its workers log in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

from keyturn.testing.rotation import STEPS, Step
from tests.stories.stage import Clients, Server, Setting, Stage, Strategy
from tests.stories.workers import Crew, Record, Way


class Pace(NamedTuple):
    """How long a state of a story lasts at least: seconds, and logins of each worker."""

    seconds: float
    logins: int


FULL: Final = Pace(0.8, 1)
SHORT: Final = Pace(0.3, 1)

Tell: TypeAlias = Callable[[Stage, Callable[[], None]], None]
"""Tells a story on a stage. The second argument lets the workers log in for a while."""


def rotation(stage: Stage, hold: Callable[[], None]) -> None:
    """The four steps, some time apart."""
    rotating = stage.rotation()
    for step in STEPS:
        rotating.run(until=step)
        hold()


def two_rotations(stage: Stage, hold: Callable[[], None]) -> None:
    """Two rotations, so that each of two users has its turn."""
    rotation(stage, hold)
    rotation(stage, hold)


def stopped(stage: Stage, hold: Callable[[], None]) -> None:
    """Three rotations. Each stops after another step, and is done anew from the beginning later."""
    halts: Sequence[Step] = STEPS[:-1]
    for step in halts:
        rotating = stage.rotation()
        rotating.run(until=step)
        hold()
        rotating.retry()
        hold()


def failover_in_the_window(stage: Stage, hold: Callable[[], None]) -> None:
    """After setSecret a replica takes over that has the old password still. Then it catches up."""
    rotating = stage.rotation()
    rotating.run(until="setSecret")
    hold()
    stage.server.switch(1)
    hold()
    stage.catch_up(1, "AWSPENDING")
    hold()
    rotating.run()
    hold()


def failover_afterwards(stage: Stage, hold: Callable[[], None]) -> None:
    """After finishSecret a replica takes over that has the old password still. Then it catches up."""
    rotation(stage, hold)
    stage.server.switch(1)
    hold()
    stage.catch_up(1, "AWSCURRENT")
    hold()


@dataclass(frozen=True, slots=True)
class Plot:
    """A story, and what has to come of it.

    `is_survivable`: whether code that refreshes and retries once fails no login either. Where it does not
    fail, and is said to, nothing was tested.
    `refusals`: whether a login of keyturn may be refused on the way to the right version.
    `in_short`: whether the tests tell it, too.
    """

    title: str
    tell: Tell
    strategy: Strategy = "single user"
    announces: bool = True
    is_survivable: bool = False
    refusals: bool = True
    needs_replica: bool = False
    previous: bool = False
    in_short: bool = True

    def suits(self, setting: Setting) -> bool:
        """Return True if the server there has what the story needs."""
        return self.strategy in setting.strategies and (setting.has_replica or not self.needs_replica)


def _both(plot: Plot) -> Sequence[Plot]:
    """Return the story where the steps are announced, and the harder one where nobody announces them."""
    return [
        replace(plot, title=f"{plot.title}, announced", in_short=False),
        replace(plot, title=f"{plot.title}, not announced", announces=False),
    ]


_ALTERNATING: Final = Plot("alternating users", two_rotations, "alternating users", is_survivable=True)
_TWO_PASSWORDS: Final = Plot(
    "two passwords", two_rotations, "two passwords", is_survivable=True, refusals=False
)

PLOTS: Final[Sequence[Plot]] = [
    Plot("single user, announced", rotation),
    Plot("single user, not announced", rotation, announces=False),
    *_both(Plot("stopped after each step, then retried", stopped)),
    *_both(Plot("failover in the window", failover_in_the_window, needs_replica=True)),
    Plot("failover after finishSecret", failover_afterwards, previous=True, needs_replica=True),
    *_both(_ALTERNATING),
    replace(_TWO_PASSWORDS, title="two passwords, announced", in_short=False),
    # Nobody looks for a new version here, and one that is two rotations old is no longer accepted.
    replace(_TWO_PASSWORDS, title="two passwords, not announced", announces=False, tell=rotation),
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a story's workers, by driver and way to log in."""

    plot: Plot
    records: Mapping[tuple[str, Way], Record]

    def of(self, way: Way) -> Record:
        """Return the records of all drivers in one."""
        return sum((record for (_, each), record in self.records.items() if each == way), Record())

    def faults(self) -> list[str]:
        """Return what did not come as it has to; nothing if the story came out well."""
        return [
            f"{self.plot.title}, {driver}: {fault}"
            for (driver, way), record in self.records.items()
            for fault in (self._of_keyturn(record) if way == "keyturn" else self._of_the_usual(record))
        ]

    def _of_keyturn(self, record: Record) -> Iterator[str]:
        if record.failures:
            yield f"{len(record.failures)} of {record.logins} logins failed, first {record.failures[0]}"
        if record.refused and not self.plot.refusals:
            yield f"{record.refused} attempts were refused"
        if not record.logins:
            yield "no login was tried"

    def _of_the_usual(self, record: Record) -> Iterator[str]:
        if self.plot.is_survivable and record.failures:
            yield f"a refresh and a retry did not help: {record.failures[0]}"
        if not self.plot.is_survivable and not record.failures:
            yield "a refresh and a retry failed no login, so the story tests nothing"


def told(server: Server, plot: Plot, pace: Pace, clients: Clients) -> Outcome:
    """Tell a story on a server, and return what became of its workers."""
    server.switch(0)
    stage = Stage(*clients, server, plot.strategy, plot.announces, plot.previous)
    crew = Crew(stage.jobs())
    with crew:
        plot.tell(stage, lambda: crew.hold(*pace))
    return Outcome(plot, {(job.driver, job.way): record for job, record in crew.records})
