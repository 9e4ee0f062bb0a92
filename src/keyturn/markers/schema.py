"""The schema of the marker table: what its items look like, and how they are parsed.

The schema is a public contract, `schema` = 1. Attributes that a later version adds, as the slots were, do not
change that number. There is one DynamoDB table, whose only key is the String `pk`.
A number is whole and from 0 to 2**53 unless a row says otherwise. A moment is in epoch seconds.

A marker is one item for each secret or parameter:

    pk            S       the secret's ARN without its random suffix, or the parameter's ARN
    schema        N       1
    epoch         S       1-64 characters, random, made with the item
    sequence      N       >= 1, one more at each write of the item; `(epoch, sequence)` is its state
    arn           S       the secret's full ARN, or `pk` again
    stages        M of S  staging label (1-256 characters) -> version id (1-64), at most 100; of a parameter
                          AWSCURRENT -> the latest version, if a sweep has listed it since the last event
    left          L of S  the version ids that AWSCURRENT has left, oldest first, at most 20
    deleted       BOOL    the secret is gone or scheduled for deletion; absent means false
    token         S       parameters only: the id of the last event, 1-128 characters
    step          S       the last step that a rotation announced of the AWSPENDING version, 1-64 characters
    reason        S       what caused the last write, at most 256 characters
    changed_at_s  N       the moment of the last write, by the writer's clock; may have a fraction
    untold        BOOL    the head does not tell of the last write yet; absent means false. Readers ignore it
    expires_at_s  N       only if `deleted`: from when on DynamoDB may remove the item. Readers ignore it

The head is the item with `pk` = "head". Its copies, if there are any, are items of the same kind with `pk` =
"head#1", "head#2" and so on; each has an epoch, counts and a lease of its own:

    schema        N       1
    epoch         S       1-64 characters, random, made with the item
    counter       N       grows with each write of markers, by as much as all slots together
    n0 to n43     N       grows with each write of markers in this slot, by a random step (1 to 2**20), the
                          same for all slots of one write; absent means 0
    e0 to e43     B       what the last write in this slot has changed (`keyturn.model.slots`), at most 75
                          bytes; absent or empty if that was more than one marker
    swept_as_of_s N       all that happened before this moment, by the table's clock, is in the markers, and
                          this item has told of it; may have a fraction
    copies        N       1 to 32: how many heads there are, this one included; absent means 1
    pace_s        N       over how many seconds a fleet spreads its reads because of a marker; absent means 0
    untracked     N       by how much `counter` exceeded the sum of the slots at the last sweep, or 0
    untracked_at_s N      the moment of the sweep that last found `untracked` changed: a writer of an earlier
                          version has written

A marker belongs to the slot `h % 44`, where h is the number in the first 8 bytes of BLAKE2b (digest size 8)
of its `pk`. A writer first writes the marker with `untold`, on the condition that the marker has not changed
since it was read, then updates `head`, whose answer says how many copies there are, and each copy, and last
removes `untold`. A writer of an earlier version counts `counter` up by one and moves no slot: then a reader
looks at all its markers.

The marker of a secret that is gone ends by itself, so that the table does not grow with secrets that were.
No reader takes that for news: a marker that is absent covers no copy, just as one that is `deleted`, and the
marker of a secret that is made again has a new epoch. The time is longer than the 30 days in which a secret
can be restored.

A reader ignores an item that breaks any of these rules or has another `schema`, as if there were no item. A
writer replaces such a marker, and the sweep such a head, by an item with a new epoch. Other attributes are
ignored, and lost at the next write. The sweep also replaces a head that has become too large. An item holds
ids and labels, never the value of a secret.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Final

from keyturn.aws.dynamodb import (
    ARN_LENGTH,
    VERSION_ID_LENGTH,
    Item,
    MisshapenError,
    attribute_of,
    bytes_of,
    flag_of,
    moment_of,
    number_attribute,
    parsed,
    require,
    size_of,
    text_of,
    texts_attribute,
    texts_of,
    whole_of,
)
from keyturn.model.markers import LEFT_MAX, Head, Marker, Slot
from keyturn.model.names import SUFFIX_LENGTH
from keyturn.model.slots import ENTRY_MAX, SLOTS

SCHEMA: Final = 1
HEAD_KEY: Final = "head"
COPIES_MAX: Final = 32
HEAD_SIZE_MAX: Final = 8192
"""A larger head holds what no writer of this library writes: with all slots full it has half of that."""
PACE_MAX_S: Final = 600.0
STAGES_MAX: Final = 100
EXPIRES: Final = "expires_at_s"
DELETED_KEPT_S: Final = 60 * 86400
"""How long the marker of a deleted secret is kept, in seconds."""
_EPOCH_LENGTH: Final = 64
_LABEL_LENGTH: Final = 256
_TOKEN_LENGTH: Final = 128
_STEP_LENGTH: Final = 64
_REASON_LENGTH: Final = 256
_UNUSED: Final = Slot()


def marker_of(item: object) -> Marker | None:
    """Return the marker in an item; None if the item is no marker."""
    return parsed(item, _marker)


def head_key(copy: int) -> str:
    """Return the `pk` of a copy of the head; 0 is the head itself."""
    return f"{HEAD_KEY}#{copy}" if copy else HEAD_KEY


def is_head_key(key: str) -> bool:
    """Return True if this is the `pk` of the head or of a copy of it."""
    return key == HEAD_KEY or key.startswith(HEAD_KEY + "#")


def is_overgrown(item: Item | None) -> bool:
    """Return True for a head that is far too large: each check of each process pays for its bytes."""
    return item is not None and size_of(item) > HEAD_SIZE_MAX


def count_name(slot: int) -> str:
    """Return the name of the attribute with the count of a slot."""
    return f"n{slot}"


def entry_name(slot: int) -> str:
    """Return the name of the attribute with the entry of a slot."""
    return f"e{slot}"


def head_of(item: object, answered_at_s: float | None = None, slots: int = SLOTS) -> Head | None:
    """Return the head in an item that the table answered at `answered_at_s` (epoch seconds, by its clock).

    Returns None if the item is no head, or if its `swept_as_of_s` is later than `answered_at_s`. `slots` is
    how many slots it has; tests use fewer.
    """
    return parsed(item, partial(_head, answered_at_s=answered_at_s, slots=slots))


def is_untold(item: Item) -> bool:
    """Return True if the head may not tell yet of the last write of the marker in this item."""
    return item.get("untold") == {"BOOL": True}


def item_of(marker: Marker, *, epoch: str, sequence: int, untold: bool = False) -> dict[str, object]:
    """Make the item of a marker, with this epoch and sequence instead of the marker's own."""
    optional = {"token": marker.token, "step": marker.step}
    return {
        "pk": {"S": marker.key},
        "schema": number_attribute(SCHEMA),
        "epoch": {"S": epoch},
        "sequence": number_attribute(sequence),
        "arn": {"S": marker.arn},
        "stages": texts_attribute(marker.stages),
        "left": {"L": [{"S": version_id} for version_id in marker.left[-LEFT_MAX:]]},
        "deleted": {"BOOL": marker.deleted},
        "reason": {"S": marker.reason[:_REASON_LENGTH]},
        "changed_at_s": number_attribute(marker.changed_at_s),
        **{name: {"S": text} for name, text in optional.items() if text is not None},
        **({"untold": {"BOOL": True}} if untold else {}),
        # DynamoDB takes whole seconds only.
        **({EXPIRES: number_attribute(int(marker.changed_at_s) + DELETED_KEPT_S)} if marker.deleted else {}),
    }


def _marker(item: Item) -> Marker:
    require(whole_of(item, "schema") == SCHEMA)
    key, arn = text_of(item, "pk", ARN_LENGTH), text_of(item, "arn", ARN_LENGTH)
    require(key in (arn, arn[:-SUFFIX_LENGTH]) and key.startswith("arn:"))
    require(key == arn or arn[-SUFFIX_LENGTH] == "-")
    return Marker(
        key=key,
        arn=arn,
        stages=_stages(item),
        left=_left(item),
        deleted=flag_of(item, "deleted"),
        token=text_of(item, "token", _TOKEN_LENGTH) if "token" in item else None,
        step=text_of(item, "step", _STEP_LENGTH) if "step" in item else None,
        reason=_shared(text_of(item, "reason", _REASON_LENGTH, length_min=0)) if "reason" in item else "",
        changed_at_s=moment_of(item, "changed_at_s") if "changed_at_s" in item else 0.0,
        epoch=text_of(item, "epoch", _EPOCH_LENGTH),
        sequence=whole_of(item, "sequence", least=1),
    )


def _head(item: Item, answered_at_s: float | None, slots: int) -> Head:
    require(whole_of(item, "schema") == SCHEMA)
    swept_as_of_s = moment_of(item, "swept_as_of_s") if "swept_as_of_s" in item else None
    if swept_as_of_s is not None and answered_at_s is not None:
        # A lease from the future would never end, and would never be renewed.
        require(swept_as_of_s <= answered_at_s)
    copies = whole_of(item, "copies", least=1) if "copies" in item else 1
    pace_s = moment_of(item, "pace_s") if "pace_s" in item else 0.0
    require(copies <= COPIES_MAX, pace_s <= PACE_MAX_S)
    return Head(
        epoch=text_of(item, "epoch", _EPOCH_LENGTH),
        counter=whole_of(item, "counter"),
        swept_as_of_s=swept_as_of_s,
        answered_at_s=answered_at_s,
        slots=tuple(_slot(item, *names) for names in _slot_names(slots)),
        copies=copies,
        pace_s=pace_s,
        untracked=whole_of(item, "untracked") if "untracked" in item else None,
        untracked_at_s=moment_of(item, "untracked_at_s") if "untracked_at_s" in item else None,
    )


@lru_cache(maxsize=8)
def _slot_names(slots: int) -> tuple[tuple[str, str], ...]:
    return tuple((count_name(slot), entry_name(slot)) for slot in range(slots))


def _slot(item: Item, count: str, entry: str) -> Slot:
    if count not in item:
        return _UNUSED
    try:
        told = bytes_of(item, entry, ENTRY_MAX) if entry in item else b""
    except MisshapenError:
        # Who may write one slot must not make the whole head unusable: its markers are read.
        told = b""
    return Slot(whole_of(item, count), told)


def _stages(item: Item) -> dict[str, str]:
    stages = texts_of(item, "stages", _LABEL_LENGTH, VERSION_ID_LENGTH)
    require(len(stages) <= STAGES_MAX)
    return {label: _shared(version_id) for label, version_id in stages.items()}


def _left(item: Item) -> tuple[str, ...]:
    left = attribute_of(item, "left", "L") if "left" in item else []
    if not isinstance(left, list) or len(left) > LEFT_MAX:
        raise MisshapenError("left")
    return tuple(_shared(text_of({"left": version_id}, "left", VERSION_ID_LENGTH)) for version_id in left)


@lru_cache(maxsize=64)
def _shared(text: str) -> str:
    """Return the same object for equal texts, which saves memory.

    A marker names a version more than once, and most markers have one of a few reasons.
    """
    return text
