"""The marker table as the version before slots used it: what a rolling upgrade has on one side.

Such a writer puts the marker and counts the head up by one in one transaction; such a sweep renews the lease
of the head alone; such a reader sees a counter and no slots. It knows nothing of `untold` markers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from keyturn.aws.dynamodb import number_attribute
from keyturn.aws.faults import FaultKind, fault_of
from keyturn.errors import MarkerConflictError, MarkerTableError
from keyturn.markers.calls import DynamoDBClient
from keyturn.markers.conditions import Mark
from keyturn.markers.schema import HEAD_KEY, SCHEMA, head_of, item_of
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.protocols import Seen
from keyturn.runtime.host import Host

HEAD = {"pk": {"S": HEAD_KEY}}


class OldTable:
    """A `MarkerReader` and a `SweptTable` of schema 1 without slots."""

    def __init__(self, client: DynamoDBClient, table: str, host: Host, *, slots: int) -> None:
        self._new = MarkerTable(client, table, host, slots=slots)
        self._client, self._table, self._host = client, table, host
        self.now_s = self._new.now_s

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        assert copy == 0, "an old reader knows of no copies"
        head = self._new.read_head(consistent=consistent)
        return head._replace(slots=(), copies=1, pace_s=0.0) if head is not None else None

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        return self._new.read_markers(keys)

    def look(self, key: str) -> Seen:
        return self._new.look(key)._replace(untold=False)

    def scan(self) -> Iterator[Seen]:
        return (seen._replace(untold=False) for seen in self._new.scan())

    def absent(self, key: str) -> Seen:
        return self._new.absent(key)

    def tell(self, seen: Sequence[Seen]) -> None:
        raise AssertionError(f"an old writer tells nobody of {seen}")

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        if not changes:
            return
        items: list[dict[str, object]] = [{"Put": self._put(seen, marker)} for seen, marker in changes]
        items.append({"Update": self._count_up()})
        for _ in range(8):
            try:
                self._client.transact_write_items(TransactItems=items)
            except Exception as error:  # noqa: BLE001 # judged
                self._host.sleep(0.1 * self._host.random())
                self._judge(error)
            else:
                return
        raise MarkerConflictError(self._table, "other writers kept writing at the same time")

    def renew(self, swept_as_of_s: float) -> None:
        for _ in range(8):
            try:
                answer = self._client.get_item(TableName=self._table, Key=HEAD, ConsistentRead=True)
                item = answer.get("Item")
                head = head_of(item, self.now_s())
                if head is not None and (head.swept_as_of_s or 0) >= swept_as_of_s:
                    return
                self._lend(item if isinstance(item, dict) else None, head, swept_as_of_s)
            except Exception as error:  # noqa: BLE001 # judged
                self._host.sleep(0.1 * self._host.random())
                self._judge(error, ours=True)
            else:
                return
        raise MarkerConflictError(self._table, "other writers kept writing the head")

    def _lend(self, item: dict[str, object] | None, head: Head | None, swept_as_of_s: float) -> None:
        moment = number_attribute(swept_as_of_s)
        if head is None:
            mark = Mark.of(item, "epoch", "counter", "swept_as_of_s")
            fresh = {
                **HEAD,
                "schema": number_attribute(SCHEMA),
                "epoch": {"S": self._host.new_epoch()},
                "counter": number_attribute(1),
                "swept_as_of_s": moment,
            }
            self._client.put_item(TableName=self._table, Item=fresh, **mark.condition())
            return
        self._client.update_item(
            TableName=self._table,
            Key=HEAD,
            UpdateExpression="SET #swept = :swept",
            ConditionExpression="#epoch = :epoch AND (attribute_not_exists(#swept) OR #swept < :swept)",
            ExpressionAttributeNames={"#swept": "swept_as_of_s", "#epoch": "epoch"},
            ExpressionAttributeValues={":swept": moment, ":epoch": {"S": head.epoch}},
        )

    def _put(self, seen: Seen, marker: Marker) -> dict[str, object]:
        before, mark = seen.marker, seen.mark
        epoch, sequence = (
            (self._host.new_epoch(), 1) if before is None else (before.epoch, before.sequence + 1)
        )
        condition = mark.condition() if isinstance(mark, Mark) else {}
        item = item_of(marker, epoch=epoch, sequence=sequence)
        return {"TableName": self._table, "Item": item, **condition}

    def _count_up(self) -> dict[str, object]:
        return {
            "TableName": self._table,
            "Key": HEAD,
            "UpdateExpression": (
                "SET #schema = if_not_exists(#schema, :schema), #epoch = if_not_exists(#epoch, :epoch) "
                "ADD #counter :one"
            ),
            "ExpressionAttributeNames": {"#schema": "schema", "#epoch": "epoch", "#counter": "counter"},
            "ExpressionAttributeValues": {
                ":schema": number_attribute(SCHEMA),
                ":epoch": {"S": self._host.new_epoch()},
                ":one": number_attribute(1),
            },
        }

    def _judge(self, error: Exception, *, ours: bool = False) -> None:
        """Raise what this failure means, unless the same write may succeed later."""
        fault = fault_of(error)
        response = getattr(error, "response", None)
        reasons = response.get("CancellationReasons", []) if isinstance(response, dict) else []
        codes = [reason.get("Code") for reason in reasons]
        if "ConditionalCheckFailed" in codes[:-1]:
            raise MarkerConflictError(self._table, "a marker has changed since it was read") from error
        if codes and codes[-1] == "ValidationError":
            self.renew(0.001)
            return
        if ours and fault.code == "ConditionalCheckFailedException":
            return
        if fault.kind is FaultKind.THROTTLED or "TransactionConflict" in codes:
            return
        raise MarkerTableError(self._table, f"refused: {fault}") from error
