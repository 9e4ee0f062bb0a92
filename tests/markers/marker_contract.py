"""What every marker table keeps, in memory or behind a client, for readers and for writers."""

from __future__ import annotations

from typing import Protocol

import pytest

from keyturn.errors import MarkerConflictError
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.protocols import WRITES_MAX, MarkerReader, MarkerStore
from keyturn.model.slots import SLOTS, following, key_hash, slot_of, unpacked

ARN_PREFIX = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"


class Table(MarkerReader, MarkerStore, Protocol):
    """Both sides of one table."""


def marker(name: str = "prod/db", version_id: str = "v1") -> Marker:
    """A marker as the listener would write it."""
    key = ARN_PREFIX + name
    return Marker(key, key + "-AbCdEf", {"AWSCURRENT": version_id}, reason="a test", changed_at_s=1.5)


def write(table: Table, *markers: Marker) -> None:
    """Look, then write, as every writer does."""
    table.write([(table.look(one.key), one) for one in markers])


def head_of(table: Table) -> Head:
    """The head, which must be there."""
    head = table.read_head(consistent=True)
    assert head is not None
    return head


ONE = marker()
OTHER = marker("other")
FULL = Marker(
    ARN_PREFIX + "full",
    ARN_PREFIX + "full-AbCdEf",
    {"AWSCURRENT": "v2", "AWSPREVIOUS": "v1", "of our own": "v0"},
    left=("v0", "v1"),
    deleted=True,
    token="t" * 36,
    step="createSecret",
    reason="a test",
    changed_at_s=1_790_000_000.25,
)


class MarkersContract:
    """Each test gets `table`, empty."""

    def test_an_empty_table(self, table: Table) -> None:
        """No head, however it is read, and no marker."""
        assert table.read_head() is None
        assert table.read_head(consistent=True) is None
        seen = table.look(ONE.key)
        assert (ONE.key, None) == (seen.key, seen.marker)
        read = table.read_markers([ONE.key, OTHER.key])
        assert MarkersRead({}, absent=frozenset({ONE.key, OTHER.key})) == read

    @pytest.mark.parametrize("one", [ONE, FULL], ids=["bare", "full"])
    def test_a_marker_is_read_as_it_was_written(self, table: Table, one: Marker) -> None:
        """Every field, by both sides; the table sets epoch and sequence, whatever the writer's say."""
        write(table, one._replace(epoch="the writer's", sequence=17))
        found = table.look(one.key).marker
        assert found is not None
        assert one == found._replace(epoch="", sequence=0)
        assert (True, 1) == (found.epoch not in ("", "the writer's"), found.sequence)
        assert {one.key: found} == table.read_markers([one.key]).found

    def test_many_are_read_at_once(self, table: Table) -> None:
        """What is there and what is not, each key once, and nothing for no keys."""
        write(table, ONE, OTHER)
        read = table.read_markers([OTHER.key, ARN_PREFIX + "none", ONE.key, OTHER.key])
        assert {ONE.key, OTHER.key} == set(read.found)
        assert MarkersRead(read.found, absent=frozenset({ARN_PREFIX + "none"})) == read
        assert MarkersRead({}) == table.read_markers([])

    def test_the_head_moves_with_each_write(self, table: Table) -> None:
        """However many markers are in it; its epoch stays, and before a sweep it has no lease."""
        write(table, ONE, OTHER)
        first = head_of(table)
        write(table, ONE)
        second = head_of(table)
        assert first.epoch == second.epoch
        assert 0 < first.counter < second.counter
        assert second.swept_as_of_s is None

    def test_the_head_tells_what_one_write_changed(self, table: Table) -> None:
        """By the slot of the marker's key, whose count grows by the step that the entry says."""
        write(table, ONE)
        before, known = head_of(table), table.look(ONE.key).marker
        write(table, ONE._replace(stages={"AWSCURRENT": "v2", "AWSPREVIOUS": "v1"}, left=("v1",)))
        after = head_of(table)
        [at] = [at for at, slot in enumerate(after.slots) if slot != before.slots[at]]
        assert slot_of(key_hash(ONE.key), SLOTS) == at
        entry = unpacked(after.slots[at].entry)
        assert entry is not None
        assert key_hash(ONE.key) == entry.key
        assert entry.step == after.slots[at].total - before.slots[at].total == after.counter - before.counter
        assert entry.told is not None
        told = following(known, entry.told)
        assert told == (table.look(ONE.key).marker or ONE)._replace(reason="")

    def test_the_counter_is_the_sum_of_the_slots(self, table: Table) -> None:
        """Also after a write of several slots: readers take any other counter for an old writer's."""
        write(table, ONE, OTHER)
        write(table, ONE)
        found = head_of(table)
        assert 2 == sum(slot.total > 0 for slot in found.slots)
        assert found.counter == sum(slot.total for slot in found.slots)

    def test_markers_of_one_slot_that_are_written_together_must_be_read(self, table: Table) -> None:
        """The entry of their slot is empty; the count tells that something happened."""
        slot = slot_of(key_hash(ONE.key), SLOTS)
        names = (f"mate{number}" for number in range(10_000))
        mate = next(one for one in map(marker, names) if slot_of(key_hash(one.key), SLOTS) == slot)
        write(table, ONE, mate)
        found = head_of(table).slots[slot]
        assert (True, b"") == (found.total > 0, found.entry)

    def test_what_is_written_is_told(self, table: Table) -> None:
        """After a write nothing is untold, and telling again moves the head and no marker."""
        write(table, ONE)
        seen, before = table.look(ONE.key), head_of(table)
        assert not seen.untold
        table.tell([seen])
        assert before.counter < head_of(table).counter
        assert seen.marker == table.look(ONE.key).marker

    def test_the_head_has_the_date_of_its_answer(self, table: Table) -> None:
        """By the table's own clock, in whole seconds as a `Date` has them."""
        write(table, ONE)
        answered_at_s = head_of(table).answered_at_s
        assert answered_at_s is not None
        assert answered_at_s == int(answered_at_s)

    def test_each_write_moves_the_sequence(self, table: Table) -> None:
        """The epoch of the item stays."""
        write(table, ONE)
        first = table.look(ONE.key).marker
        write(table, ONE._replace(stages={"AWSCURRENT": "v2"}))
        second = table.look(ONE.key).marker
        assert first is not None
        assert second is not None
        assert (first.epoch, 2, {"AWSCURRENT": "v2"}) == (second.epoch, second.sequence, second.stages)

    @pytest.mark.parametrize("is_there", [False, True])
    def test_the_second_of_two_writers_loses(self, table: Table, *, is_there: bool) -> None:
        """Two writers that saw the same state: the later one is told, and has written nothing."""
        if is_there:
            write(table, ONE)
        seen = table.look(ONE.key)
        table.write([(seen, ONE._replace(stages={"AWSCURRENT": "won"}))])
        head = head_of(table)
        with pytest.raises(MarkerConflictError):
            table.write([(seen, ONE), (table.look(OTHER.key), OTHER)])
        found = table.look(ONE.key).marker
        assert found is not None
        assert {"AWSCURRENT": "won"} == found.stages
        assert table.look(OTHER.key).marker is None
        assert head.counter == head_of(table).counter

    def test_nothing_to_write_is_no_write(self, table: Table) -> None:
        """The head does not move, or every reader would look again."""
        write(table, ONE)
        counter = head_of(table).counter
        table.write([])
        assert counter == head_of(table).counter

    def test_what_cannot_be_written_is_refused(self, table: Table) -> None:
        """More markers than one write takes, and a marker where another one was seen."""
        many = [marker(f"db{number}") for number in range(WRITES_MAX + 1)]
        with pytest.raises(ValueError, match=str(WRITES_MAX)):
            write(table, *many)
        with pytest.raises(ValueError, match="key under which it was read"):
            table.write([(table.look(ONE.key), OTHER)])
        assert table.read_head() is None
