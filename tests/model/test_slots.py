"""What the head tells of a write: entry by entry, at the ends of what an entry can hold."""

from __future__ import annotations

import pytest

from keyturn.model.markers import Marker
from keyturn.model.slots import (
    ENTRY_MAX,
    STEP_MAX,
    entries,
    following,
    key_hash,
    new_step,
    packed,
    slot_of,
    unpacked,
)
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS

KEY = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db"
UUIDS = [f"7f1c3b1e-0000-4000-8000-0000000000b{number}" for number in range(3)]
BEFORE = Marker(
    KEY, f"{KEY}-AbCdEf", {AWSCURRENT: "v2"}, left=("v1",), reason="a word for people", epoch="e", sequence=3
)
AFTER = BEFORE._replace(stages={AWSCURRENT: "v3"}, left=("v1", "v2"), changed_at_s=1000.0, sequence=4)


def told(before: Marker, after: Marker) -> Marker | None:
    """What a reader that knows the marker before makes of the entry; None if it must read the marker."""
    entry = unpacked(packed(before, after, 7))
    assert entry is not None
    assert (7, key_hash(after.key)) == (entry.step, entry.key)
    return following(before, entry.told) if entry.told is not None else None


@pytest.mark.parametrize(
    ("random", "step"), [(0.0, 1), (0.5, 1 + STEP_MAX // 2), (1.0 - 1 / STEP_MAX, STEP_MAX)]
)
def test_a_step_is_never_nothing(random: float, step: int) -> None:
    """It is random, up to the largest one."""
    assert step == new_step(lambda: random)


def test_three_versions_of_secrets_manager_fill_an_entry() -> None:
    """Their ids are UUIDs, so a rotation is told whole: the labels, and all that the marker says."""
    stages = dict(zip((AWSCURRENT, AWSPENDING, AWSPREVIOUS), UUIDS, strict=True))
    after = AFTER._replace(stages=stages, step="createSecret")
    assert ENTRY_MAX == len(packed(BEFORE, after, 7))
    assert after._replace(reason="") == told(BEFORE, after)


@pytest.mark.parametrize(
    "version_id", ["x" * 36, UUIDS[0].upper(), UUIDS[0].replace("-", ""), f"{{{UUIDS[0][:34]}}}", "ä" * 18]
)
def test_what_only_looks_like_a_version_id_stays_as_it_is(version_id: str) -> None:
    """A text comes out of an entry letter by letter as it went in."""
    after = AFTER._replace(stages={AWSCURRENT: version_id})
    assert after._replace(reason="") == told(BEFORE, after)


def test_a_version_that_is_current_again_is_not_left() -> None:
    """A roll-back is told whole as well."""
    after = AFTER._replace(stages={AWSCURRENT: "v1"}, left=("v2",))
    assert after._replace(reason="") == told(BEFORE, after)


def test_an_event_of_a_parameter_is_told_by_its_token() -> None:
    """Another event has another one."""
    before = BEFORE._replace(token=UUIDS[0])
    after = AFTER._replace(stages={}, left=("v1",), token=UUIDS[1])
    assert after._replace(reason="") == told(before, after)


@pytest.mark.parametrize("changed_at_s", [0.0, 0.0005, 1.0015, 1_790_000_000.25, 2.0**38 - 1])
def test_a_moment_is_told_to_the_millisecond(changed_at_s: float) -> None:
    """As the item has it."""
    marker = told(BEFORE, AFTER._replace(changed_at_s=changed_at_s))
    assert marker is not None
    assert round(changed_at_s, 3) == marker.changed_at_s


def test_a_marker_is_told_however_often_it_was_written() -> None:
    """Up to the largest number that an entry can hold."""
    often = 2**24 - 1
    after = AFTER._replace(sequence=often)
    assert after._replace(reason="") == told(BEFORE._replace(sequence=often - 1), after)


@pytest.mark.parametrize(
    "after",
    [AFTER._replace(changed_at_s=2.0**38), AFTER._replace(stages={AWSCURRENT: "v" * 300})],
)
def test_what_an_entry_cannot_hold_must_be_read(after: Marker) -> None:
    """It is no error."""
    assert told(BEFORE, after) is None


def test_of_two_markers_in_one_slot_neither_is_told() -> None:
    """The entry is empty, so a reader reads its markers of that slot. Other slots keep theirs."""
    others = [AFTER._replace(key=f"{KEY}-{number}") for number in range(40)]
    here = slot_of(key_hash(KEY), 3)
    beside = next(one for one in others if slot_of(key_hash(one.key), 3) == here)
    elsewhere = next(one for one in others if slot_of(key_hash(one.key), 3) != here)
    made = entries([(BEFORE, AFTER), (None, beside), (None, elsewhere), (BEFORE, AFTER)], 3, 7)
    assert {here: b"", slot_of(key_hash(elsewhere.key), 3): packed(None, elsewhere, 7)} == made
    assert unpacked(b"") is None
