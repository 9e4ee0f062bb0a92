"""How a hint becomes a marker: one way for the listener, its sweep and `keyturn.announce`.

A hint says that something happened to a secret. What is written is never the hint but what
DescribeSecret says; the marker is read first, and written only if it has not changed since. That
orders the writers. DescribeSecret itself is eventually consistent, so two cases ask it again: a
hinted version that it does not show yet, and a move of AWSCURRENT back to a version that the marker
has left, which counts only if the hint names it or a second answer a settle time later agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple, TypeVar

from keyturn.errors import (
    AccessDeniedError,
    ConfigurationError,
    InvalidSecretIdError,
    MarkerConflictError,
    SecretError,
    SecretNotFoundError,
    UnavailableError,
)
from keyturn.names import SUFFIX_LENGTH, checked_secret_id, is_secret_arn, secret_key
from keyturn.parameter_sweep import parameter_changes, was_missed
from keyturn.protocols import WRITES_MAX, Catalog, Lease, Listing, MarkerStore, Seen
from keyturn.values import AWSCURRENT, AWSPENDING, AWSPREVIOUS, LEFT_MAX, Described, Marker

STEPS: Final = ("createSecret", "setSecret", "testSecret", "finishSecret")
"""The steps of a rotation, in order, by the names that Secrets Manager gives a rotation function."""

LIST_LAG_S: Final = 300.0
"""ListSecrets "might not reflect changes from the last five minutes" (API reference)."""

_SETTLE_SHARES: Final = (1 / 12, 2 / 12, 3 / 12, 6 / 12)
_CONFLICTS_MAX: Final = 6
_BACKOFF_FIRST_S: Final = 0.05

_T = TypeVar("_T")


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


class Move(NamedTuple):
    """AWSCURRENT, from what the marker says in this state (epoch, sequence) to the version in an answer.

    Two answers mean the same only if they would make the same move: if somebody wrote the marker between
    them, the second may still be from before that.
    """

    state: tuple[str, int] | None
    to: str | None


class Outcome(Enum):
    """What became of a hint. DEFERRED: not all it says is visible yet, the sweep will look again."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a hint: the marker as it is now (None: there is none), and how often it was looked."""

    outcome: Outcome
    marker: Marker | None
    looks: int = 1


@dataclass(frozen=True, slots=True)
class Swept:
    """One sweep, in numbers of secrets.

    `first`: new markers. `corrected`: markers that were wrong. `found_by_sweep`: of these, moves that
    a native event should have announced; not zero means that the event path is broken. `unreadable`:
    have no marker, since DescribeSecret is denied. `failed`: could not be looked at. `renewed`: the
    lease now ends later.
    """

    listed: int = 0
    first: int = 0
    corrected: int = 0
    found_by_sweep: int = 0
    unreadable: int = 0
    failed: int = 0
    in_time: bool = True
    renewed: bool = False

    def __add__(self, other: Swept) -> Swept:
        return Swept(
            listed=self.listed + other.listed,
            first=self.first + other.first,
            corrected=self.corrected + other.corrected,
            found_by_sweep=self.found_by_sweep + other.found_by_sweep,
            unreadable=self.unreadable + other.unreadable,
            failed=self.failed + other.failed,
            in_time=self.in_time and other.in_time,
        )


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


# Decisions


def agrees(marker: Marker, described: Described | None) -> bool:
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


def _move(before: Marker | None, described: Described | None) -> Move:
    """What an answer (None: there is no such secret) would do to AWSCURRENT."""
    state = (before.epoch, before.sequence) if before is not None else None
    return Move(state, described.stages.get(AWSCURRENT) if described is not None else None)


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


def _hinted_key(hint: Hint) -> str | None:
    """The key that a hint's ARN probably has: a guess, to read the marker before the name is known."""
    arn = hint.secret_id
    if not is_secret_arn(arn):
        return None
    if hint.name is not None:
        return secret_key(arn, hint.name)
    return arn[:-SUFFIX_LENGTH] if arn[-SUFFIX_LENGTH] == "-" else arn


# Recording


@dataclass(frozen=True, slots=True)
class _Look:
    """One reading of a marker and its secret, the move between them, and what was written of it."""

    before: Marker | None
    marker: Marker | None
    move: Move | None = None
    written: bool = False
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes markers. Holds no state: as thread-safe as what it is given.

    `settle_s`: how long DescribeSecret is given to show what was announced, in seconds. `sleep` waits
    so many seconds, `random` gives a number in [0, 1), `wall` the time in epoch seconds.
    """

    catalog: Catalog
    store: MarkerStore
    settle_s: float
    sleep: Callable[[float], None]
    random: Callable[[], float]
    wall: Callable[[], float]

    def record(self, hint: Hint) -> Recorded:
        """Make a secret's marker say what Secrets Manager says, which takes at most about `settle_s`.

        Raises `SecretError` or `MarkerTableError`; the same hint may then be given again, as it may
        at any time.
        """
        delays_s = [0.0, *(self.settle_s * share for share in _SETTLE_SHARES)]
        written = False
        look = first = _Look(None, None)
        for number, delay_s in enumerate(delays_s, start=1):
            if delay_s:
                self.sleep(delay_s)
            look = self.look_again(hint, first.move if number == len(delays_s) else None)
            first = look if number == 1 else first
            written = written or look.written
            if look.settled:
                return Recorded(Outcome.WRITTEN if written else Outcome.UNCHANGED, look.marker, number)
        return Recorded(Outcome.DEFERRED, look.marker, len(delays_s))

    def record_parameter(self, hint: ParameterHint) -> Recorded:
        """Put the event's token into a parameter's marker; an event that is there already writes nothing."""
        return self._until_written(lambda: self._record_parameter(hint))

    def look_again(self, hint: Hint, seen_before: Move | None) -> _Look:
        """Read marker and secret once and write what is new.

        AWSCURRENT moves back only to the version that the hint names, or when the very same move was
        `seen_before`; else nothing is written.
        """
        return self._until_written(lambda: self._look(hint, seen_before))

    def has_marker(self, hint: Hint) -> bool:
        """Whether the hinted secret has a marker, as far as an ARN tells its key; of a name alone False."""
        key = _hinted_key(hint)
        return key is not None and self.store.look(key).marker is not None

    def find(self, secret_id: str, key: str | None) -> Described | None:
        """The secret of this id, else the one that now has the same name, else None."""
        found = self._describe(secret_id)
        if found is not None or key is None:
            return found
        # Not by the key as a partial ARN: a name that ends like a suffix would be cut.
        renewed = self._describe(key.partition(":secret:")[2])
        return renewed if renewed is not None and secret_key(renewed.arn, renewed.name) == key else None

    def _look(self, hint: Hint, seen_before: Move | None) -> _Look:
        seen, described = self._observe(hint)
        before = seen.marker if seen is not None else None
        if seen is None or described is None:
            return self._bury(hint, seen)
        if before is None and not described.wanted:
            return _Look(None, None)
        move = _move(before, described)
        is_named = hint.stage == AWSCURRENT and hint.version_id == move.to
        if moves_back(before, described) and move != seen_before and not is_named:
            return _Look(before, before, move, settled=False)
        after = marker_after(before, described, hint, self.wall())
        if before is not None and agrees(before, described) and before.step == after.step:
            return _Look(before, before, move, settled=shows(described, hint))
        self.store.write([(seen, after)])
        return _Look(before, after, move, written=True, settled=shows(described, hint))

    def _observe(self, hint: Hint) -> tuple[Seen | None, Described | None]:
        """The marker, and what DescribeSecret said after it was read.

        A key counts only if an answer's Name confirms it, so the first look may be at the wrong one.
        """
        key = _hinted_key(hint)
        for _ in range(3):
            seen = self.store.look(key) if key is not None else None
            described = self.find(hint.secret_id, key)
            if described is None:
                return seen, None
            if key == secret_key(described.arn, described.name):
                return seen, described
            key = secret_key(described.arn, described.name)
        raise UnavailableError(hint.secret_id, "every answer of DescribeSecret names another secret")

    def _bury(self, hint: Hint, seen: Seen | None) -> _Look:
        """Mark a secret that is gone as deleted, if the marker speaks of the very one that was hinted."""
        before = seen.marker if seen is not None else None
        if seen is None or before is None or before.deleted or before.arn != hint.secret_id:
            return _Look(before, before)
        after = before._replace(deleted=True, step=None, reason=hint.reason, changed_at_s=self.wall())
        self.store.write([(seen, after)])
        return _Look(before, after, written=True)

    def _record_parameter(self, hint: ParameterHint) -> Recorded:
        seen = self.store.look(hint.key)
        if seen.marker is not None and seen.marker.token == hint.token:
            return Recorded(Outcome.UNCHANGED, seen.marker)
        marker = Marker(
            key=hint.key,
            arn=hint.key,
            stages={},
            deleted=hint.deleted,
            token=hint.token,
            reason=hint.reason,
            changed_at_s=self.wall(),
        )
        self.store.write([(seen, marker)])
        return Recorded(Outcome.WRITTEN, marker)

    def _describe(self, secret_id: str) -> Described | None:
        try:
            return self.catalog.describe(secret_id)
        except (SecretNotFoundError, InvalidSecretIdError):
            return None

    def _until_written(self, attempt: Callable[[], _T]) -> _T:
        """Start over while somebody else writes first, a bounded number of times."""
        for number in range(_CONFLICTS_MAX):
            try:
                return attempt()
            except MarkerConflictError:
                self.sleep(self.random() * _BACKOFF_FIRST_S * 2**number)
        return attempt()


# The sweep


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Looks at all secrets of the catalog and all markers, and renews the lease.

    A difference is a question, never an answer: a list may be five minutes behind. `time_is_up`
    is asked before each secret; what is left then is left to the next sweep. Without `parameters`
    no marker of a parameter covers a copy.
    """

    recorder: Recorder
    lease: Lease
    time_is_up: Callable[[], bool]
    parameters: Listing | None = None

    def run(self) -> Swept:
        """Sweep once. Renews the lease only if every secret with a marker was looked at.

        Raises `SecretError` when secrets or parameters cannot be listed, `MarkerTableError` when the
        table fails.
        """
        started_s = self.lease.now_s()
        seen = {one.key: one for one in self.lease.scan()}
        listed = {secret_key(one.arn, one.name): one for one in self.recorder.catalog.list()}
        markers = [one.marker for one in seen.values() if one.marker is not None]
        known = {marker.key for marker in markers}
        fresh = [(seen.get(key), one) for key, one in listed.items() if key not in known]
        doubtful = [
            marker
            for marker in markers
            if is_secret_arn(marker.key) and not agrees(marker, listed.get(marker.key))
        ]
        swept = Swept(listed=len(listed)) + self._ask_twice(doubtful) + self._begin(fresh)
        swept += self._mark_parameters(seen)
        if swept.failed or not swept.in_time:
            return swept
        self.lease.renew(started_s - LIST_LAG_S)
        return replace(swept, renewed=True)

    def _ask_twice(self, doubtful: Sequence[Marker]) -> Swept:
        """Correct the markers that two answers, a settle time apart, contradict.

        By then an event that was under way has arrived, and does not count as lost.
        """
        swept = Swept()
        contradicted: list[tuple[Marker, Move]] = []
        for marker in doubtful:
            if self.time_is_up():
                return replace(swept, in_time=False)
            try:
                described = self.recorder.find(marker.arn, marker.key)
            except SecretError:
                swept += Swept(failed=1)
                continue
            if not agrees(marker, described):
                contradicted.append((marker, _move(marker, described)))
        if contradicted:
            self.recorder.sleep(self.recorder.settle_s)
        for marker, move in contradicted:
            if self.time_is_up():
                return replace(swept, in_time=False)
            swept += self._correct(marker, move)
        return swept

    def _correct(self, marker: Marker, move: Move) -> Swept:
        try:
            look = self.recorder.look_again(Hint(marker.arn, reason="sweep"), move)
        except SecretError:
            return Swept(failed=1)
        if not look.settled:
            # If the marker has changed since, somebody else has looked at the secret meanwhile.
            return Swept(failed=int(look.before == marker))
        if not look.written or look.before is None or look.marker is None:
            return Swept()
        return Swept(corrected=1, found_by_sweep=int(should_have_been_announced(look.before, look.marker)))

    def _begin(self, fresh: Sequence[tuple[Seen | None, Described]]) -> Swept:
        """Make the markers of secrets that have none, or a broken one, many in one transaction."""
        swept = Swept()
        for at in range(0, len(fresh), WRITES_MAX):
            if self.time_is_up():
                return replace(swept, in_time=False)
            swept += self._begin_batch(fresh[at : at + WRITES_MAX])
        return swept

    def _begin_batch(self, batch: Sequence[tuple[Seen | None, Described]]) -> Swept:
        swept = Swept()
        changes: list[tuple[Seen, Marker]] = []
        for seen, listed in batch:
            key = secret_key(listed.arn, listed.name)
            hint = Hint(listed.arn, reason="sweep: first seen")
            try:
                described = self.recorder.find(listed.arn, key)
            except AccessDeniedError:
                # Without a marker nobody takes it for covered, so it need not hold up the others.
                swept += Swept(unreadable=1)
            except SecretError:
                swept += Swept(failed=1)
            else:
                if described is None or secret_key(described.arn, described.name) != key:
                    continue
                if not described.wanted:
                    continue
                after = marker_after(None, described, hint, self.recorder.wall())
                changes.append((seen or self.lease.absent(key), after))
        return swept + self._write_first(changes)

    def _write_first(self, changes: Sequence[tuple[Seen, Marker]]) -> Swept:
        try:
            self.recorder.store.write(changes)
        except MarkerConflictError:
            # Somebody announced one of them meanwhile: each by itself, from the start.
            return sum((self._first_alone(marker) for _, marker in changes), start=Swept())
        return Swept(first=len(changes))

    def _first_alone(self, marker: Marker) -> Swept:
        try:
            look = self.recorder.look_again(Hint(marker.arn, reason=marker.reason), None)
        except SecretError:
            return Swept(failed=1)
        return Swept(first=int(look.written), failed=int(not look.settled))

    def _mark_parameters(self, seen: Mapping[str, Seen]) -> Swept:
        """Put the versions of parameters into their markers; where an event came first, leave it so."""
        listed = {one.arn: one for one in self.parameters.list()} if self.parameters is not None else {}
        changes = list(
            parameter_changes(seen, listed, self.lease.absent, now_s=self.recorder.wall(), lag_s=LIST_LAG_S)
        )
        swept = Swept(listed=len(listed))
        for at in range(0, len(changes), WRITES_MAX):
            if self.time_is_up():
                return replace(swept, in_time=False)
            swept += self._write_parameters(changes[at : at + WRITES_MAX])
        return swept

    def _write_parameters(self, changes: Sequence[tuple[Seen, Marker]]) -> Swept:
        try:
            self.recorder.store.write(changes)
        except MarkerConflictError:
            if len(changes) == 1:
                return Swept()
            return sum((self._write_parameters([one]) for one in changes), start=Swept())
        first = sum(seen.marker is None for seen, _ in changes)
        missed = sum(was_missed(seen.marker, after) for seen, after in changes)
        return Swept(first=first, corrected=len(changes) - first, found_by_sweep=missed)
