"""What a hint and an answer of DescribeSecret make of a marker: decisions without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from keyturn.errors import (
    ConfigurationError,
)
from keyturn.model.markers import LEFT_MAX, Marker
from keyturn.model.names import SUFFIX_LENGTH, checked_secret_id, is_secret_arn, secret_key
from keyturn.model.protocols import Seen
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Described

STEPS: Final = ("createSecret", "setSecret", "testSecret", "finishSecret")
"""The steps of a rotation, in order, by the names that Secrets Manager gives a rotation function."""


LIST_LAG_S: Final = 300.0
"""ListSecrets "might not reflect changes from the last five minutes" (API reference)."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Something happened to a secret: to which, and perhaps to which version under which label.

    `secret_id` is a name, a partial or a full ARN, as the event had it; `name` the friendly name if
    the event had that too. `step` is the rotation step that has just ended.
    """

    secret_id: str
    name: str | None = None
    version_id: str | None = None
    stage: str | None = None
    step: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ParameterHint:
    """Something happened to a parameter; `token` is the event's id, since the event has no version."""

    key: str
    token: str
    deleted: bool = False
    reason: str = ""


class CurrentMove(NamedTuple):
    """AWSCURRENT, from what the marker says in this state (epoch, sequence) to the version in an answer.

    Two answers mean the same only if they would make the same move: if somebody wrote the marker between
    them, the second may still be from before that.
    """

    state: tuple[str, int] | None
    to: str | None


def announcement(secret_id: str, *, version_id: str | None = None, step: str | None = None) -> Hint:
    """The hint of a rotation function: `step` has just ended for `version_id`.

    Raises `InvalidSecretIdError`, and `ConfigurationError` for a step that Secrets Manager does not have.
    """
    if step is not None and step not in STEPS:
        raise ConfigurationError(f"step {step!r} is not one of {', '.join(STEPS)}")
    return Hint(
        checked_secret_id(secret_id),
        version_id=version_id,
        stage=AWSCURRENT if step == "finishSecret" else AWSPENDING,
        step=step,
        reason=f"announced {step}" if step else "announced",
    )


def agrees_with_description(marker: Marker, described: Described | None) -> bool:
    """Whether a secret's marker says what Secrets Manager says (None: there is no such secret)."""
    if described is None:
        return marker.deleted
    same_secret = marker.arn == described.arn and marker.deleted == described.deleted
    return same_secret and dict(marker.stages) == dict(described.stages)


def marker_after(before: Marker | None, described: Described, hint: Hint, now_s: float) -> Marker:
    """The marker that follows `before` when Secrets Manager answers `described`."""
    same = before if before is not None and before.arn == described.arn else None
    return Marker(
        key=secret_key(described.arn, described.name),
        arn=described.arn,
        stages=dict(described.stages),
        left=_left_after(same, described),
        deleted=described.deleted,
        step=_step_after(same, described, hint),
        reason=hint.reason,
        changed_at_s=now_s,
    )


def moves_back(before: Marker | None, described: Described) -> bool:
    """Whether AWSCURRENT would return to a version that the marker has left.

    Either a roll-back, or an answer from before the move: DescribeSecret is eventually consistent.
    """
    if before is None or before.arn != described.arn:
        return False
    current = described.stages.get(AWSCURRENT)
    return current != before.stages.get(AWSCURRENT) and current in before.left


def move_of(before: Marker | None, described: Described | None) -> CurrentMove:
    """What an answer (None: there is no such secret) would do to AWSCURRENT."""
    state = (before.epoch, before.sequence) if before is not None else None
    return CurrentMove(state, described.stages.get(AWSCURRENT) if described is not None else None)


def shows(described: Described, hint: Hint) -> bool:
    """Whether the answer shows what the hint says; one without a version or label is not waited for."""
    if hint.version_id is None or hint.stage is None or described.deleted:
        return True
    if hint.stage == AWSPENDING:
        # A late event: the pending version may have become current long ago.
        return hint.version_id in described.stages.values()
    return described.stages.get(hint.stage) == hint.version_id


def should_have_been_announced(before: Marker, after: Marker) -> bool:
    """Whether a native event tells of this difference: a label other than these two got a version."""
    return before.arn == after.arn and any(
        before.stages.get(label) != version_id
        for label, version_id in after.stages.items()
        if label not in (AWSPENDING, AWSPREVIOUS)
    )


def _left_after(before: Marker | None, described: Described) -> tuple[str, ...]:
    """The versions that AWSCURRENT has left; for a new marker, the one that AWSPREVIOUS names."""
    current = described.stages.get(AWSCURRENT)
    if before is None:
        previous = described.stages.get(AWSPREVIOUS)
        return (previous,) if previous not in (None, current) else ()
    was_current = before.stages.get(AWSCURRENT)
    if was_current is None or was_current == current:
        return tuple(before.left)
    left = [version_id for version_id in before.left if version_id not in (current, was_current)]
    return (*left, was_current)[-LEFT_MAX:]


def _step_after(before: Marker | None, described: Described, hint: Hint) -> str | None:
    """The furthest step that was announced of the version that is pending now."""
    pending = described.stages.get(AWSPENDING)
    if pending is None or pending == described.stages.get(AWSCURRENT):
        return None
    hinted = hint.step if hint.version_id in (None, pending) else None
    kept = before.step if before is not None and before.stages.get(AWSPENDING) == pending else None
    known = [step for step in (hinted, kept) if step in STEPS]
    return max(known, key=STEPS.index, default=None)


def hinted_key(hint: Hint) -> str | None:
    """The key that a hint's ARN probably has: a guess, to read the marker before the name is known."""
    arn = hint.secret_id
    if not is_secret_arn(arn):
        return None
    if hint.name is not None:
        return secret_key(arn, hint.name)
    return arn[:-SUFFIX_LENGTH] if arn[-SUFFIX_LENGTH] == "-" else arn


def parameter_changes(
    seen: Mapping[str, Seen],
    listed: Mapping[str, Described],
    absent: Callable[[str], Seen],
    *,
    now_s: float,
    lag_s: float,
) -> Iterator[tuple[Seen, Marker]]:
    """The markers to write, where `listed` has the parameters by their keys.

    A list may be `lag_s` behind, so a marker whose version an event has taken away since is left to
    the next sweep. Where parameters are not listed at all, or not any more, their markers lose their
    version.
    """
    for key, described in listed.items():
        if key not in seen or seen[key].marker is None:
            marker = Marker(key, key, dict(described.stages), reason="sweep: first seen", changed_at_s=now_s)
            yield seen.get(key) or absent(key), marker
    for one in seen.values():
        before = one.marker
        if before is None or is_secret_arn(before.key):
            continue
        if not before.stages and before.changed_at_s > now_s - lag_s:
            continue
        found = listed.get(before.key)
        stages = dict(found.stages) if found is not None else {}
        is_wrong = dict(before.stages) != stages or (before.deleted and found is not None)
        if is_wrong or before.arn != before.key:
            yield (
                one,
                before._replace(
                    arn=before.key, stages=stages, deleted=False, reason="sweep", changed_at_s=now_s
                ),
            )


def was_missed(before: Marker | None, after: Marker) -> bool:
    """Whether an event should have told of this difference: an event takes the version away."""
    was, now = (one.stages.get(AWSCURRENT) if one is not None else None for one in (before, after))
    return was is not None and now is not None and was != now
