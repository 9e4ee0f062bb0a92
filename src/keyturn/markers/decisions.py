"""What becomes of a marker, by a hint and an answer of DescribeSecret: decisions without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from keyturn.errors import ConfigurationError
from keyturn.model.markers import Marker, left_after
from keyturn.model.names import SUFFIX_LENGTH, checked_secret_id, is_secret_arn, secret_key
from keyturn.model.protocols import Seen
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Described

STEPS: Final = ("createSecret", "setSecret", "testSecret", "finishSecret")
"""The steps of a rotation in their order, by the names that Secrets Manager gives a rotation function."""

LIST_LAG_S: Final = 300.0
"""The answer of ListSecrets "might not reflect changes from the last five minutes" (API reference)."""


UNWATCHED: Final = "outside of the watched prefixes"
"""The reason of the last write of a marker whose secret the listener may not describe any more."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Something happened to a secret, perhaps to this version under this label.

    `secret_id` is a name, a partial ARN or a full ARN, as the event had it. `name` is the friendly name, if
    the event had it too. `step` is the rotation step that has just ended. `reason` says in a few words what
    caused the hint; the marker shows it.
    """

    secret_id: str
    name: str | None = None
    version_id: str | None = None
    stage: str | None = None
    step: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ParameterHint:
    """Something happened to a parameter, whose marker has this `key`.

    `token` is the event's id, because such an event has no version. `deleted` says that the parameter was
    deleted. `reason` is as in `Hint`.
    """

    key: str
    token: str
    deleted: bool = False
    reason: str = ""


class CurrentMove(NamedTuple):
    """A move of AWSCURRENT in a marker, to the version that an answer of DescribeSecret shows.

    `state` is the (epoch, sequence) of the marker before the move; None if there was no marker. `to` is the
    version id; None if the answer shows none. Two answers confirm each other only if their moves are equal:
    if another writer wrote the marker between the two answers, the second may be from before that write.
    """

    state: tuple[str, int] | None
    to: str | None


def announcement(secret_id: str, *, version_id: str | None = None, step: str | None = None) -> Hint:
    """Make the hint of a rotation function whose `step` has just ended for `version_id`.

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
    """Return True if a marker agrees with the description of its secret.

    None as the description means that there is no such secret.
    """
    if described is None:
        return marker.deleted
    same_secret = marker.arn == described.arn and marker.deleted == described.deleted
    return same_secret and dict(marker.stages) == dict(described.stages)


def marker_after(before: Marker | None, described: Described, hint: Hint, now_s: float) -> Marker:
    """Make the marker that follows `before` when Secrets Manager answers `described`.

    `before` is None if there is no marker yet. `now_s` is the moment of the write, in epoch seconds.
    """
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


def corrected(before: Marker, described: Described, hint: Hint, now_s: float) -> Marker:
    """Make the marker that follows `before` by an answer about the secret that `before` names.

    If that secret has another key, no secret has this one, so the marker is one of a secret that is gone.
    """
    if is_misplaced(before, described):
        return before._replace(deleted=True, step=None, reason=hint.reason, changed_at_s=now_s)
    return marker_after(before, described, hint, now_s)


def is_misplaced(marker: Marker, described: Described | None) -> bool:
    """Return True for a marker under a key that is not its secret's: only a forgery is."""
    return described is not None and secret_key(described.arn, described.name) != marker.key


def let_go(before: Marker, now_s: float) -> Marker | None:
    """Make the marker of a secret that is no longer watched: without labels, so that it covers no copy.

    Returns None if `before` has no labels. `now_s` is the moment of the write, in epoch seconds.
    """
    if not before.stages:
        return None
    return before._replace(stages={}, step=None, reason=UNWATCHED, changed_at_s=now_s)


def moves_back(before: Marker | None, described: Described) -> bool:
    """Return True if AWSCURRENT would return to a version that it has left.

    Either somebody rolled back, or the answer is from before the move, since DescribeSecret is eventually
    consistent.
    """
    if before is None or before.arn != described.arn:
        return False
    current = described.stages.get(AWSCURRENT)
    return current != before.stages.get(AWSCURRENT) and current in before.left


def move_of(before: Marker | None, described: Described | None) -> CurrentMove:
    """Return the move of AWSCURRENT that an answer asks for. None means that there is no such secret."""
    state = (before.epoch, before.sequence) if before is not None else None
    return CurrentMove(state, described.stages.get(AWSCURRENT) if described is not None else None)


def shows(described: Described, hint: Hint) -> bool:
    """Return True if the answer shows what the hint says.

    A hint without a version or without a label says nothing that an answer could show.
    """
    if hint.version_id is None or hint.stage is None or described.deleted:
        return True
    if hint.stage == AWSPENDING:
        # The event may be late: the pending version may have become current long ago.
        return hint.version_id in described.stages.values()
    return described.stages.get(hint.stage) == hint.version_id


def should_have_been_announced(before: Marker, after: Marker) -> bool:
    """Return True if Secrets Manager sends an event about this change.

    It does when a label other than AWSPENDING and AWSPREVIOUS got another version. Nobody listened while the
    secret was not watched.
    """
    is_known = before.arn == after.arn and before.reason != UNWATCHED
    return is_known and any(
        before.stages.get(label) != version_id
        for label, version_id in after.stages.items()
        if label not in (AWSPENDING, AWSPREVIOUS)
    )


def _left_after(before: Marker | None, described: Described) -> tuple[str, ...]:
    """Return the versions that AWSCURRENT has left, oldest first.

    A new marker knows only of the version under AWSPREVIOUS.
    """
    current = described.stages.get(AWSCURRENT)
    if before is None:
        previous = described.stages.get(AWSPREVIOUS)
        return (previous,) if previous not in (None, current) else ()
    return left_after(before.left, before.stages.get(AWSCURRENT), current)


def _step_after(before: Marker | None, described: Described, hint: Hint) -> str | None:
    """Return the last step that was announced of the version that is pending now; None if there is none."""
    pending = described.stages.get(AWSPENDING)
    if pending is None or pending == described.stages.get(AWSCURRENT):
        return None
    hinted = hint.step if hint.version_id in (None, pending) else None
    kept = before.step if before is not None and before.stages.get(AWSPENDING) == pending else None
    known = [step for step in (hinted, kept) if step in STEPS]
    return max(known, key=STEPS.index, default=None)


def hinted_key(hint: Hint) -> str | None:
    """Guess the marker key from the ARN of a hint; None if the hint has a name alone, or no secret's ARN.

    The guess allows to read the marker before an answer of DescribeSecret tells the secret's name.
    """
    arn = hint.secret_id
    if not is_secret_arn(arn) or not arn.isascii():
        # Of other characters 2048 do not fit into a key of DynamoDB, which has 2048 bytes.
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
    """Yield the markers to write after a list of parameters, each with what was read under its key.

    A list may be `lag_s` seconds old. So the sweep leaves a marker alone from which an event has taken the
    version away within that time; the next sweep sees to it. A parameter that is not listed loses the version
    in its marker.

    Args:
        seen: what was read from the table, by key.
        listed: the parameters by their keys.
        absent: returns what a read of a key without an item would return.
        now_s: the moment of the write, in epoch seconds.
        lag_s: how old the list may be, in seconds.
    """
    for key, described in listed.items():
        if key not in seen or seen[key].marker is None:
            marker = Marker(key, key, dict(described.stages), reason="sweep: first seen", changed_at_s=now_s)
            yield seen.get(key) or absent(key), marker
    for found in seen.values():
        before = found.marker
        if before is None or is_secret_arn(before.key):
            continue
        if not before.stages and before.changed_at_s > now_s - lag_s:
            continue
        latest = listed.get(before.key)
        stages = dict(latest.stages) if latest is not None else {}
        is_wrong = dict(before.stages) != stages or (before.deleted and latest is not None)
        if is_wrong or before.arn != before.key:
            after = before._replace(
                arn=before.key, stages=stages, deleted=False, reason="sweep", changed_at_s=now_s
            )
            yield found, after


def was_missed(before: Marker | None, after: Marker) -> bool:
    """Return True if an event about a parameter was lost.

    An event takes the version out of the marker, so a marker that changes from one version to another was
    reached by no event.
    """
    was, now = (marker.stages.get(AWSCURRENT) if marker is not None else None for marker in (before, after))
    return was is not None and now is not None and was != now
