"""What the head tells since it was last seen: which markers have changed, and which must be read. No I/O."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from keyturn.model.markers import Head, Marker
from keyturn.model.slots import Entry, following, is_told_already, key_hash, slot_of, unpacked


class News(NamedTuple):
    """What has happened between two sights of one head.

    `everything`: any marker may have changed. `entries`: the changes of slots that have changed once.
    `slots`: the numbers of those that have changed more than once, of `size` slots in all.
    """

    everything: bool = False
    entries: tuple[Entry, ...] = ()
    slots: frozenset[int] = frozenset()
    size: int = 0


NOTHING = News()
EVERYTHING = News(everything=True)


def news_since(seen: Head | None, head: Head) -> News:
    """Return what has happened since the head was `seen`; None means that it never was.

    Everything may have happened if this is another head, if a count went back (the table was restored), or if
    the counter moved by more than the slots did (a writer of an earlier version, which knows no slots).
    """
    if seen is None or seen.epoch != head.epoch or len(seen.slots) != len(head.slots):
        return EVERYTHING
    if seen.slots == head.slots and seen.counter == head.counter:
        return NOTHING
    moved = [at for at, slot in enumerate(head.slots) if slot != seen.slots[at]]
    steps = [head.slots[at].total - seen.slots[at].total for at in moved]
    if sum(steps) != head.counter - seen.counter or min(steps) < 0:
        return EVERYTHING
    entries = {at: _only_change(at, seen, head) for at in moved}
    return News(
        entries=tuple(entry for entry in entries.values() if entry is not None),
        slots=frozenset(at for at, entry in entries.items() if entry is None),
        size=len(head.slots),
    )


def _only_change(at: int, seen: Head, head: Head) -> Entry | None:
    """Return the entry of a slot if it is all that has happened there; else None."""
    before, slot = seen.slots[at], head.slots[at]
    entry = unpacked(slot.entry)
    if entry is None or slot.total - entry.step != before.total:
        return None
    return entry if slot_of(entry.key, len(head.slots)) == at else None


class HeldKeys:
    """The keys that are held, by their hashes: two arrays, a fifth of the memory of a dict."""

    def __init__(self, keys: Collection[str] = (), before: HeldKeys | None = None) -> None:
        """Take the hashes that are known from `before`."""
        known = dict(before.pairs()) if before is not None else dict[str, int]()
        pairs = sorted((known.get(key) or int.from_bytes(key_hash(key)), key) for key in keys)
        self._hashes = array("Q", (hashed for hashed, _ in pairs))
        self._keys = tuple(key for _, key in pairs)

    def __len__(self) -> int:
        return len(self._keys)

    def pairs(self) -> Iterator[tuple[str, int]]:
        """Yield each key with its hash."""
        return zip(self._keys, self._hashes, strict=True)

    def find(self, hashed: bytes) -> str | None:
        """Return the key with this hash, or None."""
        number = int.from_bytes(hashed)
        at = bisect_left(self._hashes, number)
        return self._keys[at] if at < len(self._hashes) and self._hashes[at] == number else None

    def doubted(self, news: News) -> Iterator[str]:
        """Yield the keys in slots that have changed more than once."""
        for key, hashed in self.pairs():
            if hashed % news.size in news.slots:
                yield key


def told(
    news: News, keys: HeldKeys, markers: Mapping[str, Marker | None]
) -> Iterator[tuple[str, Marker | None]]:
    """Yield the keys of which the news tells, with their new markers, or with None if they must be read.

    `keys` are those that are held, `markers` is what is known of them.
    """
    for entry in news.entries:
        key = keys.find(entry.key)
        if key is None:
            continue
        before = markers.get(key)
        if entry.told is None or not is_told_already(before, entry.told):
            yield key, following(before, entry.told) if entry.told is not None else None
