"""The rotation listener in this process: its own code, on a clock that is moved by hand."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, cast

from keyturn.assembly import SETTLE_S
from keyturn.aws.catalog import SecretsManagerCatalog
from keyturn.markers.recorder import Recorder
from keyturn.markers.table import MarkerTable
from keyturn.testing.events import Event, EventBus
from keyturn.testing.fakes import FakeClock
from rotation_listener.listener import Listener, Settings

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient
    from keyturn.markers.table import DynamoDBClient
    from keyturn.testing.account import Account

SWEEP: Event = {"keyturn": "sweep"}
"""What the schedule sends."""


class InProcessListener:
    """Takes events as the deployed function does; what it waits passes on `clock`.

    `bus` stands between Secrets Manager and it: `keyturn_listener.bus.dropping()` loses events.
    """

    def __init__(self, account: Account, table: str, clock: FakeClock) -> None:
        epochs = count(1)
        store = MarkerTable(
            cast("DynamoDBClient", account.dynamodb),
            table,
            new_epoch=lambda: f"epoch-{next(epochs)}",
            sleep=clock.advance,
            random=lambda: 0.0,
        )
        recorder = Recorder(
            SecretsManagerCatalog(cast("CatalogClient", account.secretsmanager)),
            store,
            settle_s=SETTLE_S,
            sleep=clock.advance,
            random=lambda: 0.0,
            wall=clock.wall,
        )
        self._listener = Listener(Settings(table), recorder, store)
        self.bus = EventBus(self.deliver)

    def deliver(self, event: Event) -> dict[str, str | int | float | bool | None]:
        """Handle one event; what the function answers. Raises `KeyturnError` as the function does."""
        return self._listener.handle(event, lambda: False)

    def sweep(self) -> dict[str, str | int | float | bool | None]:
        """Do what the schedule causes every five minutes."""
        return self.deliver(SWEEP)
