"""How the head item is written: counted up with each write of markers, replaced, and given a later lease."""

from __future__ import annotations

from typing import Final

from keyturn.aws.answers import Call
from keyturn.aws.dynamodb import Item, number_attribute
from keyturn.aws.faults import fault_of
from keyturn.aws.unseen import Unseen
from keyturn.markers.calls import Got, MarkerCalls
from keyturn.markers.conditions import Mark
from keyturn.markers.schema import HEAD_KEY, SCHEMA, head_of
from keyturn.model.markers import Head

_CHANGED: Final = ("ConditionalCheckFailedException", "TransactionConflictException")


class HeadItem:
    """The head item of one table. The methods that write return False if another writer was faster."""

    def __init__(self, calls: MarkerCalls) -> None:
        self._calls = calls

    def get(self) -> Got:
        """Read the item, strongly consistent."""
        return self._calls.get(HEAD_KEY, consistent=True)

    def count_up(self) -> dict[str, object]:
        """Return the part of a transaction that counts the head up, and makes it if there is none."""
        return {
            "Update": {
                "TableName": self._calls.table,
                "Key": {"pk": {"S": HEAD_KEY}},
                "UpdateExpression": (
                    "SET #schema = if_not_exists(#schema, :schema), #epoch = if_not_exists(#epoch, :epoch) "
                    "ADD #counter :one"
                ),
                "ExpressionAttributeNames": {
                    "#schema": "schema",
                    "#epoch": "epoch",
                    "#counter": "counter",
                },
                "ExpressionAttributeValues": {
                    ":schema": number_attribute(SCHEMA),
                    ":epoch": {"S": self._calls.new_epoch()},
                    ":one": number_attribute(1),
                },
            }
        }

    def mend(self) -> bool:
        """Replace the head if it breaks the schema; return False if it does not."""
        item, answered_at_s = self.get()
        if head_of(item, answered_at_s) is not None:
            return False
        self.replace(item)
        return True

    def replace(self, seen: Item | None, swept_as_of_s: float | None = None) -> bool:
        """Put a new head, perhaps with a lease, in the place of the item that was read, if there was one."""
        fresh = {
            "pk": {"S": HEAD_KEY},
            "schema": number_attribute(SCHEMA),
            "epoch": {"S": self._calls.new_epoch()},
            "counter": number_attribute(1),
            **({} if swept_as_of_s is None else {"swept_as_of_s": number_attribute(swept_as_of_s)}),
        }
        mark = Mark.of(seen, "epoch", "counter", "swept_as_of_s")
        return self._write(self._calls.client.put_item, Item=fresh, **mark.condition())

    def move_lease(self, head: Head, swept_as_of_s: float) -> bool:
        """Move the lease of this head forward. Returns False also if the head has a later lease already."""
        return self._write(
            self._calls.client.update_item,
            Key={"pk": {"S": HEAD_KEY}},
            UpdateExpression="SET #swept = :swept",
            ConditionExpression="#epoch = :epoch AND (attribute_not_exists(#swept) OR #swept < :swept)",
            ExpressionAttributeNames={"#swept": "swept_as_of_s", "#epoch": "epoch"},
            ExpressionAttributeValues={
                ":swept": number_attribute(swept_as_of_s),
                ":epoch": {"S": head.epoch},
            },
        )

    def _write(self, call: Call, **request: object) -> bool:
        try:
            with Unseen():
                call(TableName=self._calls.table, **request)
        except Exception as error:
            fault = fault_of(error)
            if fault.code in _CHANGED:
                return False
            raise self._calls.failure(fault) from error
        return True
