"""What a reader makes of two sights of a head: nothing, a change, markers to read, or everything."""

from __future__ import annotations

import pytest

from keyturn.cache.news import EVERYTHING, NOTHING, HeldKeys, News, news_since, told
from keyturn.model.markers import Head, Marker, Slot
from keyturn.model.slots import Change, Entry, entries, key_hash, moved, packed, slot_of, unpacked

KEY = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db"
BEFORE = Marker(KEY, KEY + "-AbCdEf", {"AWSCURRENT": "v1", "AWSPENDING": "v2"}, epoch="e1", sequence=3)
AFTER = BEFORE._replace(
    stages={"AWSCURRENT": "v2", "AWSPREVIOUS": "v1"},
    left=("v1",),
    step="finishSecret",
    changed_at_s=1_790_000_000.25,
    sequence=4,
)
SLOTS = 3
SLOT = slot_of(key_hash(KEY), SLOTS)
HEAD = Head("e", 100, slots=(Slot(50), Slot(30), Slot(20)))


def after(head: Head, *writes: Change, step: int = 7) -> Head:
    """The head after one write of these markers."""
    made = entries(writes, len(head.slots), step)
    return head._replace(counter=head.counter + step * len(made), slots=moved(head.slots, made, step))


def test_one_change_is_all_the_news() -> None:
    """Its entry says all that the marker says, so nothing is read."""
    news = news_since(HEAD, after(HEAD, (BEFORE, AFTER)))
    assert (False, frozenset(), 1) == (news.everything, news.slots, len(news.entries))
    assert [(KEY, AFTER)] == list(told(news, HeldKeys([KEY]), {KEY: BEFORE}))
    assert [] == list(told(news, HeldKeys(), {}))


def test_two_changes_of_a_slot_are_not_taken_for_one() -> None:
    """The markers of that slot must be read, those of others need not be."""
    news = news_since(HEAD, after(after(HEAD, (BEFORE, AFTER)), (AFTER, AFTER._replace(sequence=5))))
    assert ((), frozenset({SLOT})) == (news.entries, news.slots)
    other = next(name for name in map(str, range(9)) if slot_of(key_hash(name), SLOTS) != SLOT)
    assert [KEY] == list(HeldKeys([KEY, other]).doubted(news))


def test_the_news_of_what_is_not_held_hides_no_other() -> None:
    """Each write may be about secrets of other processes."""
    other = next(name for name in map(str, range(9)) if slot_of(key_hash(name), SLOTS) > SLOT)
    before, written = (one._replace(key=other, arn=other + "-AbCdEf") for one in (BEFORE, AFTER))
    news = news_since(HEAD, after(HEAD, (BEFORE, AFTER), (before, written)))
    assert [key_hash(KEY), key_hash(other)] == [entry.key for entry in news.entries]
    assert [(other, written)] == list(told(news, HeldKeys([other]), {other: before}))


def test_an_entry_that_was_replaced_without_a_step_tells_nothing() -> None:
    """No writer does that: only the markers of that slot are read."""
    seen = after(HEAD, (BEFORE, AFTER))
    other = packed(AFTER, AFTER._replace(sequence=5), 7)
    slots = tuple(slot._replace(entry=other) if at == SLOT else slot for at, slot in enumerate(seen.slots))
    assert News(slots=frozenset({SLOT}), size=SLOTS) == news_since(seen, seen._replace(slots=slots))


def test_a_head_that_did_not_move_is_no_news() -> None:
    """Also if its lease has."""
    assert NOTHING == news_since(HEAD, HEAD._replace(swept_as_of_s=5.0, answered_at_s=6.0))


@pytest.mark.parametrize(
    ("seen", "head"),
    [
        pytest.param(None, HEAD, id="never seen"),
        pytest.param(HEAD, HEAD._replace(epoch="other"), id="made anew, or another copy"),
        pytest.param(HEAD, HEAD._replace(counter=101), id="a writer that knows no slots"),
        pytest.param(
            HEAD, after(HEAD, (BEFORE, AFTER))._replace(counter=HEAD.counter), id="the counter was set back"
        ),
        pytest.param(HEAD, after(HEAD, (BEFORE, AFTER))._replace(counter=108), id="writers of both kinds"),
        pytest.param(after(HEAD, (BEFORE, AFTER)), HEAD, id="restored to an earlier moment"),
        pytest.param(HEAD._replace(slots=()), HEAD._replace(counter=101), id="before the slots"),
    ],
)
def test_what_cannot_be_told_from_slots_may_be_everything(seen: Head | None, head: Head) -> None:
    """Then a reader looks at all its markers, as before there were slots."""
    assert EVERYTHING == news_since(seen, head)


def test_a_restored_table_that_counts_up_again_is_noticed() -> None:
    """The same number of writes after the restore has other steps, so the last entry does not fit."""
    seen = after(HEAD, (BEFORE, AFTER), step=7)
    again = after(HEAD, (BEFORE, AFTER._replace(stages={"AWSCURRENT": "v9"})), step=11)
    assert frozenset({SLOT}) == news_since(seen, again).slots
    further = after(again, (AFTER, AFTER._replace(sequence=5)), step=4)
    assert frozenset({SLOT}) == news_since(seen, further).slots


def test_an_entry_in_a_foreign_slot_tells_nothing() -> None:
    """Who may write one slot cannot speak for the keys of another."""
    foreign = (SLOT + 1) % SLOTS
    entry = packed(BEFORE, AFTER, 7)
    slots = tuple(
        Slot(slot.total + 7, entry) if at == foreign else slot for at, slot in enumerate(HEAD.slots)
    )
    news = news_since(HEAD, HEAD._replace(counter=107, slots=slots))
    assert ((), frozenset({foreign})) == (news.entries, news.slots)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param(BEFORE, AFTER, id="the one before"),
        pytest.param(BEFORE._replace(sequence=2), None, id="one before that"),
        pytest.param(BEFORE._replace(epoch="e2"), None, id="another item"),
        pytest.param(None, None, id="none"),
    ],
)
def test_a_change_fits_only_the_marker_that_it_replaced(
    known: Marker | None, expected: Marker | None
) -> None:
    """Any other is read."""
    news = news_since(HEAD, after(HEAD, (BEFORE, AFTER)))
    assert [(KEY, expected)] == list(told(news, HeldKeys([KEY]), {KEY: known}))


@pytest.mark.parametrize("sequence", [4, 5])
def test_a_change_that_is_known_is_no_news(sequence: int) -> None:
    """It was read with the marker, or it is told twice."""
    news = news_since(HEAD, after(HEAD, (BEFORE, AFTER)))
    assert [] == list(told(news, HeldKeys([KEY]), {KEY: AFTER._replace(sequence=sequence)}))


PARAMETER = Marker("arn:p", "arn:p", {"AWSCURRENT": "12"}, token="t" * 36, epoch="e", sequence=1)
UUID = "7f1c3b1e-0000-4000-8000-0000000000b2"


@pytest.mark.parametrize(
    ("before", "written"),
    [
        pytest.param(BEFORE, AFTER._replace(deleted=True, step=None, left=()), id="deleted"),
        pytest.param(PARAMETER, PARAMETER._replace(stages={}, sequence=2), id="a parameter's event"),
        pytest.param(PARAMETER, PARAMETER._replace(stages={"AWSCURRENT": "13"}, sequence=2), id="swept"),
        pytest.param(
            BEFORE._replace(left=("v0", UUID)),
            BEFORE._replace(left=("v0", UUID, "v1"), stages={"AWSCURRENT": "ä" * 9}, sequence=4),
            id="a name of our own",
        ),
        pytest.param(
            BEFORE._replace(left=tuple(map(str, range(20)))),
            BEFORE._replace(
                left=(*map(str, range(1, 20)), "v1"), stages={"AWSCURRENT": UUID.upper()}, sequence=4
            ),
            id="left is full",
        ),
    ],
)
def test_an_entry_tells_the_whole_marker(before: Marker, written: Marker) -> None:
    """All but the reason, which is for people."""
    news = News(entries=tuple(filter(None, [unpacked(packed(before, written, 1))])))
    assert [(before.key, written)] == list(told(news, HeldKeys([before.key]), {before.key: before}))


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(AFTER._replace(stages={"AWSCURRENT": "v2", "blue": "v1"}), id="a label of our own"),
        pytest.param(AFTER._replace(arn=KEY + "-Other1"), id="re-created"),
        pytest.param(AFTER._replace(left=("x",)), id="left as nobody writes it"),
        pytest.param(AFTER._replace(step="x"), id="a step of a later version"),
        pytest.param(AFTER._replace(sequence=2**24), id="very often written"),
        pytest.param(AFTER._replace(stages={"AWSCURRENT": "v" * 64}), id="long"),
        pytest.param(AFTER._replace(changed_at_s=-1.0), id="before 1970"),
    ],
)
def test_what_does_not_fit_into_an_entry_is_read(written: Marker) -> None:
    """The entry is short and names the key alone."""
    entry = unpacked(packed(BEFORE, written, 9))
    assert entry is not None
    assert Entry(9, key_hash(KEY), None) == entry
    assert [(KEY, None)] == list(told(News(entries=(entry,)), HeldKeys([KEY]), {KEY: BEFORE}))


@pytest.mark.parametrize("cut", range(len(packed(BEFORE, AFTER, 1))))
def test_a_broken_entry_says_nothing(cut: int) -> None:
    """Whatever was cut off: no error, and nothing wrong."""
    entry = unpacked(packed(BEFORE, AFTER, 1)[:cut])
    assert entry is None or entry.told is None


def test_an_entry_shows_no_name() -> None:
    """A role that may read some markers alone reads every entry."""
    assert b"prod" not in packed(BEFORE, AFTER, 1)
    assert b"AbCdEf" not in packed(BEFORE, AFTER, 1)


def test_keys_are_found_by_their_hashes() -> None:
    """Those that are held, whether hashed now or before, and no other."""
    names = [f"arn:{number}" for number in range(500)]
    keys = HeldKeys(names[100:], HeldKeys(names[:300]))
    found = [keys.find(key_hash(name)) for name in names]
    assert [*[None] * 100, *names[100:]] == found
    assert 400 == len(keys)


def test_what_is_held_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that takes one more secret does not hash the thousand that it holds."""
    hashed = list[str]()

    def counted(key: str) -> bytes:
        hashed.append(key)
        return key_hash(key)

    monkeypatch.setattr("keyturn.cache.news.key_hash", counted)
    HeldKeys(["a", "b", "c"], HeldKeys(["a", "b"]))
    assert ["a", "b", "c"] == hashed
