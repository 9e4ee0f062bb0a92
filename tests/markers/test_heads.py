"""Copies of the head: each is told of every write and has a lease; their number may change."""

from __future__ import annotations

import pytest

from keyturn.markers.schema import is_overgrown
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Head
from keyturn.model.slots import ENTRY_MAX, SLOTS
from tests.markers.conftest import TABLE, World
from tests.markers.marker_contract import ONE, OTHER, write


def of(world: World, copies: int | None = None, pace_s: float | None = None) -> MarkerTable:
    """The table as a listener with these settings has it."""
    return MarkerTable(world.client, TABLE, world.host, copies=copies, pace_s=pace_s)


def heads(world: World) -> list[Head | None]:
    """The head and three copies."""
    return [world.table().read_head(consistent=True, copy=copy) for copy in range(4)]


def counters(world: World) -> list[int | None]:
    """The counters of the head and three copies."""
    return [head.counter if head is not None else None for head in heads(world)]


def test_a_sweep_makes_the_copies_and_writers_learn_of_them(world: World) -> None:
    """The other writers have no such setting."""
    write(world.table(), ONE)
    of(world, copies=3).renew(1000.0)
    before = counters(world)
    write(world.table(), ONE)
    after = counters(world)
    assert before[3] is after[3] is None
    assert all(
        one is not None and two is not None and one < two
        for one, two in zip(before[:3], after[:3], strict=True)
    )
    told = heads(world)[:3]
    assert [(3, 1000.0)] * 3 == [(one.copies, one.swept_as_of_s) for one in told if one is not None]
    assert 3 == len({one.epoch for one in told if one is not None})


def test_a_sweep_without_the_setting_keeps_the_number_and_the_pace(world: World) -> None:
    """`keyturn sweep` on a laptop undoes nothing."""
    of(world, copies=3, pace_s=12.5).renew(1000.0)
    of(world).renew(2000.0)
    assert [(3, 12.5, 2000.0)] * 3 == [
        (one.copies, one.pace_s, one.swept_as_of_s) for one in heads(world) if one is not None
    ]
    of(world, pace_s=0.0).renew(3000.0)
    assert [0.0] * 3 == [one.pace_s for one in heads(world) if one is not None]


def test_a_copy_that_is_given_up_says_so_and_has_no_lease(world: World) -> None:
    """A reader that drew it leaves at its next check, whatever its lease said."""
    of(world, copies=4).renew(1000.0)
    of(world, copies=2).renew(2000.0)
    found = [(one.copies, one.swept_as_of_s) for one in heads(world) if one is not None]
    assert [(2, 2000.0), (2, 2000.0), (2, None), (2, None)] == found
    before = counters(world)
    write(world.table(), ONE)
    assert before[2:] == counters(world)[2:]


def test_a_copy_that_was_not_told_of_every_write_begins_anew(world: World) -> None:
    """Used again after a time without, or beside a head that was made anew: with another epoch."""
    of(world, copies=2).renew(1000.0)
    first = heads(world)[1]
    of(world, copies=1).renew(2000.0)
    of(world, copies=2).renew(3000.0)
    second = heads(world)[1]
    world.client.delete_item(TableName=TABLE, Key={"pk": {"S": "head"}})
    write(world.table(), ONE)
    of(world, copies=2).renew(4000.0)
    third = heads(world)[1]
    assert first is not None
    assert second is not None
    assert third is not None
    assert 3 == len({first.epoch, second.epoch, third.epoch})


@pytest.mark.parametrize("key", ["head", "head#1"])
def test_a_broken_copy_is_replaced_and_the_others_stay(world: World, key: str) -> None:
    """By the next write or the next sweep; as many copies as before."""
    of(world, copies=2).renew(1000.0)
    world.client.update_item(
        TableName=TABLE,
        Key={"pk": {"S": key}},
        UpdateExpression="SET #c = :x, n0 = :x, n1 = :x",
        ExpressionAttributeNames={"#c": "counter"},
        ExpressionAttributeValues={":x": {"S": "x"}},
    )
    write(world.table(), ONE)
    of(world, copies=2).renew(2000.0)
    assert [(2, 2000.0)] * 2 == [(one.copies, one.swept_as_of_s) for one in heads(world) if one is not None]


def test_a_sweep_notes_a_writer_that_moves_no_slot(world: World) -> None:
    """By the counter, which others move as far as the slots; what was there before a sweep is no news."""
    world.client.put_item(
        TableName=TABLE,
        Item={"pk": {"S": "head"}, "schema": {"N": "1"}, "epoch": {"S": "e"}, "counter": {"N": "57"}},
    )
    notes = []
    for as_of_s in (1000.0, 2000.0, 3000.0):
        if as_of_s == 3000.0:
            world.client.update_item(
                TableName=TABLE,
                Key={"pk": {"S": "head"}},
                UpdateExpression="ADD #counter :one",
                ExpressionAttributeNames={"#counter": "counter"},
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
        write(world.table(), ONE, OTHER)
        of(world).renew(as_of_s)
        head = heads(world)[0]
        assert head is not None
        notes.append((head.untracked, head.untracked_at_s is not None))
    assert [(57, False), (57, False), (58, True)] == notes


def test_two_sweeps_that_end_together_keep_the_later_moment_of_each(world: World) -> None:
    """For every copy."""
    of(world, copies=2).renew(2000.0)
    of(world, copies=2).renew(1000.0)
    assert [2000.0] * 2 == [one.swept_as_of_s for one in heads(world) if one is not None]


@pytest.mark.parametrize("key", ["head", "head#1"])
@pytest.mark.parametrize(
    "grown",
    [{"e6": "x" * 380_000}, {f"a{number}": "none of ours" for number in range(900)}],
    ids=["one long entry", "many other attributes"],
)
def test_a_sweep_replaces_a_head_that_has_grown(world: World, key: str, grown: dict[str, str]) -> None:
    """Each check of each process would pay for its bytes. There are as many copies as before."""
    of(world, copies=2).renew(1000.0)
    item = world.client.get_item(TableName=TABLE, Key={"pk": {"S": key}})["Item"]
    long = {name: {"B": text.encode()} for name, text in grown.items()}
    world.client.put_item(TableName=TABLE, Item={**item, **long})
    write(world.table(), ONE)
    assert is_overgrown(world.client.get_item(TableName=TABLE, Key={"pk": {"S": key}})["Item"])
    of(world, copies=2).renew(2000.0)
    for one in ("head", "head#1"):
        assert not is_overgrown(world.client.get_item(TableName=TABLE, Key={"pk": {"S": one}})["Item"])
    assert [(2, 2000.0)] * 2 == [(one.copies, one.swept_as_of_s) for one in heads(world) if one is not None]


def test_a_head_with_all_slots_full_has_not_grown() -> None:
    """With the longest counts and entries that a writer makes."""
    counts = {f"n{slot}": {"N": str(2**53)} for slot in range(SLOTS)}
    entries = {f"e{slot}": {"B": b"\xff" * ENTRY_MAX} for slot in range(SLOTS)}
    assert not is_overgrown({"pk": {"S": "head#31"}, "epoch": {"S": "e" * 64}, **counts, **entries})
