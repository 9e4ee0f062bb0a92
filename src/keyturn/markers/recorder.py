"""How a hint becomes a marker: the same way for the listener, `keyturn.announce` and the command line.

DescribeSecret is eventually consistent, so it is asked again in two cases: while it does not show the version
of the hint yet, and when it moves AWSCURRENT back to a version that it has left. Such a move counts only if
the hint names the version, or if a second answer a settle time later agrees. See `reconciler` for one look.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from keyturn.errors import MarkerConflictError
from keyturn.markers.decisions import Hint, ParameterHint, let_go
from keyturn.markers.reconciler import Look, Reconciler, until_written
from keyturn.model.markers import Marker
from keyturn.model.protocols import Catalog, MarkerStore
from keyturn.runtime.host import Host

_SETTLE_SHARES: Final = (1 / 12, 2 / 12, 3 / 12, 6 / 12)


class Outcome(Enum):
    """What became of a hint. DEFERRED: not all that it says is visible yet; the next sweep looks again."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a hint.

    `marker` is the marker as it is now; None if there is none. `looks` counts how often the marker and the
    secret were read.
    """

    outcome: Outcome
    marker: Marker | None
    looks: int = 1


class Recorder:
    """Turns hints into markers. Holds no state: as thread-safe as its arguments.

    Args:
        catalog: describes secrets.
        store: writes markers.
        host: the clock, the pauses and the chance.
        settle_s: for how many seconds DescribeSecret may fail to show what a hint says.
    """

    def __init__(self, catalog: Catalog, store: MarkerStore, host: Host, *, settle_s: float) -> None:
        self._store = store
        self._host = host
        self._settle_s = settle_s
        self._reconciler = Reconciler(catalog, store, host)

    def record(self, hint: Hint) -> Recorded:
        """Bring the marker of the hinted secret into agreement with Secrets Manager.

        Takes at most about `settle_s`, beside the calls. Raises `SecretError` and `MarkerTableError`, but no
        `MarkerConflictError`. The same hint may be recorded again at any time, also after an error.
        """
        delays_s = [0.0, *(self._settle_s * share for share in _SETTLE_SHARES)]
        written = False
        look = first = Look(None, None)
        for number, delay_s in enumerate(delays_s, start=1):
            if delay_s:
                self._host.sleep(delay_s)
            try:
                look = self._reconciler.look(hint, first.move if number == len(delays_s) else None)
            except MarkerConflictError:
                # Others keep writing this marker, each after a look of its own that was later than the hint.
                return Recorded(Outcome.DEFERRED, look.marker, number)
            first = look if number == 1 else first
            written = written or look.written
            if look.settled:
                return Recorded(Outcome.WRITTEN if written else Outcome.UNCHANGED, look.marker, number)
        return Recorded(Outcome.DEFERRED, look.marker, len(delays_s))

    def record_parameter(self, hint: ParameterHint) -> Recorded:
        """Put the event's token into the parameter's marker, which takes its version away.

        A marker that has this token already is not written. Raises `MarkerTableError`.
        """
        try:
            return until_written(lambda: self._record_parameter(hint), self._host)
        except MarkerConflictError:
            return Recorded(Outcome.DEFERRED, None)

    def let_go(self, key: str) -> Recorded:
        """Let the marker of a secret that is no longer watched cover no copy; the secret is not described.

        Raises `MarkerTableError`.
        """
        return until_written(lambda: self._let_go(key), self._host)

    def _let_go(self, key: str) -> Recorded:
        seen = self._store.look(key)
        after = let_go(seen.marker, self._host.wall()) if seen.marker is not None else None
        if after is None:
            return Recorded(Outcome.UNCHANGED, seen.marker)
        self._store.write([(seen, after)])
        return Recorded(Outcome.WRITTEN, after)

    def _record_parameter(self, hint: ParameterHint) -> Recorded:
        seen = self._store.look(hint.key)
        if seen.marker is not None and seen.marker.token == hint.token:
            if seen.untold:
                self._store.tell([seen])
            return Recorded(Outcome.UNCHANGED, seen.marker)
        marker = Marker(
            key=hint.key,
            arn=hint.key,
            stages={},
            deleted=hint.deleted,
            token=hint.token,
            reason=hint.reason,
            changed_at_s=self._host.wall(),
        )
        self._store.write([(seen, marker)])
        return Recorded(Outcome.WRITTEN, marker)
