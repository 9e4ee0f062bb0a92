"""The rotation listener in this process: the deployed code, on a clock that the test moves."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, cast

from keyturn.assembly import SETTLE_S
from keyturn.aws.catalog import SecretsManagerCatalog
from keyturn.errors import ConfigurationError
from keyturn.markers.table import MarkerTable
from keyturn.runtime.host import Host
from keyturn.testing.events import Event, EventBus
from keyturn.testing.fakes import FakeClock

try:
    from rotation_listener.listener import Listener, Settings
except ImportError as error:
    raise ConfigurationError(
        "another package named rotation_listener hides keyturn's listener from the test kit; "
        "rename that folder, or let pytest run without it on the path"
    ) from error

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient
    from keyturn.markers.calls import DynamoDBClient
    from keyturn.testing.account import Account

SWEEP: Event = {"keyturn": "sweep"}
"""The event that the schedule sends."""


class InProcessListener:
    """Handles events as the deployed function does. Its waits pass on `clock`.

    `bus` stands between Secrets Manager and the listener: `keyturn_listener.bus.dropping()` loses events.
    """

    def __init__(self, account: Account, table: str, clock: FakeClock) -> None:
        epochs = count(1)
        host = Host(
            wall=clock.wall,
            sleep=clock.advance,
            random=lambda: 0.0,
            new_epoch=lambda: f"epoch-{next(epochs)}",
        )
        self._listener = Listener(
            Settings(table, settle_s=SETTLE_S),
            SecretsManagerCatalog(cast("CatalogClient", account.secretsmanager)),
            MarkerTable(cast("DynamoDBClient", account.dynamodb), table, host),
            host,
        )
        self.bus = EventBus(self.deliver)

    def deliver(self, event: Event) -> dict[str, str | int | float | bool | None]:
        """Handle one event and return the function's answer. Raises `KeyturnError` as the function does."""
        return self._listener.handle(event, lambda: False)

    def sweep(self) -> dict[str, str | int | float | bool | None]:
        """Sweep, as the schedule does every five minutes."""
        return self.deliver(SWEEP)
