"""How a hint becomes a marker: one way for the listener, its sweep and `keyturn.announce`.

A hint says that something happened to a secret. What is written is never the hint but what
DescribeSecret says; the marker is read first, and written only if it has not changed since. That
orders the writers. DescribeSecret itself is eventually consistent, so two cases ask it again: a
hinted version that it does not show yet, and a move of AWSCURRENT back to a version that the marker
has left, which counts only if the hint names it or a second answer a settle time later agrees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from keyturn.errors import (
    InvalidSecretIdError,
    MarkerConflictError,
    SecretNotFoundError,
    UnavailableError,
)
from keyturn.markers.decisions import (
    CurrentMove,
    Hint,
    ParameterHint,
    agrees_with_description,
    hinted_key,
    marker_after,
    move_of,
    moves_back,
    shows,
)
from keyturn.model.markers import Marker
from keyturn.model.names import secret_key
from keyturn.model.protocols import Catalog, MarkerStore, Seen
from keyturn.model.versions import AWSCURRENT, Described

_SETTLE_SHARES: Final = (1 / 12, 2 / 12, 3 / 12, 6 / 12)
_CONFLICTS_MAX: Final = 6
_BACKOFF_FIRST_S: Final = 0.05

_T = TypeVar("_T")


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


# Decisions


# Recording


@dataclass(frozen=True, slots=True)
class _Look:
    """One reading of a marker and its secret, the move between them, and what was written of it."""

    before: Marker | None
    marker: Marker | None
    move: CurrentMove | None = None
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

    def look_again(self, hint: Hint, seen_before: CurrentMove | None) -> _Look:
        """Read marker and secret once and write what is new.

        AWSCURRENT moves back only to the version that the hint names, or when the very same move was
        `seen_before`; else nothing is written.
        """
        return self._until_written(lambda: self._look(hint, seen_before))

    def has_marker(self, hint: Hint) -> bool:
        """Whether the hinted secret has a marker, as far as an ARN tells its key; of a name alone False."""
        key = hinted_key(hint)
        return key is not None and self.store.look(key).marker is not None

    def find(self, secret_id: str, key: str | None) -> Described | None:
        """The secret of this id, else the one that now has the same name, else None."""
        found = self._describe(secret_id)
        if found is not None or key is None:
            return found
        # Not by the key as a partial ARN: a name that ends like a suffix would be cut.
        renewed = self._describe(key.partition(":secret:")[2])
        return renewed if renewed is not None and secret_key(renewed.arn, renewed.name) == key else None

    def _look(self, hint: Hint, seen_before: CurrentMove | None) -> _Look:
        seen, described = self._observe(hint)
        before = seen.marker if seen is not None else None
        if seen is None or described is None:
            return self._bury(hint, seen)
        if before is None and not described.wanted:
            return _Look(None, None)
        move = move_of(before, described)
        is_named = hint.stage == AWSCURRENT and hint.version_id == move.to
        if moves_back(before, described) and move != seen_before and not is_named:
            return _Look(before, before, move, settled=False)
        after = marker_after(before, described, hint, self.wall())
        if before is not None and agrees_with_description(before, described) and before.step == after.step:
            return _Look(before, before, move, settled=shows(described, hint))
        self.store.write([(seen, after)])
        return _Look(before, after, move, written=True, settled=shows(described, hint))

    def _observe(self, hint: Hint) -> tuple[Seen | None, Described | None]:
        """The marker, and what DescribeSecret said after it was read.

        A key counts only if an answer's Name confirms it, so the first look may be at the wrong one.
        """
        key = hinted_key(hint)
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
