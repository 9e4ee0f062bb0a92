"""The schema of the marker table: what its items look like, and how they are parsed.

The schema is a public contract, `schema` = 1. There is one DynamoDB table, whose only key is the String `pk`.
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

The head is the one item with `pk` = "head":

    schema        N       1
    epoch         S       1-64 characters, random, made with the item
    counter       N       one more with each transaction that writes markers
    swept_as_of_s N       all that happened before this moment, by the table's clock, is in the markers; may
                          have a fraction

A reader ignores an item that breaks any of these rules or has another `schema`, as if there were no item. A
writer replaces such an item by an item with a new epoch. Other attributes are ignored, and lost at the next
write. An item holds ids and labels, never the value of a secret.
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
    flag_of,
    moment_of,
    number_attribute,
    parsed,
    require,
    text_of,
    texts_attribute,
    texts_of,
    whole_of,
)
from keyturn.model.markers import LEFT_MAX, Head, Marker
from keyturn.model.names import SUFFIX_LENGTH

SCHEMA: Final = 1
HEAD_KEY: Final = "head"
STAGES_MAX: Final = 100
_EPOCH_LENGTH: Final = 64
_LABEL_LENGTH: Final = 256
_TOKEN_LENGTH: Final = 128
_STEP_LENGTH: Final = 64
_REASON_LENGTH: Final = 256


def marker_of(item: object) -> Marker | None:
    """Return the marker in an item; None if the item is no marker."""
    return parsed(item, _marker)


def head_of(item: object, answered_at_s: float | None = None) -> Head | None:
    """Return the head in an item that the table answered at `answered_at_s` (epoch seconds, by its clock).

    Returns None if the item is no head, or if its `swept_as_of_s` is later than `answered_at_s`.
    """
    return parsed(item, partial(_head, answered_at_s=answered_at_s))


def item_of(marker: Marker, *, epoch: str, sequence: int) -> dict[str, object]:
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


def _head(item: Item, answered_at_s: float | None) -> Head:
    require(whole_of(item, "schema") == SCHEMA)
    swept_as_of_s = moment_of(item, "swept_as_of_s") if "swept_as_of_s" in item else None
    if swept_as_of_s is not None and answered_at_s is not None:
        # A lease from the future would never end, and would never be renewed.
        require(swept_as_of_s <= answered_at_s)
    return Head(
        epoch=text_of(item, "epoch", _EPOCH_LENGTH),
        counter=whole_of(item, "counter"),
        swept_as_of_s=swept_as_of_s,
        answered_at_s=answered_at_s,
    )


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
