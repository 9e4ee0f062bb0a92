"""The marker table as one object: what a cache reads, what a writer writes, and what the sweep needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from keyturn.markers.calls import DynamoDBClient, MarkerCalls
from keyturn.markers.lease import TableLease
from keyturn.markers.reader import TableReader
from keyturn.markers.writer import TableWriter
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.protocols import Seen
from keyturn.runtime.host import THIS_HOST, Host


class MarkerTable:
    """One marker table: a `MarkerReader`, a `MarkerStore` and a `Lease`.

    Holds no state: threads may share it if they may share `client`. Every method but `absent` raises
    `MarkerTableError`, whose text says what to do.

    Args:
        client: a low-level DynamoDB client, as `boto3.client("dynamodb")` returns it.
        table: the table's name or ARN.
        host: the clock, pauses and chance to use; by default the real ones.
    """

    def __init__(self, client: DynamoDBClient, table: str, host: Host = THIS_HOST) -> None:
        calls = MarkerCalls(client, table, host)
        self._table = table
        self._reader = TableReader(calls)
        self._writer = TableWriter(calls)
        self._lease = TableLease(calls)

    def __repr__(self) -> str:
        return f"MarkerTable({self._table!r})"

    def read_head(self, *, consistent: bool = False) -> Head | None:
        """Read the head by one GetItem; None if there is no usable one.

        The read takes half a read unit, or one with `consistent`.
        """
        return self._reader.read_head(consistent=consistent)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        """Read the markers of `keys`, strongly consistent, by one BatchGetItem for each 100 of them.

        If the role may not read the whole of a batch, each of its items is read by itself, once.
        """
        return self._reader.read_markers(keys)

    def look(self, key: str) -> Seen:
        """Read the marker of `key`, strongly consistent, for a `write`."""
        return self._writer.look(key)

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        """Write at most 99 markers and count the head up in one transaction.

        Each marker comes with what `look`, `scan` or `absent` returned for its key. Raises
        `MarkerConflictError`, and writes nothing, if one of the markers has changed since. While other
        writers write at the same time, the transaction is tried again for at most some seconds. The table
        sets the epoch and the sequence of each marker.
        """
        self._writer.write(changes)

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

        Moves the moment in the head forward only, and leaves the counter as it is. Makes a head if there is
        none, and replaces a head that breaks the schema.
        """
        self._lease.renew(swept_as_of_s)
