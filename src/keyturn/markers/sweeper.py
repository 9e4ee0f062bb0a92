"""The sweep: compares all secrets with all markers, corrects the markers, and renews the lease.

A list of secrets may be five minutes old. So where the list and a marker differ, DescribeSecret decides. A
marker that an answer would take back, to a version that AWSCURRENT has left or to no secret at all, is
corrected only by two answers, a settle time apart. Corrections are written many at a time, each on the
condition that its marker is still as it was scanned, before the secret was described.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from keyturn.errors import AccessDeniedError, MarkerConflictError, SecretError
from keyturn.markers.decisions import (
    LIST_LAG_S,
    Hint,
    agrees_with_description,
    corrected,
    is_misplaced,
    let_go,
    marker_after,
    move_of,
    moves_back,
    parameter_changes,
    should_have_been_announced,
    was_missed,
)
from keyturn.markers.reconciler import Reconciler, find_secret
from keyturn.model.markers import Marker
from keyturn.model.names import is_secret_arn, name_in, secret_key
from keyturn.model.protocols import WRITES_MAX, Catalog, Listing, Seen, SweptTable
from keyturn.model.versions import Described
from keyturn.runtime.host import Host

Change: TypeAlias = tuple[Seen, Marker]
"""A marker to write, with what was read under its key."""


_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of one sweep, in numbers of secrets and parameters.

    `listed`: how many there are. `first`: new markers. `corrected`: markers that were wrong.
    `found_by_sweep`: how many of the corrected ones an event should have announced; above 0 means that events
    are lost. `unreadable`: secrets that have no marker because DescribeSecret is denied. `failed`: secrets
    that could not be described. `told`: markers of which the sweep told the head, since their writer had not.
    `in_time`: whether the sweep looked at everything before the time was up. `renewed`: whether the lease
    ends later now.
    """

    listed: int = 0
    first: int = 0
    corrected: int = 0
    found_by_sweep: int = 0
    unreadable: int = 0
    failed: int = 0
    told: int = 0
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
            told=self.told + other.told,
            in_time=self.in_time and other.in_time,
        )


class Parallel(Protocol):
    """Calls `work` for each item, perhaps several at a time, and returns the results in the items' order."""

    def __call__(self, work: Callable[[_T], _R], items: Sequence[_T]) -> Iterable[_R]: ...


def in_turn(work: Callable[[_T], _R], items: Sequence[_T]) -> Iterable[_R]:
    """Call `work` for one item after the other: the simplest `Parallel`."""
    return [work(item) for item in items]


class Contradicted(NamedTuple):
    """A marker as it was scanned, and an answer of DescribeSecret that contradicts it (None: no secret)."""

    seen: Seen
    marker: Marker
    described: Described | None

    @property
    def needs_second_answer(self) -> bool:
        """True if the answer may be from before the marker: DescribeSecret is eventually consistent."""
        if self.described is None:
            return True
        return moves_back(self.marker, self.described) and not is_misplaced(self.marker, self.described)


class Fresh(NamedTuple):
    """A listed secret without a usable marker. `seen` is the broken item under its key, or None."""

    key: str
    listed: Described
    seen: Seen | None


class Sweeper:
    """Sweeps the marker table. Holds no state: as thread-safe as its arguments.

    Args:
        catalog: lists and describes secrets.
        table: the marker table.
        host: the clock, the pauses and the chance.
        settle_s: the seconds between the two answers that correct a marker.
        parameters: lists parameters; without it the markers of parameters lose their versions, so that they
            cover no copy.
        parallel: asks about several secrets at a time; by default about one after the other.
        watches: whether a secret of this name is watched. The marker of any other is not compared, since this
            role may be unable to describe the secret: it loses its labels, so that it covers no copy.
    """

    def __init__(
        self,
        catalog: Catalog,
        table: SweptTable,
        host: Host,
        *,
        settle_s: float,
        parameters: Listing | None = None,
        parallel: Parallel = in_turn,
        watches: Callable[[str], bool] = lambda _name: True,
    ) -> None:
        self._catalog = catalog
        self._table = table
        self._host = host
        self._settle_s = settle_s
        self._parameters = parameters
        self._parallel = parallel
        self._watches = watches
        self._reconciler = Reconciler(catalog, table, host)

    def run(self, time_is_up: Callable[[], bool]) -> Swept:
        """Sweep once. The lease is renewed only if every secret with a marker was looked at.

        `time_is_up` is called before each secret. Once it returns True the sweep stops, and the next sweep
        does the rest. Raises `SecretError` if secrets or parameters cannot be listed (`ConfigurationError` if
        the catalog's prefixes or tag are refused), and `MarkerTableError` if the table fails.
        """
        started_s = self._table.now_s()
        seen = {found.key: found for found in self._table.scan()}
        listed = {secret_key(secret.arn, secret.name): secret for secret in self._catalog.list()}
        markers = [found.marker for found in seen.values() if found.marker is not None]
        known = {marker.key for marker in markers}
        fresh = [Fresh(key, secret, seen.get(key)) for key, secret in listed.items() if key not in known]
        doubtful = [
            (seen[marker.key], marker)
            for marker in markers
            if is_secret_arn(marker.key)
            and self._watches(name_in(marker.key))
            and not agrees_with_description(marker, listed.get(marker.key))
        ]
        swept = Swept(listed=len(listed))
        swept += self._correct_all(doubtful, time_is_up)
        swept += self._begin(fresh, time_is_up)
        swept += self._let_go(seen.values(), time_is_up)
        swept += self._mark_parameters(seen, time_is_up)
        # Before the lease says that readers were told of all that is in the markers.
        swept += self._tell([found for found in seen.values() if found.untold])
        if swept.failed or not swept.in_time:
            return swept
        self._table.renew(started_s - LIST_LAG_S)
        return replace(swept, renewed=True)

    def _tell(self, untold: Sequence[Seen]) -> Swept:
        """Tell the head of markers whose writer may have been killed before it did."""
        for at in range(0, len(untold), WRITES_MAX):
            self._table.tell(untold[at : at + WRITES_MAX])
        return Swept(told=len(untold))

    # Markers that differ from the list

    def _correct_all(self, doubtful: Sequence[Change], time_is_up: Callable[[], bool]) -> Swept:
        """Correct the markers that DescribeSecret contradicts, after a settle time.

        An event that was under way has arrived by then: the marker has changed since the scan, so it is not
        written over, and the event does not count as lost. A marker whose AWSCURRENT would go back, or whose
        secret seems to be gone, is corrected only if a second answer says the same.
        """
        asked = list(self._parallel(lambda one: self._question(*one, time_is_up), doubtful))
        swept = sum((one for one in asked if isinstance(one, Swept)), start=Swept())
        found = [one for one in asked if isinstance(one, Contradicted)]
        if found:
            self._host.sleep(self._settle_s)
        plain = [one for one in found if not one.needs_second_answer]
        swept += _in_batches(plain, self._correct_many, time_is_up)
        doubted = [one for one in found if one.needs_second_answer]
        return swept + _in_batches(doubted, lambda some: self._correct(some[0]), time_is_up, size=1)

    def _question(self, seen: Seen, marker: Marker, time_is_up: Callable[[], bool]) -> Contradicted | Swept:
        """Ask DescribeSecret about a marker that differs from the list."""
        if time_is_up():
            return Swept(in_time=False)
        try:
            described = find_secret(self._catalog, marker.arn, marker.key)
            if is_misplaced(marker, described):
                described = find_secret(self._catalog, name_in(marker.key), None) or described
        except SecretError:
            return Swept(failed=1)
        if agrees_with_description(marker, described) and not is_misplaced(marker, described):
            return Swept()
        return Contradicted(seen, marker, described)

    def _correct_many(self, found: Sequence[Contradicted]) -> Swept:
        """Write what the one answer says, all together, if no marker has changed since the scan."""
        now_s = self._host.wall()
        changes = [
            (one.seen, corrected(one.marker, one.described, Hint(one.marker.arn, reason="sweep"), now_s))
            for one in found
            if one.described is not None
        ]
        try:
            self._table.write(changes)
        except MarkerConflictError:
            return sum((self._correct(one) for one in found), start=Swept())
        lost = sum(
            should_have_been_announced(seen.marker, after)
            for seen, after in changes
            if seen.marker is not None
        )
        return Swept(corrected=len(changes), found_by_sweep=lost)

    def _correct(self, found: Contradicted) -> Swept:
        """Ask about one secret again, and write what the second answer says."""
        marker = found.marker
        try:
            look = self._reconciler.look(Hint(marker.arn, reason="sweep"), move_of(marker, found.described))
        except SecretError:
            return Swept(failed=1)
        if not look.settled:
            # If the marker has changed since the scan, another writer has looked at the secret meanwhile.
            return Swept(failed=int(look.before == marker))
        if not look.written or look.before is None or look.marker is None:
            return Swept()
        return Swept(corrected=1, found_by_sweep=int(should_have_been_announced(look.before, look.marker)))

    # Secrets without a marker

    def _begin(self, fresh: Sequence[Fresh], time_is_up: Callable[[], bool]) -> Swept:
        """Make the markers of secrets that have no usable one, many in one write."""
        return _in_batches(fresh, self._begin_batch, time_is_up)

    def _begin_batch(self, batch: Sequence[Fresh]) -> Swept:
        first = list(self._parallel(self._first, batch))
        swept = sum((one for one in first if isinstance(one, Swept)), start=Swept())
        return swept + self._write_first([one for one in first if not isinstance(one, Swept)])

    def _first(self, fresh: Fresh) -> Change | Swept:
        """Return the first marker of a secret, or what the sweep counts instead."""
        key, listed, seen = fresh
        try:
            described = find_secret(self._catalog, listed.arn, key)
        except AccessDeniedError:
            # A secret without a marker is never covered, so the lease of the others can be renewed.
            return Swept(unreadable=1)
        except SecretError:
            return Swept(failed=1)
        if described is None or secret_key(described.arn, described.name) != key or not described.wanted:
            return Swept()
        hint = Hint(listed.arn, reason="sweep: first seen")
        return seen or self._table.absent(key), marker_after(None, described, hint, self._host.wall())

    def _write_first(self, changes: Sequence[Change]) -> Swept:
        try:
            self._table.write(changes)
        except MarkerConflictError:
            # Another writer has written one of the markers meanwhile, so each secret is looked at by itself.
            return sum((self._first_alone(marker) for _, marker in changes), start=Swept())
        return Swept(first=len(changes))

    def _first_alone(self, marker: Marker) -> Swept:
        try:
            look = self._reconciler.look(Hint(marker.arn, reason=marker.reason))
        except SecretError:
            return Swept(failed=1)
        return Swept(first=int(look.written), failed=int(not look.settled))

    # Secrets that are not watched any more

    def _let_go(self, seen: Iterable[Seen], time_is_up: Callable[[], bool]) -> Swept:
        """Take the labels from the markers of secrets that are not watched."""
        now_s = self._host.wall()
        changes = [
            (found, after)
            for found in seen
            if found.marker is not None
            and is_secret_arn(found.key)
            and not self._watches(name_in(found.key))
            and (after := let_go(found.marker, now_s)) is not None
        ]
        return _in_batches(changes, self._write_let_go, time_is_up)

    def _write_let_go(self, changes: Sequence[Change]) -> Swept:
        try:
            self._table.write(changes)
        except MarkerConflictError:
            # Whoever wrote one of them meanwhile has announced its secret: the next sweep lets go of it.
            if len(changes) == 1:
                return Swept(failed=1)
            return sum((self._write_let_go([change]) for change in changes), start=Swept())
        return Swept(corrected=len(changes))

    # Parameters

    def _mark_parameters(self, seen: Mapping[str, Seen], time_is_up: Callable[[], bool]) -> Swept:
        """Put the versions of parameters into their markers. A marker that an event writes is kept."""
        listing = self._parameters.list() if self._parameters is not None else ()
        listed = {parameter.arn: parameter for parameter in listing}
        now_s = self._host.wall()
        changes = list(parameter_changes(seen, listed, self._table.absent, now_s=now_s, lag_s=LIST_LAG_S))
        return Swept(listed=len(listed)) + _in_batches(changes, self._write_parameters, time_is_up)

    def _write_parameters(self, changes: Sequence[Change]) -> Swept:
        try:
            self._table.write(changes)
        except MarkerConflictError:
            if len(changes) == 1:
                return Swept()
            return sum((self._write_parameters([change]) for change in changes), start=Swept())
        first = sum(seen.marker is None for seen, _ in changes)
        missed = sum(was_missed(seen.marker, after) for seen, after in changes)
        return Swept(first=first, corrected=len(changes) - first, found_by_sweep=missed)


def _in_batches(
    items: Sequence[_T],
    write: Callable[[Sequence[_T]], Swept],
    time_is_up: Callable[[], bool],
    size: int = WRITES_MAX,
) -> Swept:
    """Write the items, so many at a time, until the time is up. Return what all writes count together."""
    swept = Swept()
    for at in range(0, len(items), size):
        if time_is_up():
            return replace(swept, in_time=False)
        swept += write(items[at : at + size])
    return swept
