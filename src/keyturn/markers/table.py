"""The marker table as one object: what a cache reads, what a writer writes, and what the sweep needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from keyturn.markers.calls import DynamoDBClient, MarkerCalls
from keyturn.markers.heads import Heads
from keyturn.markers.lease import TableLease
from keyturn.markers.reader import TableReader
from keyturn.markers.writer import TableWriter
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.protocols import Seen
from keyturn.model.slots import SLOTS
from keyturn.runtime.host import THIS_HOST, Host


class MarkerTable:
    """One marker table: a `MarkerReader`, a `MarkerStore` and a `Lease`.

    Holds no state: threads may share it if they may share `client`. Every method but `absent` raises
    `MarkerTableError`, whose text says what to do.

    Args:
        client: a low-level DynamoDB client, as `boto3.client("dynamodb")` returns it.
        table: the table's name or ARN.
        host: the clock, pauses and chance to use; by default the real ones.
        slots: how many slots the heads have: part of the schema, and another number in tests only.
        copies: how many heads there are from the next `renew` on, 1 to 32; None for as many as there are.
        pace_s: over how many seconds a fleet spreads what it reads because of a marker, from the next
            `renew` on; None as before.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        host: Host = THIS_HOST,
        *,
        slots: int = SLOTS,
        copies: int | None = None,
        pace_s: float | None = None,
    ) -> None:
        calls = MarkerCalls(client, table, host)
        heads = Heads(calls, slots, copies, pace_s)
        self._table = table
        self._reader = TableReader(calls, slots)
        self._writer = TableWriter(calls, heads)
        self._lease = TableLease(calls, heads)

    def __repr__(self) -> str:
        return f"MarkerTable({self._table!r})"

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        """Read the head, or a copy of it, by one GetItem; None if there is no usable one.

        The read takes half a read unit, or one with `consistent`.
        """
        return self._reader.read_head(consistent=consistent, copy=copy)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        """Read the markers of `keys`, strongly consistent, by one BatchGetItem for each 100 of them.

        If the role may not read the whole of a batch, each of its items is read by itself, once.
        """
        return self._reader.read_markers(keys)

    def look(self, key: str) -> Seen:
        """Read the marker of `key`, strongly consistent, for a `write`."""
        return self._writer.look(key)

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        """Write at most 99 markers, all or none, then tell the head and each of its copies.

        Each marker comes with what `look`, `scan` or `absent` returned for its key. Raises
        `MarkerConflictError`, and writes nothing, if one of the markers has changed since. While the table
        throttles, each call is tried again for at most some seconds. The table sets the epoch and the
        sequence of each marker. After an error the markers may be there and untold; see `tell`.
        """
        self._writer.write(changes)

    def tell(self, seen: Sequence[Seen]) -> None:
        """Tell the head and each copy of at most 99 markers that are untold: their writer was killed."""
        self._writer.tell(seen)

    def now_s(self) -> float:
        """Read the table's own clock: whole epoch seconds, from the `Date` of a strongly consistent read."""
        return self._lease.now_s()

    def scan(self) -> Iterator[Seen]:
        """Yield every marker, strongly consistent, page by page.

        An item that breaks the schema is among them, with `marker` None.
        """
        return self._lease.scan()

    def absent(self, key: str) -> Seen:
        """Return what `look` would return for a key without an item. Makes no call."""
        return self._lease.absent(key)

    def renew(self, swept_as_of_s: float) -> None:
        """Record that all that happened before `swept_as_of_s`, by the table's clock, is in the markers.

        Moves the moment in each head forward only, and leaves the counts as they are. Makes a head if there
        is none, and replaces a head that breaks the schema.
        """
        self._lease.renew(swept_as_of_s)
