"""The schema of the marker table: what its items look like, and how they are parsed.

The schema is a public contract, `schema` = 1. One DynamoDB table, its only key the String `pk`.
Numbers are whole unless said otherwise, from 0 to 2**53; a moment is in epoch seconds.

A marker, one item per secret or parameter:

    pk            S       the secret's ARN without its random suffix, or the parameter's ARN
    schema        N       1
    epoch         S       1-64 characters, random, made with the item
    sequence      N       >= 1, one more with each write of the item; `(epoch, sequence)` is its state
    arn           S       the secret's full ARN, or `pk` again
    stages        M of S  staging label (1-256 characters) -> version id (1-64), at most 100; of a parameter
                          AWSCURRENT -> the latest version, if the sweep has listed it since the event
    left          L of S  the version ids that AWSCURRENT has left, oldest first, at most 20
    deleted       BOOL    the secret is gone or scheduled for deletion; absent means no
    token         S       parameters only: the id of the last event, 1-128 characters
    step          S       the last step that a rotation announced of the AWSPENDING version, 1-64 characters
    reason        S       what caused the last write, at most 256 characters
    changed_at_s  N       when, by the writer's clock; fraction allowed

The head, the one item with `pk` = "head":

    schema        N       1
    epoch         S       as a marker's
    counter       N       one more with each transaction that writes markers
    swept_as_of_s N       all before it is in the markers, by the table's clock; fraction allowed

A reader takes an item that breaks any of this, or has a `schema` it does not know, for no item; a
writer replaces it with one of a fresh epoch. Other attributes are ignored, and lost at the next write.
An item holds ids and labels, never a secret's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from keyturn.aws.dynamodb import (
    ARN_LENGTH,
    VERSION_ID_LENGTH,
    Item,
    MisshapenError,
    attribute_of,
    flag_of,
    moment_of,
    number_of,
    require,
    text_of,
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
    """The marker in an item, or None: any other item of a table is no marker."""
    if not isinstance(item, Mapping):
        return None
    try:
        return _marker(item)
    except MisshapenError:
        return None


def head_of(item: object, answered_at_s: float | None = None) -> Head | None:
    """The head in an item that was answered at `answered_at_s` (epoch seconds), or None."""
    if not isinstance(item, Mapping):
        return None
    try:
        return _head(item, answered_at_s)
    except MisshapenError:
        return None


def item_of(marker: Marker, *, epoch: str, sequence: int) -> dict[str, object]:
    """The item of a marker."""
    optional = {"token": marker.token, "step": marker.step}
    return {
        "pk": {"S": marker.key},
        "schema": number_of(SCHEMA),
        "epoch": {"S": epoch},
        "sequence": number_of(sequence),
        "arn": {"S": marker.arn},
        "stages": {"M": {label: {"S": version_id} for label, version_id in marker.stages.items()}},
        "left": {"L": [{"S": version_id} for version_id in marker.left[-LEFT_MAX:]]},
        "deleted": {"BOOL": marker.deleted},
        "reason": {"S": marker.reason[:_REASON_LENGTH]},
        "changed_at_s": number_of(marker.changed_at_s),
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
        # A lease from the future would never be renewed, nor end.
        require(swept_as_of_s <= answered_at_s)
    return Head(
        epoch=text_of(item, "epoch", _EPOCH_LENGTH),
        counter=whole_of(item, "counter"),
        swept_as_of_s=swept_as_of_s,
        answered_at_s=answered_at_s,
    )


def _stages(item: Item) -> dict[str, str]:
    stages = attribute_of(item, "stages", "M")
    if not isinstance(stages, Mapping) or len(stages) > STAGES_MAX:
        raise MisshapenError("stages")
    require(all(isinstance(label, str) and 1 <= len(label) <= _LABEL_LENGTH for label in stages))
    return {label: _shared(text_of(stages, label, VERSION_ID_LENGTH)) for label in stages}


def _left(item: Item) -> tuple[str, ...]:
    left = attribute_of(item, "left", "L") if "left" in item else []
    if not isinstance(left, list) or len(left) > LEFT_MAX:
        raise MisshapenError("left")
    return tuple(_shared(text_of({"left": version_id}, "left", VERSION_ID_LENGTH)) for version_id in left)


@lru_cache(maxsize=64)
def _shared(text: str) -> str:
    """One text in place of equal ones: a marker names a version twice, and most have one of a few reasons."""
    return text
