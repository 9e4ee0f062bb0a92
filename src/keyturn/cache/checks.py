"""Checks of the marker tables: each in a thread of its own, so that a table that hangs holds up no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from keyturn.cache.cache import Cache
from keyturn.cache.flights import Flight, SingleFlight
from keyturn.cache.table_view import TableView
from keyturn.cache.tables import Tables, WatchedTable
from keyturn.cache.waiting import Waiting
from keyturn.metrics.hook import Measures, Metric
from keyturn.model.instant import Clock, Instant

OTHERS_SHARE: Final = 0.75
"""For this share of a caller's wait it waits for tables of other places; the rest is for its own read."""


class Check(NamedTuple):
    """A check that this caller has begun."""

    table: WatchedTable
    flight: Flight[bool]


class Checks:
    """Begins checks, at most one at a time for each table, and waits for them. Threads may share it.

    Args:
        caches: whose keys the tables are asked about.
        tables: the tables.
    """

    def __init__(
        self,
        caches: Sequence[Cache],
        tables: Tables,
        *,
        clock: Clock,
        metrics: Measures,
    ) -> None:
        self._caches = caches
        self._tables = tables
        self._clock = clock
        self._metrics = metrics
        self.flights: SingleFlight[WatchedTable, bool] = SingleFlight("keyturn-check")

    def after_fork(self) -> None:
        """Forget what was under way: those threads are the parent's."""
        self.flights.after_fork()
        self._tables.after_fork()

    def due(self, keys: Iterable[str]) -> list[WatchedTable]:
        """Return the tables to ask: those that cover a key held, and do not pause after a failure."""
        now, tables = self._now(), self._tables.holding(keys)
        for table in tables:
            table.watch.note_call(now)
        return [table for table in tables if not table.watch.pauses(now)]

    def begin(
        self, tables: Sequence[WatchedTable], age_s: float, opens: Callable[[Instant], None] | None
    ) -> list[Check]:
        """Begin a check of each of these tables whose last check is so old. Return those that were begun.

        All of them count from the same moment, so that they are due together the next time. When a check
        ends, it calls `opens` with that moment, to open the next window.
        """
        now = self._now()
        begun = (self._begun(table, now, age_s, opens) for table in tables)
        return [check for check in begun if check is not None]

    def wait(
        self, checks: Sequence[Check], waiting: Waiting, moment_s: float, key: str | None = None
    ) -> bool:
        """Wait for these as long as the caller may. Return False if one of them has not ended.

        `key`: the marker key that the caller asks about. The tables of other places are waited for during a
        share of `moment_s`. A table that does not answer in time rests from now on.
        """
        own, brief = self._tables.covering(key or ""), waiting.within(OTHERS_SHARE * moment_s)
        patience_s = {check: self._left_s(check, own, waiting, brief) for check in checks}
        are_over = True
        for check in checks:
            if check.flight.wait(self._left_s(check, own, waiting, brief)):
                check.flight.outcome()
            else:
                check.table.service.waited_in_vain(patience_s[check])
                are_over = False
        return are_over

    @staticmethod
    def _left_s(check: Check, own: WatchedTable | None, waiting: Waiting, brief: Waiting) -> float:
        return (waiting if check.table is own else brief).left_s(has_copy=True)

    def _begun(
        self, table: WatchedTable, now: Instant, age_s: float, opens: Callable[[Instant], None] | None
    ) -> Check | None:
        """Begin a check in a thread of its own; None if another one is under way, or none may be made."""
        if not table.service.may_probe(now):
            return None
        again_after_s = max(age_s, table.service.patience_s(now))
        job = partial(self._check, table, now, age_s, opens)
        flight, is_mine = self.flights.join_or_begin(table, job, now.monotonic_s, again_after_s)
        return Check(table, flight) if is_mine else None

    def _check(
        self, table: WatchedTable, begun: Instant, age_s: float, opens: Callable[[Instant], None] | None
    ) -> bool:
        if opens is not None:
            # Unless another was faster. An open window is no sign of one: callers open it if the table rests.
            if not is_older(table.begun, self._now(), age_s):
                return False
            table.begun = begun
        token, answered = table.service.begin(), False
        try:
            self._look(table, begun)
            answered = table.watch.view.trouble is None
        finally:
            table.service.end(token, answered=answered)
        if opens is not None:
            opens(begun)
        return True

    def _look(self, table: WatchedTable, begun: Instant) -> None:
        """Read what is to be read of a table."""
        held = (pair for cache in self._caches for pair in cache.keys().items())
        keys = {key: arn for key, arn in held if self._tables.covering(key) is table}
        if not keys:
            return
        before = table.watch.view
        if table.watch.check(keys, begun):
            self._measure(table.watch.view, begun)
        for cache in self._caches:
            cache.judge_copies(table, before)

    def _measure(self, view: TableView, begun: Instant) -> None:
        """Record the check that has left this view."""
        self._metrics.record(Metric.CHECK_S, self._clock.monotonic() - begun.monotonic_s, error=view.error)
        swept_age_s = view.assurance.head.swept_age_s if view.assurance is not None else None
        if view.trouble is not None:
            self._metrics.record(Metric.CHECKS_FAILED, 1, error=view.error)
        elif swept_age_s is not None:
            self._metrics.record(Metric.SWEPT_AGE_S, swept_age_s)

    def _now(self) -> Instant:
        return Instant.now(self._clock)


def is_older(since: Instant | None, now: Instant, age_s: float) -> bool:
    """Return True if that was at least so many seconds ago, or never."""
    return since is None or since.age_s(now) >= age_s
