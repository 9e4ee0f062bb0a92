"""The convergence table in some worlds, and the client with which a host reports to it.

Its chances are its own, so that a world without reports stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import cast

from botocore.exceptions import ClientError, ReadTimeoutError

from tests.simulation.hosts import Host
from tests.simulation.plan import Plan
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import TABLE, Weather

Item = Mapping[str, object]
SHARE = 1 / 8
"""So many worlds have readers that report."""

GIVEN_SHARE = 1 / 2
"""In the other worlds so many readers have a table that no report reaches; the rest have none."""

TTL_S = 300.0


@dataclass(slots=True, repr=False)
class ReportsTable:
    """Every environment's last report, as an item with the moment of its writing (true seconds)."""

    scheduler: Scheduler
    weather: Weather
    random: Random
    seed: str
    used: bool
    items: dict[str, tuple[float, Item]] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, scheduler: Scheduler, weather: Weather) -> ReportsTable:
        """The table of a world, whose chances follow from its plan."""
        random = Random(repr(plan))
        return cls(scheduler, weather, random, repr(plan), used=random.random() < SHARE)

    def is_given_to(self, host: Host) -> bool:
        """Return True if this host has a convergence table; out of reach where no world's readers report."""
        return self.used or Random(f"{self.seed} {host.name}").random() < GIVEN_SHARE


@dataclass(slots=True, repr=False)
class ReportsLine:
    """A DynamoDB client of one host. `told` hears of each item, before it goes out."""

    table: ReportsTable
    host: Host
    told: Callable[[Host, Item], None]

    def put_item(self, *, TableName: str, Item: Item) -> Item:
        self.told(self.host, Item)
        self.table.weather.hang(TABLE)
        self._travel()
        failure = self._failure()
        if failure is not None and self.table.random.random() < 0.6:
            raise failure
        key = str(cast("Mapping[str, object]", Item["pk"])["S"])
        self.table.items[key] = self.table.scheduler.now_s, Item
        self._travel()
        if failure is not None:
            # It took effect, and nobody hears of it.
            raise failure
        return {}

    def scan(self, **_: object) -> Item:
        raise AssertionError("a process reads no reports")

    def _travel(self) -> None:
        self.table.scheduler.pause(0.002 + 0.03 * self.table.random.random() ** 3)

    def _failure(self) -> Exception | None:
        weather = self.table.weather
        if weather.table_denied:
            answer = {"Error": {"Code": "AccessDeniedException", "Message": ""}}
            return ClientError(answer, "PutItem")  # type: ignore[arg-type] # the shape that botocore gives it
        if self.table.random.random() < weather.table_error:
            return ReadTimeoutError(endpoint_url="https://dynamodb")
        return weather.foreign_error(TABLE)
