"""The sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from keyturn.errors import (
    AccessDeniedError,
    MarkerConflictError,
    SecretError,
)
from keyturn.markers.decisions import (
    LIST_LAG_S,
    CurrentMove,
    Hint,
    agrees_with_description,
    marker_after,
    move_of,
    parameter_changes,
    should_have_been_announced,
    was_missed,
)
from keyturn.markers.recorder import Recorder
from keyturn.model.markers import Marker
from keyturn.model.names import is_secret_arn, secret_key
from keyturn.model.protocols import WRITES_MAX, Lease, Listing, Seen
from keyturn.model.versions import Described


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
            if is_secret_arn(marker.key) and not agrees_with_description(marker, listed.get(marker.key))
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
        contradicted: list[tuple[Marker, CurrentMove]] = []
        for marker in doubtful:
            if self.time_is_up():
                return replace(swept, in_time=False)
            try:
                described = self.recorder.find(marker.arn, marker.key)
            except SecretError:
                swept += Swept(failed=1)
                continue
            if not agrees_with_description(marker, described):
                contradicted.append((marker, move_of(marker, described)))
        if contradicted:
            self.recorder.sleep(self.recorder.settle_s)
        for marker, move in contradicted:
            if self.time_is_up():
                return replace(swept, in_time=False)
            swept += self._correct(marker, move)
        return swept

    def _correct(self, marker: Marker, move: CurrentMove) -> Swept:
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
