"""DynamoDB: one table with its past, and the low-level clients with which hosts reach it.

A read that does not ask for consistency shows an item as it was up to a second ago, each item at a
moment of its own. A table can be lost, made anew, restored to an earlier moment, and written by
anybody who may.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import cast

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from keyturn.markers.schema import is_head_key
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.protocols import MarkerReader
from tests.simulation.hosts import EPOCH_S, Host
from tests.simulation.peers.expressions import Subject, UnfitError, condition, updated
from tests.simulation.peers.flights import Flights
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import TABLE, Wire

Item = Mapping[str, object]
Answer = dict[str, object]
Request = Mapping[str, object]
READ_LAG_S = 1.0
_NONE: Mapping[str, object] = {}


class Table:
    """The table itself. `wrote` hears of every item that is written."""

    def __init__(self, scheduler: Scheduler, random: Random, wrote: Callable[[str, Item], None]) -> None:
        self._scheduler = scheduler
        self._random = random
        self._wrote = wrote
        self._past: dict[str, list[tuple[float, Item | None]]] = {}
        self.calls: Counter[str] = Counter()
        self.flights: Flights[tuple[str, int]] = Flights(scheduler)
        self.exists = True

    def items(self) -> dict[str, Item]:
        """All items as they are now."""
        return {key: item for key in sorted(self._past) if (item := self.item(key)) is not None}

    def item(self, key: str) -> Item | None:
        """One item as it is now."""
        past = self._past.get(key)
        return past[-1][1] if past else None

    def seen(self, key: str) -> Item | None:
        """One item as some replica has it."""
        past = self._past.get(key)
        if not past:
            return None
        at_s = self._scheduler.now_s
        if past[-1][0] > at_s - READ_LAG_S and self._random.random() < 0.5:
            at_s -= READ_LAG_S * self._random.random()
        return next((item for since_s, item in reversed(past) if since_s <= at_s), None)

    def put(self, key: str, item: Item | None) -> None:
        """Set an item, or take it away."""
        self._past.setdefault(key, []).append((self._scheduler.now_s, item))
        if item is not None:
            self._wrote(key, item)

    def as_of(self, at_s: float) -> dict[str, Item]:
        """All items as they were at a moment."""
        then = {
            key: next((item for since_s, item in reversed(past) if since_s <= at_s), None)
            for key, past in self._past.items()
        }
        return {key: item for key, item in then.items() if item is not None}

    def become(self, items: Mapping[str, Item]) -> None:
        """Lose what was there and hold these items."""
        for key in sorted(self.items().keys() | items.keys()):
            if self.item(key) != items.get(key):
                self.put(key, items.get(key))

    def date(self) -> str:
        """The `Date` header of an answer given now: cut to whole seconds."""
        return _http_date(int(EPOCH_S + self._scheduler.now_s))

    def check(self, request: Request) -> None:
        """Raise unless the condition of a write holds."""
        text = request.get("ConditionExpression")
        if text is not None and not condition(str(text))(self._subject(request)):
            raise _error("ConditionalCheckFailedException")

    def after(self, request: Request) -> tuple[str, Item] | None:
        """The key and the item that a write leaves; None where DynamoDB refuses it."""
        if "Item" in request:
            item = cast("Item", request["Item"])
            return _key(item), item
        key = cast("Item", request["Key"])
        try:
            changed = updated(str(request["UpdateExpression"]), self._subject(request))
        except UnfitError:
            return None
        return _key(key), {**key, **changed}

    def apply(self, request: Request) -> Item:
        """Do a write, and return the item. Raises ValidationException where DynamoDB refuses it."""
        written = self.after(request)
        if written is None:
            raise _error("ValidationException")
        key, item = written
        self.put(key, item)
        return item

    def _subject(self, request: Request) -> Subject:
        key = _key(cast("Item", request.get("Item") or request["Key"]))
        names = cast("Mapping[str, str]", request.get("ExpressionAttributeNames") or _NONE)
        values = cast("Mapping[str, object]", request.get("ExpressionAttributeValues") or _NONE)
        return Subject(self.item(key), names, values)


@dataclass(slots=True, repr=False)
class TableClient:
    """A DynamoDB client of one host. `told` hears of each call, before it goes out.

    `undelivered`: the chance that a batch leaves a key unprocessed. `secluded`: keys that this host
    may not read.
    """

    table: Table
    wire: Wire
    told: Callable[[str], None]
    undelivered: float = 0.1
    secluded: frozenset[str] = frozenset()

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool) -> Answer:
        key = _key(Key)
        kind = key if is_head_key(key) else "marker"

        def effect() -> Answer:
            self._permit(key)
            item = self.table.item(key) if ConsistentRead else self.table.seen(key)
            return self._answer({"Item": dict(item)} if item is not None else {})

        return self._call(f"{kind}, consistent" if ConsistentRead else kind, effect)

    def batch_get_item(self, *, RequestItems: Mapping[str, Mapping[str, object]]) -> Answer:
        [(name, request)] = RequestItems.items()
        keys = sorted(_key(key) for key in cast("list[Item]", request["Keys"]))

        def effect() -> Answer:
            self._permit(*keys)
            left = [key for key in keys if self.wire.weather.hits(self.undelivered, "keys left unprocessed")]
            read = self.table.item if request["ConsistentRead"] is True else self.table.seen
            items = [item for key in keys if key not in left and (item := read(key)) is not None]
            again = {name: {**request, "Keys": [{"pk": {"S": key}} for key in left]}} if left else {}
            return self._answer({"Responses": {name: items}, "UnprocessedKeys": again})

        return self._call("batch", effect)

    def scan(self, *, TableName: str, ConsistentRead: bool, ExclusiveStartKey: Item = _NONE) -> Answer:
        def effect() -> Answer:
            start = _key(ExclusiveStartKey) if ExclusiveStartKey else ""
            items = [(key, item) for key, item in self.table.items().items() if key > start]
            page = items[:3]
            last = {"LastEvaluatedKey": {"pk": {"S": page[-1][0]}}} if len(items) > len(page) else {}
            return self._answer({"Items": [item for _, item in page], **last})

        return self._call("scan", effect)

    def put_item(self, **request: object) -> Answer:
        return self._call("put", lambda: self._write(request))

    def update_item(self, **request: object) -> Answer:
        return self._call("update", lambda: self._write(request))

    def transact_write_items(self, *, TransactItems: Sequence[Mapping[str, Request]]) -> Answer:
        requests = [request for one in TransactItems for request in one.values()]

        def effect() -> Answer:
            if self.wire.weather.hits(0.02, "transactions in conflict"):
                raise _cancelled(["None"] * (len(requests) - 1) + ["TransactionConflict"])
            codes = [self._verdict(request) for request in requests]
            if any(code != "None" for code in codes):
                raise _cancelled(codes)
            for request in requests:
                self.table.apply(request)
            return self._answer({})

        return self._call("transaction", effect)

    def _verdict(self, request: Request) -> str:
        try:
            self.table.check(request)
        except ClientError:
            return "ConditionalCheckFailed"
        return "None" if self.table.after(request) is not None else "ValidationError"

    def _write(self, request: Request) -> Answer:
        self.table.check(request)
        item = self.table.apply(request)
        return self._answer({"Attributes": item} if request.get("ReturnValues") == "ALL_NEW" else {})

    def _permit(self, *keys: str) -> None:
        if self.secluded.intersection(keys):
            raise _error("AccessDeniedException")

    def _call(self, label: str, effect: Callable[[], Answer]) -> Answer:
        self.table.calls[label] += 1
        self.told(label)
        return self.wire.call(lambda: self._present(effect), self._failure, TABLE)

    def _present(self, effect: Callable[[], Answer]) -> Answer:
        if not self.table.exists:
            raise _error("ResourceNotFoundException")
        return effect()

    def _answer(self, content: Answer) -> Answer:
        return {**content, "ResponseMetadata": {"HTTPHeaders": {"date": self.table.date()}}}

    def _failure(self) -> Exception | None:
        weather = self.wire.weather
        if weather.table_denied:
            return _error("AccessDeniedException")
        if not weather.hits(weather.table_error, "table calls failed"):
            return None
        return weather.random.choice(_FAILURES)()


@dataclass(frozen=True, slots=True, repr=False)
class WatchedMarkers:
    """A `MarkerReader` that tells `flights` which processes read the table, pauses included.

    `learned` hears which marker, or none, was read of a key; `throttled`, that some stayed unread.
    """

    markers: MarkerReader
    host: Host
    flights: Flights[tuple[str, int]]
    learned: Callable[[str, Marker | None], None]
    throttled: Callable[[], None]

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        with self.flights.flying(self.host.process):
            return self.markers.read_head(consistent=consistent, copy=copy)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        with self.flights.flying(self.host.process):
            read = self.markers.read_markers(keys)
        if read.unread:
            self.throttled()
        for key in sorted(read.found.keys() | read.absent):
            self.learned(key, read.found.get(key))
        return read


_FAILURES: tuple[Callable[[], Exception], ...] = (
    lambda: _error("ThrottlingException"),
    lambda: _error("InternalServerError", status=500),
    lambda: ReadTimeoutError(endpoint_url="https://dynamodb"),
    lambda: EndpointConnectionError(endpoint_url="https://dynamodb"),
)


@lru_cache(maxsize=8)
def _http_date(epoch_s: int) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(epoch_s))


def _key(item: Item) -> str:
    return str(cast("Item", item["pk"])["S"])


def _error(code: str, *, status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Call")  # type: ignore[arg-type] # the shape that botocore gives it


def _cancelled(codes: Sequence[str]) -> ClientError:
    error = _error("TransactionCanceledException")
    error.response["CancellationReasons"] = [{"Code": code} for code in codes]
    return error
