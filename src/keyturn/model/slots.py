"""The slots of the head: what one write of a marker tells every reader, in a few bytes.

The head has some slots, and each key belongs to one of them by its hash. A slot has a count, which grows by a
random step with each write, and an entry about the last write. The entry holds the step: so a reader that
saw the count before that step knows that the entry is all that has happened in the slot.

An entry says how a marker differs from the one before. It names the marker by a hash, because a role that may
read only some markers must not see the names of others. A change that does not fit into an entry has a short
entry, which says only that the marker must be read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from keyturn.model.markers import Marker, Slot, left_after
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS

SLOTS: Final = 44
"""How many slots a head has: with all of them full it is smaller than 4 KB, so a read takes half a unit."""

STEP_MAX: Final = 2**20
"""The largest step of a count. It is random, so that a restored table does not repeat an old count."""

KEY_HASH_LENGTH: Final = 8
ENTRY_MAX: Final = 75
"""The longest entry in bytes."""

_LABELS: Final = (AWSCURRENT, AWSPENDING, AWSPREVIOUS)
_STEPS: Final = ("", "createSecret", "setSecret", "testSecret", "finishSecret")
_SHORT: Final = struct.Struct(">3s8s")
_FULL: Final = struct.Struct(">3s8s3s3s6sB")
_NO_TEXT, _UUID = 0, 255
_DELETED, _LEFT_GROWS, _HAS_TOKEN = 8, 16, 32


Change: TypeAlias = tuple[Marker | None, Marker]
"""A marker as it was before a write (None if that is unknown), and as it is after."""


class Told(NamedTuple):
    """What an entry says of a marker. `epoch` is a hash of the marker's epoch."""

    epoch: bytes
    sequence: int
    stages: Mapping[str, str]
    left_grows: bool
    deleted: bool
    token: str | None
    step: str | None
    changed_at_s: float


class Entry(NamedTuple):
    """The last write in a slot: the step of the count, the hash of the marker's key, and what it changed.

    `told` is None if the marker must be read.
    """

    step: int
    key: bytes
    told: Told | None


def key_hash(key: str) -> bytes:
    """Return the hash that stands for a marker's key in an entry."""
    return blake2b(key.encode(), digest_size=KEY_HASH_LENGTH).digest()


def slot_of(key: bytes, slots: int) -> int:
    """Return the number of the slot to which a key with this hash belongs, of so many."""
    return int.from_bytes(key) % slots


def new_step(random: Callable[[], float]) -> int:
    """Return a random step for a count; `random` returns a number in [0, 1)."""
    return 1 + int(random() * STEP_MAX)


def packed(before: Marker | None, after: Marker, step: int) -> bytes:
    """Make the entry of a write; `before` is the marker that it has replaced, None if that is unknown."""
    short = _SHORT.pack(step.to_bytes(3), key_hash(after.key))
    left_grows = _growth(before, after)
    is_plain = after.stages.keys() <= set(_LABELS) and after.step in (None, *_STEPS[1:])
    if left_grows is None or not is_plain or after.sequence >= 2**24 or not 0 <= after.changed_at_s < 2**38:
        return short
    flags = _STEPS.index(after.step or "") | after.deleted * _DELETED | left_grows * _LEFT_GROWS
    head = _FULL.pack(
        step.to_bytes(3),
        key_hash(after.key),
        _epoch_hash(after.epoch),
        after.sequence.to_bytes(3),
        round(round(after.changed_at_s, 3) * 1000).to_bytes(6),
        flags | (after.token is not None) * _HAS_TOKEN,
    )
    texts = [after.stages.get(label, "") for label in _LABELS]
    entry = head + b"".join(map(_packed_text, [*texts, after.token] if after.token is not None else texts))
    return entry if len(entry) <= ENTRY_MAX else short


def unpacked(entry: bytes) -> Entry | None:
    """Return what an entry says; None if it is no entry, or says that the slot has changed more than once."""
    try:
        return _unpacked(entry)
    except (struct.error, ValueError, IndexError):
        return None


def following(before: Marker | None, told: Told) -> Marker | None:
    """Return the marker after a write. None if `before` is not the marker that the write replaced."""
    if before is None or not _is_next(before, told):
        return None
    current = before.stages.get(AWSCURRENT), told.stages.get(AWSCURRENT)
    return before._replace(
        stages=told.stages,
        left=left_after(before.left, *current) if told.left_grows else before.left,
        deleted=told.deleted,
        token=told.token,
        step=told.step,
        reason="",
        changed_at_s=told.changed_at_s,
        sequence=told.sequence,
    )


def is_told_already(before: Marker | None, told: Told) -> bool:
    """Return True if the marker that is known is the written one or a later one of the same item."""
    return before is not None and before.sequence >= told.sequence and _epoch_hash(before.epoch) == told.epoch


def _is_next(before: Marker, told: Told) -> bool:
    return before.sequence + 1 == told.sequence and _epoch_hash(before.epoch) == told.epoch


def _growth(before: Marker | None, after: Marker) -> bool | None:
    """Return whether AWSCURRENT has left a version by this write; None if an entry cannot tell."""
    if before is None or (before.key, before.arn, before.epoch) != (after.key, after.arn, after.epoch):
        return None
    if tuple(after.left) == tuple(before.left):
        return False
    grown = left_after(before.left, before.stages.get(AWSCURRENT), after.stages.get(AWSCURRENT))
    return True if tuple(after.left) == grown else None


@lru_cache(maxsize=256)
def _epoch_hash(epoch: str) -> bytes:
    return blake2b(epoch.encode(), digest_size=3).digest()


def _packed_text(text: str) -> bytes:
    """Pack a text: a UUID, as version ids mostly are, takes 17 bytes."""
    raw = text.encode()
    if len(raw) == 36:
        try:
            number = UUID(text)
        except ValueError:
            number = None
        if number is not None and str(number) == text:
            return bytes([_UUID]) + number.bytes
    # A text that is too long makes the entry too long.
    return bytes([min(len(raw), _UUID - 1)]) + raw


def _unpacked(entry: bytes) -> Entry | None:
    if not entry:
        return None
    if len(entry) == _SHORT.size:
        step, key = _SHORT.unpack(entry)
        return Entry(int.from_bytes(step), key, None)
    step, key, epoch, sequence, changed_ms, flags = _FULL.unpack_from(entry)
    texts = list(_texts(entry[_FULL.size :]))
    token = texts.pop() if flags & _HAS_TOKEN else None
    told = Told(
        epoch=epoch,
        sequence=int.from_bytes(sequence),
        stages={label: text for label, text in zip(_LABELS, texts, strict=True) if text},
        left_grows=bool(flags & _LEFT_GROWS),
        deleted=bool(flags & _DELETED),
        token=token,
        step=_STEPS[flags & 7] or None,
        changed_at_s=int.from_bytes(changed_ms) / 1000,
    )
    return Entry(int.from_bytes(step), key, told)


def _texts(raw: bytes) -> Iterator[str]:
    at = 0
    while at < len(raw):
        kind, at = raw[at], at + 1
        length = 16 if kind == _UUID else kind
        part = raw[at : at + length]
        if len(part) != length:
            raise ValueError(length)
        at += length
        yield str(UUID(bytes=part)) if kind == _UUID else part.decode()


def entries(written: Iterable[Change], slots: int, step: int) -> dict[int, bytes]:
    """Return the new entry of each of the slots in which these markers were written together.

    It is empty for a slot with more than one of them: then a reader must read the markers.
    """
    made: dict[int, bytes] = {}
    for before, after in written:
        slot = slot_of(key_hash(after.key), slots)
        made[slot] = b"" if slot in made else packed(before, after, step)
    return made


def moved(slots: Sequence[Slot], made: Mapping[int, bytes], step: int) -> tuple[Slot, ...]:
    """Return the slots after a write that has made these entries."""
    return tuple(
        Slot(slot.total + step, made[number]) if number in made else slot for number, slot in enumerate(slots)
    )
