"""Reading many markers: how many calls, what is left unread, what is denied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    LoginRefreshRequired,
    NoCredentialsError,
    RefreshWithMFAUnsupportedError,
    SSOTokenLoadError,
)

from keyturn.errors import MarkerConflictError, MarkerTableError
from keyturn.markers.schema import item_of
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Marker
from keyturn.model.protocols import Seen
from tests.hosts import host_of
from tests.markers.conftest import World
from tests.markers.marker_contract import ARN_PREFIX, marker, write

Answer = Mapping[str, object]


def refusal(code: str, *, reasons: Collection[str] = (), message: str = "no") -> ClientError:
    """An answer of DynamoDB that is an error."""
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": 400},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }
    return ClientError(answer, "AnyOperation")  # type: ignore[arg-type] # more than botocore's own type


@dataclass
class Scripted:
    """A DynamoDB client that answers as it is told, and counts."""

    answer: Callable[[str, Mapping[str, object]], Answer]
    calls: Counter[str] = field(default_factory=Counter)
    naps_s: list[float] = field(default_factory=list)

    def _call(self, name: str, **request: object) -> Answer:
        self.calls[name] += 1
        return self.answer(name, request)

    def get_item(self, **request: object) -> Answer:
        return self._call("get_item", **request)

    def batch_get_item(self, **request: object) -> Answer:
        return self._call("batch_get_item", **request)

    def scan(self, **request: object) -> Answer:
        return self._call("scan", **request)

    def put_item(self, **request: object) -> Answer:
        return self._call("put_item", **request)

    def update_item(self, **request: object) -> Answer:
        return self._call("update_item", **request)

    def transact_write_items(self, **request: object) -> Answer:
        return self._call("transact_write_items", **request)

    def table(self) -> MarkerTable:
        return MarkerTable(self, "markers", host_of(sleep=self.naps_s.append, random=1.0))


def answered(answer: Answer, _name: str, _request: Mapping[str, object]) -> Answer:
    """One answer to every call."""
    return answer


def raising(error: Exception) -> Scripted:
    """A client whose every call fails."""

    def answer(_name: str, _request: Mapping[str, object]) -> Answer:
        raise error

    return Scripted(answer)


def test_one_marker_is_a_get_and_many_are_batches(world: World, table: MarkerTable) -> None:
    """One key is one GetItem, 250 keys are three BatchGetItem; none is no call."""
    markers = [marker(f"db{n}") for n in range(60)]
    write(table, *markers)
    world.counted()
    assert not table.read_markers([]).found
    assert {} == world.counted()
    assert {markers[0].key} == table.read_markers([markers[0].key] * 2).found.keys()
    assert {"GetItem": 1} == world.counted()
    others = [ARN_PREFIX + f"other{n}" for n in range(190)]
    read = table.read_markers([one.key for one in markers] + others)
    assert {"BatchGetItem": 3} == world.counted()
    assert ({one.key for one in markers}, set(others)) == (set(read.found), set(read.absent))


def test_what_dynamodb_never_processes_is_unread() -> None:
    """Unprocessed keys are asked for again with growing pauses, a bounded number of times."""
    one, never = marker("one"), ARN_PREFIX + "never"

    def answer(_name: str, _request: Mapping[str, object]) -> Answer:
        return {
            "Responses": {"markers": [item_of(one, epoch="e", sequence=1)]},
            "UnprocessedKeys": {"markers": {"Keys": [{"pk": {"S": never}}]}},
        }

    client = Scripted(answer)
    read = client.table().read_markers([one.key, never])
    assert ({one.key}, {never}) == (set(read.found), set(read.unread))
    assert not read.absent
    assert (3, 2) == (client.calls["batch_get_item"], len(client.naps_s))
    assert client.naps_s == sorted(client.naps_s)
    assert sum(client.naps_s) <= 0.2


def test_unprocessed_keys_are_read_later() -> None:
    """A key that the second answer has is found."""
    one, two = marker("one"), marker("two")
    rest = {"markers": {"Keys": [{"pk": {"S": two.key}}], "ConsistentRead": True}}
    asked: list[object] = []

    def answer(_name: str, request: Mapping[str, object]) -> Answer:
        asked.append(request["RequestItems"])
        if len(asked) == 1:
            return {"Responses": {"markers": [item_of(one, epoch="e", sequence=1)]}, "UnprocessedKeys": rest}
        return {"Responses": {"markers": [item_of(two, epoch="e", sequence=1)]}, "UnprocessedKeys": {}}

    assert {one.key, two.key} == Scripted(answer).table().read_markers([one.key, two.key]).found.keys()
    assert rest == asked[1]


def test_a_denied_batch_is_split_once() -> None:
    """Each item is asked for by itself; the denied ones are named, the others are found."""
    one, secret = marker("one"), ARN_PREFIX + "denied"

    def answer(name: str, request: Mapping[str, object]) -> Answer:
        if name == "batch_get_item" or request["Key"] == {"pk": {"S": secret}}:
            raise refusal("AccessDeniedException")
        return {"Item": item_of(one, epoch="e", sequence=1)}

    client = Scripted(answer)
    read = client.table().read_markers([one.key, secret])
    assert ({one.key}, {secret}) == (set(read.found), set(read.denied))
    assert {"batch_get_item": 1, "get_item": 2} == client.calls
    assert {secret} == client.table().read_markers([secret]).denied


@pytest.mark.parametrize(
    ("error", "advice", "is_denied"),
    [
        (refusal("AccessDeniedException"), "dynamodb:GetItem", True),
        (refusal("ResourceNotFoundException"), "no such table", False),
        (refusal("ValidationException"), "String pk", False),
        (refusal("ThrottlingException"), "throttled", False),
        (refusal("ExpiredTokenException"), "no valid credentials", False),
        (refusal("UnrecognizedClientException"), "no valid credentials", False),
        (refusal("ConditionNobodyKnows"), "rejected", False),
        (NoCredentialsError(), "no valid credentials", False),
        (SSOTokenLoadError(error_msg="no token"), "no valid credentials", False),
        (LoginRefreshRequired(), "no valid credentials", False),
        (RefreshWithMFAUnsupportedError(), "no valid credentials", False),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1"), "unreachable", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_trouble_with_the_table_says_what_to_do(error: Exception, advice: str, *, is_denied: bool) -> None:
    """Every failure is a MarkerTableError with advice, caused by botocore's error."""
    with pytest.raises(MarkerTableError, match=advice) as caught:
        raising(error).table().read_head()
    assert (error, is_denied) == (caught.value.__cause__, caught.value.denied)


def test_what_is_not_botocores_error_is_trouble_with_the_table() -> None:
    """Whatever the client raises, of any class."""
    with pytest.raises(MarkerTableError, match=r"an error of its own.*ZeroDivisionError"):
        raising(ZeroDivisionError()).table().read_head()


TWO = (marker("one"), marker("two"))


def changes(table: MarkerTable, *markers: Marker) -> list[tuple[Seen, Marker]]:
    """Writes of markers that are not there yet."""
    return [(table.absent(one.key), one) for one in markers]


def test_writers_at_the_same_time_wait_a_bounded_time() -> None:
    """TransactionConflict is tried again with jitter, then it is a conflict."""
    client = raising(refusal("TransactionCanceledException", reasons=["None", "TransactionConflict"]))
    table = client.table()
    with pytest.raises(MarkerConflictError):
        table.write(changes(table, *TWO))
    assert (8, 7) == (client.calls["transact_write_items"], len(client.naps_s))
    assert sum(client.naps_s) <= 4


@pytest.mark.parametrize("markers", [TWO, TWO[:1]], ids=["two", "one"])
def test_a_conflict_that_passes_is_not_seen(markers: tuple[Marker, ...]) -> None:
    """A write that goes through at the third try is written, then the head is told."""
    first = (
        refusal("TransactionCanceledException", reasons=["TransactionConflict", "None"])
        if len(markers) > 1
        else refusal("TransactionConflictException")
    )
    answers = iter([first, refusal("ThrottlingException")])

    def answer(_name: str, _request: Mapping[str, object]) -> Answer:
        error = next(answers, None)
        if error is not None:
            raise error
        return {}

    client = Scripted(answer)
    table = client.table()
    table.write(changes(table, *markers))
    expected = {"put_item": 3, "update_item": 2} if len(markers) == 1 else {"update_item": 1}
    assert expected | ({"transact_write_items": 4} if len(markers) > 1 else {}) == client.calls


@pytest.mark.parametrize("markers", [TWO, TWO[:1]], ids=["two", "one"])
def test_a_changed_marker_is_never_tried_again(markers: tuple[Marker, ...]) -> None:
    """The condition's failure is told at once, also when another marker was contended too."""
    reasons = ["ConditionalCheckFailed", "TransactionConflict"]
    client = raising(
        refusal("TransactionCanceledException", reasons=reasons)
        if len(markers) > 1
        else refusal("ConditionalCheckFailedException")
    )
    table = client.table()
    with pytest.raises(MarkerConflictError):
        table.write(changes(table, *markers))
    assert (1, []) == (client.calls.total(), client.naps_s)


def test_a_head_that_is_throttled_leaves_the_marker_untold() -> None:
    """Bounded tries, then an error that is no conflict: the marker is there, and the sweep tells of it."""

    def answer(name: str, _request: Mapping[str, object]) -> Answer:
        if name == "update_item":
            raise refusal("ProvisionedThroughputExceededException")
        return {}

    client = Scripted(answer)
    table = client.table()
    with pytest.raises(MarkerTableError, match="after the next sweep at the latest") as caught:
        table.write(changes(table, TWO[0]))
    assert not isinstance(caught.value, MarkerConflictError)
    assert {"put_item": 1, "update_item": 8} == client.calls


def test_what_fails_after_the_head_was_told_is_no_error() -> None:
    """The news is out; at worst the heads are told of it again."""
    updates: list[object] = []

    def answer(name: str, request: Mapping[str, object]) -> Answer:
        if name == "update_item":
            updates.append(request["UpdateExpression"])
            if "ADD" not in str(request["UpdateExpression"]):
                raise refusal("AccessDeniedException")
        return {}

    table = Scripted(answer).table()
    table.write(changes(table, TWO[0]))
    assert "REMOVE untold" == updates[-1]


def test_each_copy_is_told_and_the_head_says_how_many_there_are() -> None:
    """A writer needs no setting: the answer to the head's update has the number of its copies."""
    told: list[object] = []

    def answer(name: str, request: Mapping[str, object]) -> Answer:
        if name == "update_item" and "ADD" in str(request["UpdateExpression"]):
            told.append(request["Key"])
        return {"Attributes": {"copies": {"N": "3"}}}

    table = Scripted(answer).table()
    table.write(changes(table, TWO[0]))
    assert [{"pk": {"S": key}} for key in ("head", "head#1", "head#2")] == told


def test_an_answer_without_a_date_has_no_clock() -> None:
    """A head without a date can still be compared; the sweep, which needs the clock, stops."""
    head = {"pk": {"S": "head"}, "schema": {"N": "1"}, "epoch": {"S": "e"}, "counter": {"N": "1"}}
    for headers in ({}, {"date": "once upon a time"}):
        answer: Answer = {"ResponseMetadata": {"HTTPHeaders": headers}, "Item": head}
        table = Scripted(partial(answered, answer)).table()
        found = table.read_head()
        assert found is not None
        assert found.answered_at_s is None
        with pytest.raises(MarkerTableError, match="Date"):
            table.now_s()


def test_what_is_not_botocores_error_is_trouble_in_a_write() -> None:
    """In a transaction and in the renewal of the lease."""
    one = marker()
    client = raising(ZeroDivisionError())
    with pytest.raises(MarkerTableError, match="ZeroDivisionError"):
        client.table().write([(client.table().absent(one.key), one)])

    def answer(name: str, _request: Mapping[str, object]) -> Answer:
        if name == "get_item":
            return {}
        raise ZeroDivisionError

    with pytest.raises(MarkerTableError, match="ZeroDivisionError"):
        Scripted(answer).table().renew(1.0)


def test_a_lease_that_may_not_be_renewed_is_told() -> None:
    """The sweep's role lacks a right: said with the advice, not taken for a conflict."""

    def answer(name: str, _request: Mapping[str, object]) -> Answer:
        if name == "get_item":
            return {}
        raise refusal("AccessDeniedException")

    with pytest.raises(MarkerTableError, match="may not use the table") as caught:
        Scripted(answer).table().renew(1.0)
    assert caught.value.denied


def test_a_lease_that_others_keep_writing_is_a_conflict() -> None:
    """Renewing is tried a bounded number of times, with growing pauses."""

    def answer(name: str, _request: Mapping[str, object]) -> Answer:
        if name == "get_item":
            return {}
        raise refusal("ConditionalCheckFailedException")

    client = Scripted(answer)
    with pytest.raises(MarkerConflictError, match="start over"):
        client.table().renew(1.0)
    assert (8, 7) == (client.calls["put_item"], len(client.naps_s))


def test_a_batch_that_fails_is_told() -> None:
    """A throttled read of many markers is trouble with the table, not a lack of markers."""
    with pytest.raises(MarkerTableError, match="throttled") as caught:
        raising(refusal("ThrottlingException")).table().read_markers(["arn:a", "arn:b"])
    assert not caught.value.denied


def test_one_marker_that_fails_is_told_and_one_that_is_not_there_is_absent() -> None:
    """A single read distinguishes denied, absent and failed as a batch does."""
    assert frozenset({"arn:a"}) == Scripted(lambda *_: {}).table().read_markers(["arn:a"]).absent
    denied = raising(refusal("AccessDeniedException")).table().read_markers(["arn:a"]).denied
    assert frozenset({"arn:a"}) == denied
    with pytest.raises(MarkerTableError, match="unreachable"):
        raising(EndpointConnectionError(endpoint_url="https://x")).table().read_markers(["arn:a"])


def test_a_scan_goes_through_every_page() -> None:
    """A table larger than one answer is swept whole."""
    pages: list[Answer] = [
        {
            "Items": [item_of(marker("one"), epoch="e", sequence=1)],
            "LastEvaluatedKey": {"pk": {"S": marker("one").key}},
        },
        {"Items": [item_of(marker("two"), epoch="e", sequence=1), {"pk": {"N": "1"}}]},
    ]
    starts: list[object] = []

    def answer(_name: str, request: Mapping[str, object]) -> Answer:
        starts.append(request.get("ExclusiveStartKey"))
        return pages[len(starts) - 1]

    assert [marker("one").key, marker("two").key] == [one.key for one in Scripted(answer).table().scan()]
    assert [None, {"pk": {"S": marker("one").key}}] == starts


def test_a_refused_head_that_is_in_order_is_told() -> None:
    """The head is refused and yet nothing is wrong with it: no endless mending."""
    head = {"pk": {"S": "head"}, "schema": {"N": "1"}, "epoch": {"S": "e"}, "counter": {"N": "7"}}

    def answer(name: str, _request: Mapping[str, object]) -> Answer:
        if name == "get_item":
            return {"Item": head}
        if name == "update_item":
            raise refusal("ValidationException")
        return {}

    client = Scripted(answer)
    table = client.table()
    with pytest.raises(MarkerTableError, match="rejected the request"):
        table.write(changes(table, TWO[0]))
    assert 1 == client.calls["update_item"]


def test_a_table_is_known_by_its_name_and_writes_only_what_it_saw(table: MarkerTable) -> None:
    """`repr` shows the name; nothing to write is no call; a mark of another key or store is refused."""
    assert "MarkerTable('markers')" == repr(table)
    client = Scripted(lambda *_: {})
    client.table().write([])
    assert {} == client.calls
    with pytest.raises(ValueError, match="key under which it was read"):
        client.table().write([(client.table().absent("arn:another"), marker())])
