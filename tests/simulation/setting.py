"""What all parts of one world share."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.simulation.account import Account
from tests.simulation.moves import Moves
from tests.simulation.plan import Plan
from tests.simulation.record import Record
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import Requests, Weather


@dataclass(frozen=True, slots=True, repr=False)
class Setting:
    """The plan, the one chance that decides, the account, and what is known of its requests and moves."""

    plan: Plan
    random: Random
    account: Account
    requests: Requests
    moves: Moves
    record: Record

    @property
    def scheduler(self) -> Scheduler:
        """Who runs when."""
        return self.account.scheduler

    @property
    def weather(self) -> Weather:
        """Which faults are in force."""
        return self.account.weather
