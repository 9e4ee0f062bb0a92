"""The services of one account: what keyturn reads, what tells of changes, and where they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from tests.simulation.peers.database import Database
from tests.simulation.peers.dynamodb import Table
from tests.simulation.peers.events import Event
from tests.simulation.peers.lambdas import Bus, Function
from tests.simulation.peers.parameterstore import ParameterStore
from tests.simulation.peers.secretsmanager import ARN_PREFIX, SecretsManager
from tests.simulation.plan import NAMES, Plan
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import Weather

LASTING_IDS = (*NAMES, *NAMES, *(ARN_PREFIX + name for name in NAMES))


class Witness(Protocol):
    """Who sees what the services do."""

    def published(self, event: Event) -> None: ...

    def changed(self, event: Event) -> None: ...

    def written(self, key: str, item: Mapping[str, object]) -> None: ...

    def event_begun(self, event: Event) -> None: ...

    def event_ended(self, event: Event, answer: Mapping[str, object] | BaseException) -> None: ...


@dataclass(slots=True, repr=False)
class Account:
    """The services, and the databases behind the secrets. The function has no environments yet."""

    scheduler: Scheduler
    weather: Weather
    service: SecretsManager
    store: ParameterStore
    table: Table
    databases: dict[str, Database]
    function: Function

    @classmethod
    def opened(cls, scheduler: Scheduler, random: Random, weather: Weather, seen_by: Witness) -> Account:
        """Return an account in which there is nothing."""
        return cls(
            scheduler,
            weather,
            SecretsManager(scheduler, random, seen_by.published),
            ParameterStore(scheduler, random, seen_by.changed),
            Table(scheduler, random, seen_by.written),
            {name: Database(scheduler) for name in NAMES},
            Function(scheduler, weather, [], seen_by.event_begun, seen_by.event_ended, set()),
        )

    def bus(self, random: Random, plan: Plan) -> Bus:
        """Return what carries events to the function."""
        return Bus(self.scheduler, random, self.weather, self.function, plan.trail)

    def name(self, secret_id: str) -> str:
        """Return the name of the secret that has, or had, this id; an id that nobody had as it is."""
        return self.service.name_by_id.get(secret_id, secret_id)

    def ids(self) -> list[str]:
        """Return every id by which a reader may know a secret now: name, partial ARN, full ARN."""
        states = [self.service.now(name) for name in NAMES]
        return [*LASTING_IDS, *(state.arn for state in states if state is not None)]
