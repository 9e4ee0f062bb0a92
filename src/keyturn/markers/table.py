"""The marker table as DynamoDB holds it, read and written; `schema` says what its items look like."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from keyturn.aws.dynamodb import (
    NUMBER_MAX,
    Call,
    Item,
    answered_at_of,
    mappings,
    number_of,
    text_or_none,
)
from keyturn.aws.faults import Fault, FaultKind, fault_of, table_advice
from keyturn.errors import MarkerConflictError, MarkerTableError
from keyturn.markers.schema import HEAD_KEY, SCHEMA, head_of, item_of, marker_of
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.protocols import WRITES_MAX, Seen

_BATCH_MAX: Final = 100
_READ_ATTEMPTS_MAX: Final = 3
_WRITE_ATTEMPTS_MAX: Final = 8
_BACKOFF_FIRST_S: Final = 0.05
_BACKOFF_MAX_S: Final = 1.0
_HEAD_UNFIT: Final = ("ValidationError", "ValidationException")
_PASSING: Final = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


class DynamoDBClient(Protocol):
    """The part of a DynamoDB client (boto3's or botocore's, low-level) that is used."""

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


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a conditional write compares: two attributes as they were seen, None where absent."""

    exists: bool
    state: Mapping[str, object]

    @classmethod
    def of(cls, item: Item | None, *names: str) -> _Mark:
        return cls(item is not None, {name: (item or {}).get(name) for name in names})

    def condition(self) -> dict[str, object]:
        """The arguments of a write that must find what was seen."""
        if not self.exists:
            return {"ConditionExpression": "attribute_not_exists(pk)"}
        tests = ["attribute_exists(pk)"]
        tests += [f"#{n} = :{n}" if seen else f"attribute_not_exists(#{n})" for n, seen in self.state.items()]
        values = {f":{name}": seen for name, seen in self.state.items() if seen}
        return {
            "ConditionExpression": " AND ".join(tests),
            "ExpressionAttributeNames": {f"#{name}": name for name in self.state},
            **({"ExpressionAttributeValues": values} if values else {}),
        }


class MarkerTable:
    """One marker table, read (`MarkerReader`) and written (`MarkerStore`, and the sweep's part).

    `table` is a name or an ARN. `new_epoch` gives a random text of 1 to 64 characters, `sleep` waits
    so many seconds, `random` gives a number in [0, 1). Holds no state: as thread-safe as `client`.
    Every method raises `MarkerTableError`, whose text says what to do.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        new_epoch: Callable[[], str],
        sleep: Callable[[float], None],
        random: Callable[[], float],
    ) -> None:
        self._client = client
        self._table = table
        self._new_epoch = new_epoch
        self._sleep = sleep
        self._random = random

    def __repr__(self) -> str:
        return f"MarkerTable({self._table!r})"

    # The reader's side

    def read_head(self, *, consistent: bool = False) -> Head | None:
        """The head, or None without a usable one. One GetItem, half a read unit unless `consistent`."""
        item, answered_at_s = self._get(HEAD_KEY, consistent=consistent)
        return head_of(item, answered_at_s)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        """The markers of `keys`, strongly consistent; one BatchGetItem for each 100 of them.

        A caller who may not read all of a batch gets each item by itself, once.
        """
        wanted = list(dict.fromkeys(keys))
        if len(wanted) == 1:
            return self._read_singly(wanted)
        chunks = [wanted[at : at + _BATCH_MAX] for at in range(0, len(wanted), _BATCH_MAX)]
        return _merged([self._read_batch(chunk) for chunk in chunks])

    # The writer's side

    def look(self, key: str) -> Seen:
        """The marker of `key`, strongly consistent."""
        item, _ = self._get(key, consistent=True)
        return _seen(key, item)

    def write(self, changes: Sequence[tuple[Seen, Marker]]) -> None:
        """Write up to 99 markers and move the head, in one transaction, if none changed since seen.

        Raises `MarkerConflictError` when one did: nothing was written. The markers' own epoch and
        sequence are not looked at. Waits at most some seconds for others who write at the same time.
        """
        if not changes:
            return
        if len(changes) > WRITES_MAX:
            raise ValueError(f"{len(changes)} markers in one transaction, at most {WRITES_MAX} fit")
        items = [*(self._put(seen, marker) for seen, marker in changes), self._head_move()]
        for attempt in range(_WRITE_ATTEMPTS_MAX):
            self._back_off(attempt)
            if self._try_write(items):
                return
        raise MarkerConflictError(self._table, "others kept writing at the same time: start over")

    # The sweep's side

    def now_s(self) -> float:
        """The table's own clock: epoch seconds, whole, of a strongly consistent read's answer."""
        _, answered_at_s = self._get(HEAD_KEY, consistent=True)
        if answered_at_s is None:
            raise MarkerTableError(self._table, "its answer has no Date header: what stands in between?")
        return answered_at_s

    def scan(self) -> Iterator[Seen]:
        """Every marker, broken items included, strongly consistent, page by page."""
        start: dict[str, object] = {}
        while True:
            answer = self._ask(self._client.scan, ConsistentRead=True, **start)
            for item in mappings(answer.get("Items")):
                key = text_or_none(item.get("pk"))
                if key is not None and key != HEAD_KEY:
                    yield _seen(key, item)
            if not answer.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def absent(self, key: str) -> Seen:
        """What `look` gives for a key that has no item; asks nobody."""
        return _seen(key, None)

    def renew(self, swept_as_of_s: float) -> None:
        """Say that all before `swept_as_of_s` (table's clock) is in the markers.

        Moves the head's moment only forward, and not its counter; makes or mends the head.
        """
        for attempt in range(_WRITE_ATTEMPTS_MAX):
            self._back_off(attempt)
            item, answered_at_s = self._get(HEAD_KEY, consistent=True)
            head = head_of(item, answered_at_s)
            if head is not None and (head.swept_as_of_s or 0) >= swept_as_of_s:
                return
            if head is None:
                renewed = self._replace_head(item, {"swept_as_of_s": number_of(swept_as_of_s)})
            else:
                renewed = self._move_lease(head, swept_as_of_s)
            if renewed:
                return
        raise MarkerConflictError(self._table, "others kept writing the head: start over")

    # Reading

    def _get(self, key: str, *, consistent: bool) -> tuple[Item | None, float | None]:
        """The item and the `Date` of the answer (epoch seconds)."""
        answer = self._ask(self._client.get_item, Key={"pk": {"S": key}}, ConsistentRead=consistent)
        item = answer.get("Item")
        return (item if isinstance(item, dict) and item else None), answered_at_of(answer)

    def _read_singly(self, keys: Sequence[str]) -> MarkersRead:
        found, absent, denied = dict[str, Marker](), set[str](), set[str]()
        for key in keys:
            try:
                marker = self.look(key).marker
            except MarkerTableError as error:
                if not error.denied:
                    raise
                denied.add(key)
                continue
            if marker is None:
                absent.add(key)
            else:
                found[key] = marker
        return MarkersRead(found, frozenset(absent), frozenset(denied))

    def _read_batch(self, keys: Sequence[str]) -> MarkersRead:
        """At most 100 markers. What DynamoDB leaves unprocessed is asked again, a bounded number of times."""
        request: object = {
            self._table: {"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": True}
        }
        items: list[Item] = []
        for attempt in range(_READ_ATTEMPTS_MAX):
            self._back_off(attempt)
            try:
                answer = self._ask_whole(self._client.batch_get_item, RequestItems=request)
            except MarkerTableError as error:
                if error.denied:
                    return self._read_singly(keys)
                raise
            items += [item for page in _values(answer.get("Responses")) for item in mappings(page)]
            request = answer.get("UnprocessedKeys")
            if not request:
                break
        unread = frozenset(_unprocessed(request)) & frozenset(keys)
        markers = [marker for item in items if (marker := marker_of(item)) is not None]
        found = {marker.key: marker for marker in markers}
        return MarkersRead(found, absent=frozenset(keys) - found.keys() - unread, unread=unread)

    # Writing

    def _put(self, seen: Seen, marker: Marker) -> dict[str, object]:
        if not isinstance(seen.mark, _Mark) or seen.key != marker.key:
            raise ValueError("a marker is written only where this table saw its key")
        epoch, sequence = self._next_state(seen.marker)
        item = item_of(marker, epoch=epoch, sequence=sequence)
        return {"Put": {"TableName": self._table, "Item": item, **seen.mark.condition()}}

    def _next_state(self, before: Marker | None) -> tuple[str, int]:
        if before is None or before.sequence >= NUMBER_MAX:
            return self._new_epoch(), 1
        return before.epoch, before.sequence + 1

    def _head_move(self) -> dict[str, object]:
        return {
            "Update": {
                "TableName": self._table,
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
                    ":schema": number_of(SCHEMA),
                    ":epoch": {"S": self._new_epoch()},
                    ":one": number_of(1),
                },
            }
        }

    def _try_write(self, items: Sequence[Item]) -> bool:
        """Whether the transaction went through; False when the same one may go through later."""
        try:
            self._client.transact_write_items(TransactItems=items)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            *on_markers, on_head = _cancellation(error) or [fault.code]
            if "ConditionalCheckFailed" in on_markers:
                raise MarkerConflictError(self._table, "a marker changed since it was read") from error
            if on_head in _HEAD_UNFIT and self._mend_head():
                return False
            if fault.kind is FaultKind.THROTTLED or _PASSING.intersection((*on_markers, on_head)):
                return False
            raise self._failure(fault) from error
        return True

    def _mend_head(self) -> bool:
        """Replace a head that cannot be counted up; False if the head is in order."""
        item, answered_at_s = self._get(HEAD_KEY, consistent=True)
        if head_of(item, answered_at_s) is not None:
            return False
        self._replace_head(item, {})
        return True

    def _replace_head(self, seen: Item | None, more: Item) -> bool:
        """Put a new head in the place of what was seen; False if that is no longer there."""
        fresh = {
            "pk": {"S": HEAD_KEY},
            "schema": number_of(SCHEMA),
            "epoch": {"S": self._new_epoch()},
            "counter": number_of(1),
            **more,
        }
        mark = _Mark.of(seen, "epoch", "counter", "swept_as_of_s")
        return self._write_head(self._client.put_item, Item=fresh, **mark.condition())

    def _move_lease(self, head: Head, swept_as_of_s: float) -> bool:
        return self._write_head(
            self._client.update_item,
            Key={"pk": {"S": HEAD_KEY}},
            UpdateExpression="SET #swept = :swept",
            ConditionExpression="#epoch = :epoch AND (attribute_not_exists(#swept) OR #swept < :swept)",
            ExpressionAttributeNames={"#swept": "swept_as_of_s", "#epoch": "epoch"},
            ExpressionAttributeValues={":swept": number_of(swept_as_of_s), ":epoch": {"S": head.epoch}},
        )

    def _write_head(self, call: Call, **request: object) -> bool:
        try:
            call(TableName=self._table, **request)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if fault.code in ("ConditionalCheckFailedException", "TransactionConflictException"):
                return False
            raise self._failure(fault) from error
        return True

    def _back_off(self, attempt: int) -> None:
        """Wait before every attempt but the first (0), longer each time."""
        if attempt:
            self._sleep(self._random() * min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** (attempt - 1)))

    # Asking, and what can go wrong

    def _ask(self, call: Call, **request: object) -> Mapping[str, object]:
        return self._ask_whole(call, TableName=self._table, **request)

    def _ask_whole(self, call: Call, **request: object) -> Mapping[str, object]:
        try:
            return call(**request)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            raise self._failure(fault) from error

    def _failure(self, fault: Fault) -> MarkerTableError:
        denied = fault.kind is FaultKind.DENIED
        return MarkerTableError(self._table, f"{_advice(fault)} ({fault})", denied=denied)


def _advice(fault: Fault) -> str:
    """What happened to a call on the table, and what to do."""
    if fault.kind is FaultKind.DENIED:
        return (
            "this role may not use it; readers need dynamodb:GetItem and BatchGetItem, writers also "
            "PutItem and UpdateItem, the sweep Scan, on the table's ARN"
        )
    if fault.code == "ResourceNotFoundException":
        return "no such table in the client's account and Region; deploy the stack or check the name"
    return table_advice(fault)


# Items


# Answers


def _seen(key: str, item: Item | None) -> Seen:
    return Seen(key, marker_of(item), _Mark.of(item, "epoch", "sequence"))


def _values(mapping: object) -> list[object]:
    return list(mapping.values()) if isinstance(mapping, Mapping) else []


def _unprocessed(request: object) -> Iterator[str]:
    """The keys of an answer's `UnprocessedKeys`, by whatever name it calls the one table."""
    for part in _values(request):
        for key in mappings(part.get("Keys") if isinstance(part, Mapping) else None):
            text = text_or_none(key.get("pk"))
            if text is not None:
                yield text


def _merged(parts: Sequence[MarkersRead]) -> MarkersRead:
    return MarkersRead(
        found={key: marker for part in parts for key, marker in part.found.items()},
        absent=frozenset().union(*(part.absent for part in parts)),
        denied=frozenset().union(*(part.denied for part in parts)),
        unread=frozenset().union(*(part.unread for part in parts)),
    )


def _cancellation(error: Exception) -> list[str]:
    """Why each item of a transaction was not written, in the order of the items; [] without reasons."""
    response = getattr(error, "response", None)
    reasons = response.get("CancellationReasons") if isinstance(response, Mapping) else None
    return [str(reason.get("Code") or "") for reason in mappings(reasons)]
