"""How markers are written: some markers and the head in one transaction, if no marker has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keyturn.aws.answers import mapping, mappings
from keyturn.aws.dynamodb import NUMBER_MAX, Item
from keyturn.aws.faults import FaultKind, fault_of
from keyturn.aws.unseen import Unseen
from keyturn.errors import MarkerConflictError
from keyturn.markers.calls import MarkerCalls
from keyturn.markers.conditions import Mark, seen_in
from keyturn.markers.head import HeadItem
from keyturn.markers.schema import item_of
from keyturn.model.markers import Marker
from keyturn.model.protocols import WRITES_MAX, Seen

ATTEMPTS_MAX: Final = 8
"""How often a write is tried in all while other writers are faster."""

_HEAD_UNFIT: Final = ("ValidationError", "ValidationException")
_PASSING: Final = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


class TableWriter:
    """A `MarkerStore` of one table. Holds no state: as thread-safe as the client of `calls`."""

    def __init__(self, calls: MarkerCalls) -> None:
        self._calls = calls
        self._head = HeadItem(calls)

    def look(self, key: str) -> Seen:
        """Read the marker of `key`, strongly consistent."""
        return seen_in(self._calls.get(key, consistent=True).item, key)

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        """Write at most 99 markers and count the head up in one transaction; see `MarkerStore.write`.

        While other writers write at the same time, the transaction is tried again for at most some seconds.
        The epoch and the sequence of the given markers are ignored.
        """
        if not changes:
            return
        if len(changes) > WRITES_MAX:
            raise ValueError(f"{len(changes)} markers in one transaction; at most {WRITES_MAX} fit")
        items = [*(self._put(seen, marker) for seen, marker in changes), self._head.count_up()]
        for attempt in range(ATTEMPTS_MAX):
            self._calls.back_off(attempt)
            if self._try_write(items):
                return
        raise MarkerConflictError(
            self._calls.table, "other writers kept writing at the same time; nothing was written: start over"
        )

    def _put(self, seen: Seen, marker: Marker) -> dict[str, object]:
        if not isinstance(seen.mark, Mark) or seen.key != marker.key:
            raise ValueError("a marker can be written only under the key under which it was read")
        epoch, sequence = self._next_state(seen.marker)
        item = item_of(marker, epoch=epoch, sequence=sequence)
        return {"Put": {"TableName": self._calls.table, "Item": item, **seen.mark.condition()}}

    def _next_state(self, before: Marker | None) -> tuple[str, int]:
        if before is None or before.sequence >= NUMBER_MAX:
            return self._calls.new_epoch(), 1
        return before.epoch, before.sequence + 1

    def _try_write(self, items: Sequence[Item]) -> bool:
        """Try the transaction once; return False if the same transaction may succeed later."""
        try:
            with Unseen():
                self._calls.client.transact_write_items(TransactItems=items)
        except Exception as error:
            fault = fault_of(error)
            *on_markers, on_head = _cancellation(error) or [fault.code]
            if "ConditionalCheckFailed" in on_markers:
                raise MarkerConflictError(
                    self._calls.table, "a marker has changed since it was read; nothing was written"
                ) from error
            if on_head in _HEAD_UNFIT and self._head.mend():
                return False
            if fault.kind is FaultKind.THROTTLED or _PASSING.intersection((*on_markers, on_head)):
                return False
            raise self._calls.failure(fault) from error
        return True


def _cancellation(error: Exception) -> list[str]:
    """Return why each item of a cancelled transaction was not written, in the items' order; [] if unknown."""
    reasons = mapping(getattr(error, "response", None)).get("CancellationReasons")
    return [str(reason.get("Code") or "") for reason in mappings(reasons)]
