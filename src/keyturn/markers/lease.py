"""What the sweep needs of the marker table: all items, the table's clock, and the lease in the heads."""

from __future__ import annotations

from collections.abc import Iterator

from keyturn.aws.answers import mappings
from keyturn.aws.dynamodb import text_or_none
from keyturn.errors import MarkerTableError
from keyturn.markers.calls import MarkerCalls
from keyturn.markers.conditions import seen_in
from keyturn.markers.heads import Heads
from keyturn.markers.schema import is_head_key
from keyturn.model.protocols import Seen


class TableLease:
    """A `Lease` of one table. Holds no state: as thread-safe as the client of `calls`."""

    def __init__(self, calls: MarkerCalls, heads: Heads) -> None:
        self._calls = calls
        self._heads = heads

    def now_s(self) -> float:
        """Read the table's own clock: whole epoch seconds, from the `Date` of a strongly consistent read."""
        answered_at_s = self._heads.first.get().answered_at_s
        if answered_at_s is None:
            raise MarkerTableError(
                self._calls.table, "DynamoDB's answer has no Date header; look for a proxy that removes it"
            )
        return answered_at_s

    def scan(self) -> Iterator[Seen]:
        """Yield every marker, strongly consistent, page by page; see `Lease.scan`."""
        for answer in self._calls.pages(self._calls.client.scan, ConsistentRead=True):
            for item in mappings(answer.get("Items")):
                key = text_or_none(item.get("pk"))
                if key is not None and not is_head_key(key):
                    yield seen_in(item, key)

    def absent(self, key: str) -> Seen:
        """Return what `look` would return for a key without an item. Makes no call."""
        return seen_in(None, key)

    def renew(self, swept_as_of_s: float) -> None:
        """Record that all that happened before `swept_as_of_s`, by the table's clock, is in the markers.

        Moves the moment in each head forward only, and leaves the counts as they are. Makes a head if there
        is none, and replaces a head that breaks the schema.
        """
        self._heads.renew(swept_as_of_s)
