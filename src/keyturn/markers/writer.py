"""How markers are written: the marker first, if it has not changed, then the heads are told.

A writer may be killed between the two. So a marker says that it is `untold` until every head has been told
of it, and whoever finds such a marker tells them: another writer with nothing else to write, and the sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keyturn.aws.answers import mapping, mappings
from keyturn.aws.dynamodb import NUMBER_MAX, number_attribute
from keyturn.aws.faults import FaultKind, fault_of
from keyturn.aws.unseen import Unseen
from keyturn.errors import MarkerConflictError, MarkerTableError
from keyturn.markers.calls import MarkerCalls
from keyturn.markers.conditions import Mark, seen_in
from keyturn.markers.head import ATTEMPTS_MAX, CHANGED
from keyturn.markers.heads import Heads
from keyturn.markers.schema import item_of
from keyturn.model.markers import Marker
from keyturn.model.protocols import WRITES_MAX, Seen

_REFUSED = "ConditionalCheckFailed"
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


class TableWriter:
    """A `MarkerStore` of one table. Holds no state: as thread-safe as the client of `calls`."""

    def __init__(self, calls: MarkerCalls, heads: Heads) -> None:
        self._calls = calls
        self._heads = heads

    def look(self, key: str) -> Seen:
        """Read the marker of `key`, strongly consistent."""
        return seen_in(self._calls.get(key, consistent=True).item, key)

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        """Write at most 99 markers, all or none, and tell the heads; see `MarkerStore.write`.

        Throttled, it tries again for at most some seconds. The epoch and the sequence of the given markers
        are ignored.
        """
        if not changes:
            return
        if len(changes) > WRITES_MAX:
            raise ValueError(f"{len(changes)} markers in one write; at most {WRITES_MAX} fit")
        numbered = [(seen, self._numbered(seen, marker)) for seen, marker in changes]
        self._put(numbered)
        self._heads.tell((seen.marker, marker) for seen, marker in numbered)
        self._end_untold([marker for _, marker in numbered])

    def tell(self, seen: Sequence[Seen]) -> None:
        """Tell the heads of at most 99 markers that are untold; see `MarkerStore.tell`."""
        markers = [one.marker for one in seen if one.marker is not None]
        self._heads.tell((None, marker) for marker in markers)
        self._end_untold(markers)

    def _numbered(self, seen: Seen, marker: Marker) -> Marker:
        """Return the marker with the epoch and the sequence that follow what was read."""
        if not isinstance(seen.mark, Mark) or seen.key != marker.key:
            raise ValueError("a marker can be written only under the key under which it was read")
        before = seen.marker
        if before is None or before.sequence >= NUMBER_MAX:
            return marker._replace(epoch=self._calls.new_epoch(), sequence=1)
        return marker._replace(epoch=before.epoch, sequence=before.sequence + 1)

    def _put(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        puts = [self._put_request(seen, marker) for seen, marker in changes]
        for attempt in range(ATTEMPTS_MAX):
            self._calls.back_off(attempt)
            refused = self._try(puts, "Put")
            if refused is None:
                continue
            if not refused:
                return
            raise MarkerConflictError(
                self._calls.table, "a marker has changed since it was read; nothing was written"
            )
        raise MarkerConflictError(
            self._calls.table, "other writers kept writing at the same time; nothing was written: start over"
        )

    def _put_request(self, seen: Seen, marker: Marker) -> dict[str, object]:
        item = item_of(marker, epoch=marker.epoch, sequence=marker.sequence, untold=True)
        condition = seen.mark.condition() if isinstance(seen.mark, Mark) else {}
        return {"TableName": self._calls.table, "Item": item, **condition}

    def _end_untold(self, markers: Sequence[Marker]) -> None:
        """Say in these markers that the heads were told. Nothing fails with it: at worst they are told again.

        A marker that another writer has written meanwhile is that writer's.
        """
        updates = [self._told_request(marker) for marker in markers]
        for attempt in range(ATTEMPTS_MAX):
            self._calls.back_off(attempt)
            try:
                refused = self._try(updates, "Update")
            except MarkerTableError:
                return
            if refused is None:
                continue
            updates = [one for number, one in enumerate(updates) if number not in refused]
            if not refused or not updates:
                return

    def _told_request(self, marker: Marker) -> dict[str, object]:
        return {
            "TableName": self._calls.table,
            "Key": {"pk": {"S": marker.key}},
            "UpdateExpression": "REMOVE untold",
            "ConditionExpression": "#epoch = :epoch AND #sequence = :sequence",
            "ExpressionAttributeNames": {"#epoch": "epoch", "#sequence": "sequence"},
            "ExpressionAttributeValues": {
                ":epoch": {"S": marker.epoch},
                ":sequence": number_attribute(marker.sequence),
            },
        }

    def _try(self, requests: Sequence[Mapping[str, object]], kind: str) -> frozenset[int] | None:
        """Make these writes, all or none. Return which of them their conditions refuse.

        None if the same writes may succeed later.
        """
        client = self._calls.client
        try:
            with Unseen():
                if len(requests) > 1:
                    client.transact_write_items(TransactItems=[{kind: request} for request in requests])
                elif kind == "Put":
                    client.put_item(**requests[0])
                else:
                    client.update_item(**requests[0])
        except Exception as error:
            fault = fault_of(error)
            reasons = _cancellation(error)
            refused = frozenset(at for at, reason in enumerate(reasons) if reason == _REFUSED)
            if fault.code == CHANGED[0] and len(requests) == 1:
                refused = frozenset({0})
            if refused:
                return refused
            is_passing = fault.kind is FaultKind.THROTTLED or fault.code in CHANGED
            if is_passing or _PASSING.intersection(reasons):
                return None
            raise self._calls.failure(fault) from error
        return frozenset()


def _cancellation(error: Exception) -> list[str]:
    """Return why each item of a cancelled transaction was not written, in the items' order; [] if unknown."""
    reasons = mapping(getattr(error, "response", None)).get("CancellationReasons")
    return [str(reason.get("Code") or "") for reason in mappings(reasons)]
