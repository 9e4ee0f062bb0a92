"""How one head item is written: told of a write of markers, made, replaced, and given a later lease."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keyturn.aws.answers import Call, mapping
from keyturn.aws.dynamodb import Item, number_attribute
from keyturn.aws.faults import FaultKind, fault_of
from keyturn.aws.unseen import Unseen
from keyturn.errors import MarkerTableError
from keyturn.markers.calls import Got, MarkerCalls
from keyturn.markers.conditions import Mark
from keyturn.markers.schema import SCHEMA, count_name, entry_name, head_key, head_of
from keyturn.model.markers import Head

ATTEMPTS_MAX: Final = 8
"""How often a write is tried in all while the table throttles or other writers are faster."""

CHANGED: Final = ("ConditionalCheckFailedException", "TransactionConflictException")
_UNFIT: Final = "ValidationException"
_SET_BY_SWEEP: Final = ("copies", "pace_s")


class HeadItem:
    """The head, or one copy of it. The methods that write return False if another writer was faster."""

    def __init__(self, calls: MarkerCalls, slots: int, copy: int = 0) -> None:
        self._calls = calls
        self._slots = slots
        self._copy = copy
        self._key: Item = {"pk": {"S": head_key(copy)}}

    def get(self) -> Got:
        """Read the item, strongly consistent."""
        return self._calls.get(head_key(self._copy), consistent=True)

    def parsed(self, got: Got) -> Head | None:
        """Return the head in what was read; None if there is no usable one."""
        return head_of(got.item, got.answered_at_s, self._slots)

    def tell(self, made: Mapping[int, bytes], step: int) -> int:
        """Count these slots up by `step`, with these entries. Return how many copies this head knows of.

        Makes the head if there is none, and replaces one that cannot be counted up. Throttled, it is tried
        again for at most some seconds.
        """
        throttled = 0
        for _ in range(ATTEMPTS_MAX):
            self._calls.back_off(throttled)
            try:
                with Unseen():
                    answer = self._calls.client.update_item(**self._counted_up(made, step))
            except Exception as error:
                fault = fault_of(error)
                if fault.code in (CHANGED[0], _UNFIT) and self._mend():
                    continue
                if fault.kind is not FaultKind.THROTTLED and fault.code not in CHANGED:
                    raise self._calls.failure(fault) from error
                throttled += 1
                continue
            copies = mapping(mapping(answer).get("Attributes")).get("copies")
            return _number(copies) or 1
        raise MarkerTableError(
            self._calls.table,
            "the head is throttled, so readers notice the change late: after the next sweep at the latest",
        )

    def _counted_up(self, made: Mapping[int, bytes], step: int) -> dict[str, object]:
        entries = ", ".join(f"{entry_name(slot)} = :{entry_name(slot)}" for slot in made)
        counts = ", ".join(f"{count_name(slot)} :step" for slot in made)
        return {
            "TableName": self._calls.table,
            "Key": self._key,
            "UpdateExpression": f"SET {entries} ADD #counter :steps, {counts}",
            # A head is made whole: a writer that may only tell of its own marker cannot make one.
            "ConditionExpression": "attribute_exists(#counter)",
            "ExpressionAttributeNames": {"#counter": "counter"},
            "ExpressionAttributeValues": {
                ":step": number_attribute(step),
                # By the sum of the slots: else a write of several slots would look like an old writer's.
                ":steps": number_attribute(step * len(made)),
                **{f":{entry_name(slot)}": {"B": entry} for slot, entry in made.items()},
            },
            "ReturnValues": "NONE" if self._copy else "ALL_NEW",
        }

    def _mend(self) -> bool:
        """Make the head, or replace one that breaks the schema; return False if nothing is wrong with it."""
        got = self.get()
        if self.parsed(got) is not None:
            return False
        # As many copies as before, so that those are told, too. The sweep sees to it.
        kept = {name: (got.item or {}).get(name) for name in _SET_BY_SWEEP}
        try:
            self.replace(
                got.item, {name: value for name, value in kept.items() if _number(value) is not None}
            )
        except MarkerTableError as error:
            if not error.denied:
                raise
            # Who announces one secret may not make what speaks for all.
            raise MarkerTableError(
                self._calls.table,
                "the table has no usable head yet, and this role may not make it; the marker is written, "
                "and readers notice it after the listener's next sweep",
                denied=True,
            ) from error
        return True

    def replace(self, seen: Item | None, lease: Mapping[str, object]) -> bool:
        """Put a new head, with these attributes, in the place of the item that was read, if there was one."""
        mark = Mark.of(seen, "epoch", "counter", "swept_as_of_s", *_SET_BY_SWEEP)
        return self._write(self._calls.client.put_item, Item=self._fresh(lease), **mark.condition())

    def lend(self, head: Head, lease: Mapping[str, object]) -> bool:
        """Set these attributes of the head that was read, and remove those of them that are None.

        The moment of the lease moves forward only: returns False also if the head has a later one already.
        """
        values = {name: value for name, value in lease.items() if value is not None}
        removed = ", ".join(name for name, value in lease.items() if value is None)
        condition = "#epoch = :epoch"
        if "swept_as_of_s" in values:
            condition += " AND (attribute_not_exists(swept_as_of_s) OR swept_as_of_s < :swept_as_of_s)"
        sets = "SET " + ", ".join(f"{name} = :{name}" for name in values)
        return self._write(
            self._calls.client.update_item,
            Key=self._key,
            UpdateExpression=f"{sets} REMOVE {removed}" if removed else sets,
            ConditionExpression=condition,
            ExpressionAttributeNames={"#epoch": "epoch"},
            ExpressionAttributeValues={
                ":epoch": {"S": head.epoch},
                **{f":{name}": value for name, value in values.items()},
            },
        )

    def _fresh(self, lease: Mapping[str, object]) -> dict[str, object]:
        return {
            **self._key,
            "schema": number_attribute(SCHEMA),
            "epoch": {"S": self._calls.new_epoch()},
            "counter": number_attribute(0),
            **{name: value for name, value in lease.items() if value is not None},
        }

    def _write(self, call: Call, **request: object) -> bool:
        try:
            with Unseen():
                call(TableName=self._calls.table, **request)
        except Exception as error:
            fault = fault_of(error)
            if fault.code in CHANGED:
                return False
            raise self._calls.failure(fault) from error
        return True


def _number(attribute: object) -> int | None:
    """Return a whole number of an attribute; None for anything else."""
    digits = mapping(attribute).get("N")
    return int(digits) if isinstance(digits, str) and digits.isdecimal() and len(digits) < 9 else None
