"""The table: how many calls each thing costs, who wins a race, and what replaces a broken item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from keyturn.errors import MarkerConflictError, MarkerTableError
from keyturn.markers.table import MarkerTable
from keyturn.model.protocols import WRITES_MAX
from keyturn.model.slots import ENTRY_MAX, SLOTS, STEP_MAX, packed
from tests.markers.conftest import TABLE, World
from tests.markers.marker_contract import ARN_PREFIX, ONE, OTHER, head_of, marker, write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


def put(world: World, key: str, **attributes: AttributeValueTypeDef) -> None:
    """Write an item past keyturn."""
    world.client.put_item(TableName=TABLE, Item={"pk": {"S": key}, **attributes})


def test_a_check_is_one_eventually_consistent_read(world: World, table: MarkerTable) -> None:
    """Reading the head is one GetItem, half a read unit, with or without a head."""
    reads: list[object] = []
    world.client.meta.events.register(
        "provide-client-params.dynamodb.GetItem", lambda params, **_: reads.append(params["ConsistentRead"])
    )
    assert table.read_head() is None
    write(table, ONE)
    world.counted()
    reads.clear()
    assert table.read_head() is not None
    assert ([False], {"GetItem": 1}) == (reads, world.counted())


def test_the_head_has_the_date_of_its_answer(table: MarkerTable) -> None:
    """Ages are measured by the table's own clock, which comes with the answer."""
    write(table, ONE)
    answered_at_s = head_of(table).answered_at_s
    assert answered_at_s is not None
    assert 0 <= table.now_s() - answered_at_s <= 5


def test_a_write_is_the_marker_then_the_head(world: World, table: MarkerTable) -> None:
    """No transaction: the marker, one update of the head, and the note in the marker that it was told."""
    write(table, OTHER)
    change = [(table.look(ONE.key), ONE)]
    world.counted()
    table.write(change)
    assert {"PutItem": 1, "UpdateItem": 2} == world.counted()


def test_many_markers_are_written_together(world: World, table: MarkerTable) -> None:
    """99 markers are one transaction without the head, one update of the head, and one transaction more."""
    write(table, OTHER)
    markers = [marker(f"db{n}") for n in range(WRITES_MAX)]
    changes = [(table.look(one.key), one) for one in markers]
    world.counted()
    table.write(changes)
    assert {"TransactWriteItems": 2, "UpdateItem": 1} == world.counted()
    found = {seen.key: seen.untold for seen in table.scan()}
    assert {one.key: False for one in (OTHER, *markers)} == found


@pytest.mark.parametrize("many", [False, True])
def test_a_writer_killed_before_it_told_leaves_a_marker_untold(world: World, *, many: bool) -> None:
    """Whoever sees such a marker can tell of it; another writer's later marker is not said to be told."""
    table, markers = world.table(), [ONE, OTHER] if many else [ONE]
    write(table, marker("first"))

    def killed(**_: object) -> None:
        raise KeyboardInterrupt

    world.client.meta.events.register("provide-client-params.dynamodb.UpdateItem", killed)
    with pytest.raises(KeyboardInterrupt):
        write(table, *markers)
    world.client.meta.events.unregister("provide-client-params.dynamodb.UpdateItem", killed)
    seen, before = [table.look(one.key) for one in markers], head_of(table)
    assert all(one.untold for one in seen)
    table.tell(seen)
    assert before.counter < head_of(table).counter
    assert not any(one.untold for one in table.scan())


def test_the_newer_of_two_writes_stays_untold_until_its_own_writer_told(world: World) -> None:
    """The first writer says that its own write was told, which is not the one that is there."""
    table = world.table()
    write(table, ONE)
    first = table.look(ONE.key)
    item = world.client.get_item(TableName=TABLE, Key={"pk": {"S": ONE.key}})["Item"]
    world.client.put_item(
        TableName=TABLE,
        Item={**item, "sequence": {"N": "2"}, "untold": {"BOOL": True}},
    )
    table.tell([first])
    assert table.look(ONE.key).untold


def test_a_full_head_fits_into_half_a_read_unit(world: World, table: MarkerTable) -> None:
    """Every slot with the longest entry, every count near its end: at most 4 KB, by DynamoDB's own rules."""
    item: dict[str, AttributeValueTypeDef] = {
        "pk": {"S": "head#31"},
        "schema": {"N": "1"},
        "epoch": {"S": "e" * 16},
        "counter": {"N": "8" * 16},
        "swept_as_of_s": {"N": "1790000000.123"},
        "copies": {"N": "32"},
        "pace_s": {"N": "123.456"},
        "untracked": {"N": "8" * 16},
        "untracked_at_s": {"N": "1790000000.123"},
    }
    for slot in range(SLOTS):
        item |= {f"n{slot}": {"N": "8" * 16}, f"e{slot}": {"B": b"x" * ENTRY_MAX}}
    assert size_of(item) <= 4096
    world.client.put_item(TableName=TABLE, Item=item)
    assert table.read_head(copy=31) is not None
    longest = packed(
        ONE._replace(epoch="e" * 16, sequence=1),
        ONE._replace(
            stages={stage: str(uuid4()) for stage in ("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS")},
            epoch="e" * 16,
            sequence=2,
        ),
        STEP_MAX,
    )
    assert ENTRY_MAX == len(longest)


def size_of(item: Mapping[str, AttributeValueTypeDef]) -> int:
    """The size of an item as DynamoDB counts it (developer guide, "Item sizes and formats")."""
    size = 0
    for name, value in item.items():
        [(kind, content)] = value.items()
        text = str(content).replace(".", "")
        size += len(name) + {"S": len(text), "N": (len(text) + 1) // 2 + 1}.get(kind, ENTRY_MAX)
    return size


def test_a_recreated_item_is_not_mistaken_for_the_old_one(world: World, table: MarkerTable) -> None:
    """An item that was deleted and written again has another epoch, so an old sight of it loses."""
    write(table, ONE)
    seen = table.look(ONE.key)
    world.client.delete_item(TableName=TABLE, Key={"pk": {"S": ONE.key}})
    write(table, ONE)
    found = table.look(ONE.key).marker
    assert seen.marker is not None
    assert found is not None
    assert (seen.marker.sequence, True) == (found.sequence, seen.marker.epoch != found.epoch)
    with pytest.raises(MarkerConflictError):
        table.write([(seen, ONE)])


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"schema": {"N": "2"}, "epoch": {"S": "e"}, "sequence": {"N": "4"}},
        {"epoch": {"NULL": True}, "sequence": {"S": "many"}},
        {"sequence": {"L": [{"N": "1"}]}},
    ],
    ids=str,
)
def test_a_broken_item_is_replaced(
    world: World, table: MarkerTable, broken: dict[str, AttributeValueTypeDef]
) -> None:
    """It reads as no marker, and a writer who saw it puts a marker of a fresh epoch in its place."""
    put(world, ONE.key, **broken)
    seen = table.look(ONE.key)
    assert seen.marker is None
    assert [seen] == list(table.scan())
    table.write([(seen, ONE)])
    found = table.look(ONE.key).marker
    assert found is not None
    assert (1, True) == (found.sequence, found.epoch.startswith("epoch-"))


def test_a_broken_item_that_changed_is_not_replaced(world: World, table: MarkerTable) -> None:
    """The condition compares what was seen even where it makes no sense."""
    put(world, ONE.key, sequence={"S": "many"})
    seen = table.look(ONE.key)
    put(world, ONE.key, sequence={"S": "more"})
    with pytest.raises(MarkerConflictError):
        table.write([(seen, ONE)])


def test_an_item_under_another_secrets_key_is_no_marker(world: World, table: MarkerTable) -> None:
    """A marker copied to another key speaks for nobody."""
    write(table, ONE)
    item = world.client.get_item(TableName=TABLE, Key={"pk": {"S": ONE.key}})["Item"]
    world.client.put_item(TableName=TABLE, Item={**item, "pk": {"S": ARN_PREFIX + "other"}})
    assert table.look(ARN_PREFIX + "other").marker is None


@pytest.mark.parametrize(
    "broken", [{"counter": {"S": "x"}}, {"counter": {"NULL": True}, "epoch": {"N": "1"}}], ids=str
)
def test_a_head_that_cannot_be_counted_up_is_replaced(
    world: World, table: MarkerTable, broken: dict[str, AttributeValueTypeDef]
) -> None:
    """A write mends it; its fresh epoch makes every reader look at its markers again."""
    write(table, ONE)
    before = head_of(table)
    put(world, "head", schema={"N": "1"}, **broken)
    assert table.read_head() is None
    write(table, ONE)
    after = head_of(table)
    assert before.epoch != after.epoch
    assert after.swept_as_of_s is None


def test_renewing_moves_only_forward_and_not_the_counter(table: MarkerTable) -> None:
    """A later sweep's moment stays when an earlier one ends late."""
    write(table, ONE)
    counter = head_of(table).counter
    for as_of_s in (1000.25, 2000.0, 1500.0):
        table.renew(as_of_s)
    assert (2000.0, counter) == (head_of(table).swept_as_of_s, head_of(table).counter)


def test_two_sweeps_that_end_together_keep_the_later_moment(world: World, table: MarkerTable) -> None:
    """A later lease that was written between reading the head and renewing it stays."""
    write(table, ONE)
    later = [2000.0]

    def somebody_is_later(**_: object) -> None:
        if later:
            world.table().renew(later.pop())

    world.client.meta.events.register("provide-client-params.dynamodb.UpdateItem", somebody_is_later)
    table.renew(1000.0)
    assert 2000.0 == head_of(table).swept_as_of_s


def test_renewing_makes_the_head(table: MarkerTable) -> None:
    """An account without a secret is swept as well."""
    table.renew(1000.0)
    assert 1000.0 == head_of(table).swept_as_of_s


@pytest.mark.parametrize(
    "broken",
    [
        {"swept_as_of_s": {"S": "soon"}},
        {"swept_as_of_s": {"N": "99999999999"}},
        {"counter": {"N": "99999999999999999999"}},
        {"schema": {"N": "7"}},
    ],
    ids=str,
)
def test_renewing_mends_a_broken_head(
    world: World, table: MarkerTable, broken: dict[str, AttributeValueTypeDef]
) -> None:
    """A lease that could never be renewed, or would never end, is replaced."""
    whole: dict[str, AttributeValueTypeDef] = {
        "schema": {"N": "1"},
        "epoch": {"S": "e"},
        "counter": {"N": "4"},
    }
    put(world, "head", **(whole | broken))
    assert table.read_head() is None
    table.renew(1000.0)
    assert 1000.0 == head_of(table).swept_as_of_s


def test_the_head_is_no_marker(table: MarkerTable) -> None:
    """A scan gives every marker and not the head."""
    write(table, ONE)
    assert [ONE.key] == [seen.key for seen in table.scan()]


def test_a_table_may_be_given_by_its_arn(world: World) -> None:
    """Reading one and many, and writing, work with an ARN."""
    arn = world.client.describe_table(TableName=TABLE)["Table"]["TableArn"]
    table = world.table(arn)
    write(table, ONE)
    found = table.read_markers([ONE.key, ARN_PREFIX + "none"])
    assert ({ONE.key}, {ARN_PREFIX + "none"}) == (set(found.found), set(found.absent))


def test_an_absent_item_is_written_without_a_look(world: World, table: MarkerTable) -> None:
    """What a scan did not find need not be read, and loses against whoever was first."""
    table.write([(table.absent(ONE.key), ONE)])
    # The one read is of the head, which was not there.
    assert {"PutItem": 2, "GetItem": 1, "UpdateItem": 3} == world.counted()
    with pytest.raises(MarkerConflictError):
        table.write([(table.absent(ONE.key), ONE)])


def test_a_missing_table_is_told(world: World) -> None:
    """Every method says that there is no such table."""
    table = world.table("nowhere")
    for ask in (table.read_head, lambda: table.write([(table.absent(ONE.key), ONE)]), table.now_s):
        with pytest.raises(MarkerTableError, match="no such table"):
            ask()


def test_a_misshapen_table_is_told(world: World) -> None:
    """A table with another key says which key is needed."""
    world.make_table("misshapen", key="id")
    table = world.table("misshapen")
    for ask in (table.read_head, lambda: table.write([(table.absent(ONE.key), ONE)])):
        with pytest.raises(MarkerTableError, match="String pk"):
            ask()
