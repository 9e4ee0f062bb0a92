"""How the marker table is called: one call at a time, each failure a `MarkerTableError`."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from keyturn.aws.answers import Call, answered_at_of
from keyturn.aws.dynamodb import Item
from keyturn.aws.table_calls import TableCalls
from keyturn.errors import MarkerTableError
from keyturn.model.slots import new_step
from keyturn.runtime.host import Host

IF_DENIED: Final = (
    "this role may not use the table; readers need dynamodb:GetItem and BatchGetItem, writers also PutItem "
    "and UpdateItem, the sweep Scan, on the table's ARN"
)
IF_MISSING: Final = (
    "there is no such table in the client's account and Region; deploy the stack or check the name"
)

_BACKOFF_FIRST_S: Final = 0.05
_BACKOFF_MAX_S: Final = 1.0


class DynamoDBClient(Protocol):
    """The operations of a low-level DynamoDB client (boto3's or botocore's) that the marker table needs."""

    @property
    def get_item(self) -> Call: ...

    @property
    def batch_get_item(self) -> Call: ...

    @property
    def scan(self) -> Call: ...

    @property
    def put_item(self) -> Call: ...

    @property
    def update_item(self) -> Call: ...

    @property
    def transact_write_items(self) -> Call: ...


class Got(NamedTuple):
    """The answer to a read of one item.

    `item` is None if there is none. `answered_at_s` is the `Date` of the answer in epoch seconds, by the
    table's own clock; None if the answer had no `Date`.
    """

    item: Item | None
    answered_at_s: float | None


class MarkerCalls(TableCalls):
    """Makes the calls on one marker table. Threads may share it if they may share `client`."""

    def __init__(self, client: DynamoDBClient, table: str, host: Host) -> None:
        super().__init__(table, MarkerTableError, if_denied=IF_DENIED, if_missing=IF_MISSING)
        self.client = client
        self._host = host

    def get(self, key: str, *, consistent: bool) -> Got:
        """Read the item of `key` by one GetItem."""
        answer = self.ask(self.client.get_item, Key={"pk": {"S": key}}, ConsistentRead=consistent)
        item = answer.get("Item")
        return Got(item if isinstance(item, dict) and item else None, answered_at_of(answer))

    def new_epoch(self) -> str:
        """Return a random epoch for a new item."""
        return self._host.new_epoch()

    def new_step(self) -> int:
        """Return a random step for the counts of the head."""
        return new_step(self._host.random)

    def back_off(self, attempt: int) -> None:
        """Wait before attempt number `attempt`: not before the first, 0, and at most 1 s before any other."""
        if attempt:
            longest_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** (attempt - 1))
            self._host.sleep(self._host.random() * longest_s)
