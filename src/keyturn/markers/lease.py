"""What the sweep needs of the marker table: all items, the table's clock, and the lease in the head."""

from __future__ import annotations

from collections.abc import Iterator

from keyturn.aws.answers import mappings
from keyturn.aws.dynamodb import text_or_none
from keyturn.errors import MarkerConflictError, MarkerTableError
from keyturn.markers.calls import MarkerCalls
from keyturn.markers.conditions import seen_in
from keyturn.markers.head import HeadItem
from keyturn.markers.schema import HEAD_KEY, head_of
from keyturn.markers.writer import ATTEMPTS_MAX
from keyturn.model.protocols import Seen


class TableLease:
    """A `Lease` of one table. Holds no state: as thread-safe as the client of `calls`."""

    def __init__(self, calls: MarkerCalls) -> None:
        self._calls = calls
        self._head = HeadItem(calls)

    def now_s(self) -> float:
        """Read the table's own clock: whole epoch seconds, from the `Date` of a strongly consistent read."""
        answered_at_s = self._head.get().answered_at_s
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
                if key is not None and key != HEAD_KEY:
                    yield seen_in(item, key)

    def absent(self, key: str) -> Seen:
        """Return what `look` would return for a key without an item. Makes no call."""
        return seen_in(None, key)

    def renew(self, swept_as_of_s: float) -> None:
        """Record that all that happened before `swept_as_of_s`, by the table's clock, is in the markers.

        Moves the moment in the head forward only, and leaves the counter as it is. Makes a head if there is
        none, and replaces a head that breaks the schema.
        """
        for attempt in range(ATTEMPTS_MAX):
            self._calls.back_off(attempt)
            item, answered_at_s = self._head.get()
            head = head_of(item, answered_at_s)
            if head is not None and (head.swept_as_of_s or 0) >= swept_as_of_s:
                return
            if head is None:
                renewed = self._head.replace(item, swept_as_of_s)
            else:
                renewed = self._head.move_lease(head, swept_as_of_s)
            if renewed:
                return
        raise MarkerConflictError(
            self._calls.table, "other writers kept writing the head; the lease was not renewed: start over"
        )
