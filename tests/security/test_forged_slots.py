"""Whoever may write one slot of the head and its counter: what that does to other slots and to its own.

That is what the policy of an announcer allows (`test_announcer_reach.py`), of the head and of each copy.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keyturn import SecretCache
from keyturn.model.markers import Head, Marker, Slot
from keyturn.model.slots import SLOTS, key_hash, packed, slot_of
from tests.world import NAME, World, held

CHECK_INTERVAL_S = 5
SHORT_TTL_S = 300
OWN = 1
"""The attacker's slot; a test says whether the secret's marker is in it."""

Attack = Callable[[Head, Head], Head]
"""Makes the forged head of the true one, and of the one before the rotation."""


def slot_at(world: World) -> int:
    """The slot of the secret."""
    return slot_of(key_hash(world.key), SLOTS)


def with_slot(head: Head, at: int, slot: Slot) -> Head:
    """The head with another slot in this place."""
    return head._replace(slots=(*head.slots[:at], slot, *head.slots[at + 1 :]))


def back(true: Head, before: Head) -> Head:
    """The counter as before, so that nothing seems to have happened."""
    return true._replace(counter=before.counter)


def far_ahead(true: Head, _before: Head) -> Head:
    """A counter that no writer reaches."""
    return true._replace(counter=true.counter + 2**40)


def made_up_for(true: Head, before: Head) -> Head:
    """The own slot goes back by as much as the other one moved, and the counter with it."""
    moved = true.counter - before.counter
    own = true.slots[OWN]
    return with_slot(true, OWN, Slot(own.total - moved, own.entry))._replace(counter=before.counter)


def crowded(true: Head, _before: Head) -> Head:
    """The own slot and the counter move as well, by what no entry tells."""
    return with_slot(true, OWN, Slot(true.slots[OWN].total + 9, b"x"))._replace(counter=true.counter + 9)


def noticed_after_s(world: World, cache: SecretCache, attack: Attack) -> float:
    """The seconds from a move until the cache serves it, while its head is forged anew before each check."""
    before = world.table.head
    assert before is not None
    world.rotate("v2", "two")
    moved_s = world.clock.wall_s
    while "two" != cache.get_secret_string(NAME):
        world.clock.advance(CHECK_INTERVAL_S)
        true = world.table.head
        assert true is not None
        world.table.head = attack(true, before)
        world.table.sweep()
    return world.clock.wall_s - moved_s


@pytest.fixture
def busy(world: World) -> World:
    """The secret's slot is another one than the attacker's, in which something has happened before."""
    assert slot_at(world) != OWN
    world.mark()
    head = world.table.head
    assert head is not None
    world.table.head = with_slot(head, OWN, Slot(10, b""))._replace(counter=head.counter + 10)
    return world


@pytest.mark.parametrize("attack", [back, far_ahead, made_up_for, crowded])
def test_a_secret_of_another_slot_is_noticed_at_the_next_check(busy: World, attack: Attack) -> None:
    """Whatever the counter and the own slot say: the other slot tells by itself, or all is read."""
    cache = busy.covered()
    assert noticed_after_s(busy, cache, attack) <= CHECK_INTERVAL_S


def test_a_head_that_is_made_unusable_leaves_the_short_ttl(busy: World) -> None:
    """As a text for the counter does: no process is covered until a writer or the sweep mends it."""
    cache = busy.covered()
    busy.rotate("v2", "two")
    busy.table.head = None
    moved_s = busy.clock.wall_s
    while "two" != cache.get_secret_string(NAME):
        busy.clock.advance(CHECK_INTERVAL_S)
    assert busy.clock.wall_s - moved_s <= SHORT_TTL_S + CHECK_INTERVAL_S
    assert not held(cache).covered


def test_a_move_in_the_own_slot_can_be_hidden_for_the_long_ttl_at_most(world: World) -> None:
    """The slot set back at once, before any reader sees it: `status()` had said as much (`bound_s`)."""
    cache = world.covered()
    bound_s = held(cache).bound_s

    def hidden(true: Head, before: Head) -> Head:
        at = slot_at(world)
        return with_slot(true, at, before.slots[at])._replace(counter=before.counter)

    late_s = noticed_after_s(world, cache, hidden)
    assert SHORT_TTL_S < late_s <= bound_s


def test_a_forged_entry_is_a_question_and_never_an_answer(world: World) -> None:
    """An entry names an invented version of a secret of the same slot: the true value is served on."""
    cache = world.covered()
    world.secrets.calls.clear()
    for number in range(1, 5):
        head, known = world.table.head, world.table.items[world.key]
        assert head is not None
        forged = known._replace(stages={"AWSCURRENT": "invented"}, sequence=known.sequence + number)
        before = known._replace(sequence=forged.sequence - 1)
        at = slot_at(world)
        entry = packed(before, forged, 1)
        world.table.head = with_slot(head, at, Slot(head.slots[at].total + 1, entry))._replace(
            counter=head.counter + 1
        )
        for _ in range(10):
            world.clock.advance(0.5)
            assert "one" == cache.get_secret_string(NAME)
    assert 0 < world.reads <= 24


@pytest.mark.parametrize("copied", [False, True], ids=["an earlier head", "the head of another copy"])
def test_a_replayed_head_costs_a_read_and_no_move(world: World, *, copied: bool) -> None:
    """For who may put the whole item: after it every move is noticed at the next check, as ever."""
    cache = world.covered()
    before = world.table.head
    assert before is not None
    assert noticed_after_s(world, cache, lambda true, _: true) <= CHECK_INTERVAL_S
    world.table.head = before._replace(epoch="of another copy" if copied else before.epoch)
    world.table.calls.clear()
    world.pass_time(cache, CHECK_INTERVAL_S)
    assert 1 == world.table.calls["markers"]
    assert "two" == cache.get_secret_string(NAME)
    world.rotate("v3", "three")
    world.clock.advance(CHECK_INTERVAL_S)
    assert "three" == cache.get_secret_string(NAME)


def test_no_forged_slot_brings_an_old_value(world: World) -> None:
    """An entry that names the version before: the secret has moved, and stays so."""
    cache = world.covered()
    first: Marker = world.table.items[world.key]
    assert noticed_after_s(world, cache, lambda true, _: true) <= CHECK_INTERVAL_S
    head, known, at = world.table.head, world.table.items[world.key], slot_at(world)
    assert head is not None
    entry = packed(known, known._replace(stages=first.stages, sequence=known.sequence + 1), 1)
    world.table.head = with_slot(head, at, Slot(head.slots[at].total + 1, entry))._replace(
        counter=head.counter + 1
    )
    for _ in range(60):
        world.clock.advance(1)
        assert "two" == cache.get_secret_string(NAME)
