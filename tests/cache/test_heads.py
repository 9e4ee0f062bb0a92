"""Which copy of the head a process reads: it draws one, keeps to it, and leaves it when it must."""

from __future__ import annotations

from collections.abc import Collection

from keyturn.cache.head_choice import HeadChoice
from keyturn.errors import MarkerTableError
from keyturn.model.markers import Head, MarkersRead


class Heads:
    """A table with these heads, whose reads are noted. `failing`: the copies that raise, with the error."""

    def __init__(self, *heads: Head | None) -> None:
        self.heads = list(heads)
        self.failing: dict[int, MarkerTableError] = {}
        self.read: list[int] = []

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        self.read.append(copy)
        if copy in self.failing:
            raise self.failing[copy]
        return self.heads[copy] if copy < len(self.heads) else None

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        raise AssertionError(keys)


def table(copies: int) -> Heads:
    """A table with so many heads."""
    return Heads(*(Head(f"e{copy}", 1, copies=copies) for copy in range(copies)))


def test_one_head_is_one_read() -> None:
    """A table with one head costs one read a check."""
    heads = table(1)
    choice = HeadChoice(heads, lambda: 0.9)
    assert heads.heads[0] == choice.read(None) == choice.read(heads.heads[0])
    assert [0, 0] == heads.read


def test_a_process_draws_a_copy_and_keeps_to_it() -> None:
    """The first check reads the head, which says how many there are; the others are one read."""
    heads = table(4)
    choice = HeadChoice(heads, lambda: 0.6)
    for _ in range(3):
        assert heads.heads[2] == choice.read(None)
    assert [0, 2, 2, 2] == heads.read
    choice.forget()
    choice.read(None)
    assert [0, 2] == heads.read[4:]


def test_a_copy_that_does_not_answer_is_left_at_once() -> None:
    """Throttled, say: the same check reads another one, and the next checks too."""
    heads = table(4)
    choice = HeadChoice(heads, lambda: 0.6)
    choice.read(None)
    heads.failing[2] = MarkerTableError("markers", "throttled")
    heads.read.clear()
    found = [choice.read(None), choice.read(None)]
    assert 2 not in heads.read[1:]
    assert 3 == len(heads.read)
    assert None not in found


def test_a_table_that_does_not_answer_is_an_error() -> None:
    """After two tries where there are copies, after one where there are none."""
    for copies, reads in ((1, 1), (4, 2)):
        heads = table(copies)
        choice = HeadChoice(heads, lambda: 0.6)
        choice.read(None)
        heads.read.clear()
        heads.failing = dict.fromkeys(range(copies), MarkerTableError("markers", "throttled"))
        try:
            choice.read(None)
        except MarkerTableError:
            assert reads == len(heads.read)
        else:
            raise AssertionError("no error")


def test_a_copy_that_is_given_up_is_left() -> None:
    """It says that there are fewer, or it is gone."""
    heads = table(4)
    choice = HeadChoice(heads, lambda: 0.6)
    choice.read(None)
    heads.heads = [head._replace(copies=2) if head is not None else None for head in heads.heads]
    assert heads.heads[1] == choice.read(None)
    heads.heads[1] = None
    assert heads.heads[0] == choice.read(None)


def test_a_role_that_may_not_read_copies_reads_the_head() -> None:
    """One denied read, and none at each check."""
    heads = table(4)
    heads.failing = {copy: MarkerTableError("markers", "denied", denied=True) for copy in (1, 2, 3)}
    choice = HeadChoice(heads, lambda: 0.6)
    for _ in range(3):
        assert heads.heads[0] == choice.read(None)
    assert [0, 2, 0, 0] == heads.read


def test_a_copy_that_went_back_is_read_consistently() -> None:
    """The same copy, once."""
    heads = table(4)
    choice = HeadChoice(heads, lambda: 0.6)
    seen = choice.read(None)
    assert seen is not None
    heads.read.clear()
    choice.read(seen._replace(counter=2))
    assert [2, 2] == heads.read


def test_the_lease_is_that_of_the_copy() -> None:
    """What another copy says is never mixed in."""
    heads = table(2)
    heads.heads = [
        head._replace(swept_as_of_s=number) if head is not None else None
        for number, head in enumerate(heads.heads, start=1)
    ]
    found = HeadChoice(heads, lambda: 0.6).read(None)
    assert found is not None
    assert (2, "e1") == (found.swept_as_of_s, found.epoch)
