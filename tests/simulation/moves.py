"""When a label has just moved: the moments at which faults and reads are the most dangerous."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.simulation.peers.secretsmanager import READ_LAG_S
from tests.simulation.scheduler import Scheduler, Waiting


@dataclass(slots=True, eq=False)
class Moves:
    """Wakes who waits for the next move of any secret's AWSCURRENT; `last`: that secret's name."""

    scheduler: Scheduler
    random: Random
    last: str = ""
    number: int = 0
    waiting: Waiting = field(default_factory=Waiting)

    def happened(self, name: str) -> None:
        """The label of this secret has moved now."""
        self.last = name
        self.number += 1
        self.scheduler.wake(self.waiting)

    def pause(self, seconds: float) -> bool:
        """Wait for so long or, half of the time, until some answers show a move and others do not yet.

        Whether there was a move just now.
        """
        if self.random.random() < 0.5:
            self.scheduler.pause(seconds)
            return False
        before = self.number
        self.scheduler.park(self.waiting, seconds)
        if self.number == before:
            return False
        self.scheduler.pause(READ_LAG_S * self.random.random())
        return True
