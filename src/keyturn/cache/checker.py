"""When the marker tables are checked, and who waits for that: one window for all that a process holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeVar

from keyturn.cache.cache import Cache
from keyturn.cache.checks import Check, Checks, is_older
from keyturn.cache.flights import SingleFlight
from keyturn.cache.limits import Limits
from keyturn.cache.service import Service
from keyturn.cache.tables import Tables, WatchedTable
from keyturn.cache.waiting import Waiting
from keyturn.metrics.hook import SILENT, Measures
from keyturn.model.instant import Clock, Instant
from keyturn.runtime.locks import new_lock
from keyturn.runtime.logs import about, log
from keyturn.runtime.threads import is_held_here

if TYPE_CHECKING:
    from keyturn.cache.status import CacheStatus, ReportStatus

_T = TypeVar("_T")


class HoldingsReporter(Protocol):
    """Tells the convergence table what this process holds. Nothing of it is raised."""

    def reset(self) -> None:
        """Start to report under a new environment id."""
        ...

    def is_due(self) -> bool:
        """Return True if what is held has changed, or the last report is half over."""
        ...

    def report_if_due(self) -> bool:
        """Report if that is due. Return True if it was."""
        ...

    def leave(self) -> None:
        """Say that this environment is over."""
        ...

    def status(self, now: Instant) -> ReportStatus: ...


class Checker:
    """Checks each table at most once per window, in one thread at a time; others go on with what is known.

    Checks and reports are carried out by threads of their own: a caller waits for them a moment only. Each
    check that ends opens the window anew, so what one table tells is followed whether others answer or not.

    Args:
        caches: first that of secrets, then those of parameters.
        tables: the marker tables.
        window_s: how long a check lets the hit path serve. The inline cache checks when it ends; with a
            background thread it is longer than that thread's interval.
        reporter: tells the convergence table what is held, or None.
    """

    def __init__(
        self,
        caches: Sequence[Cache],
        tables: Tables,
        *,
        limits: Limits,
        clock: Clock,
        window_s: float,
        metrics: Measures = SILENT,
        reporter: HoldingsReporter | None = None,
    ) -> None:
        self.caches = caches
        self._tables = tables
        self._reporter = reporter
        self._has_looked = False
        self._clock = clock
        self._limits = limits
        self._window_s = window_s
        self._metrics = metrics
        self.checks = Checks(caches, tables, clock=clock, metrics=metrics)
        self.flights: SingleFlight[str, bool] = SingleFlight("keyturn-report")
        self.after_fork()

    def after_fork(self) -> None:
        """Start anew in a forked child: new locks, no check under way, every window closed."""
        self._checking = new_lock()
        self._owned = threading.Condition(self._checking)
        self._checked: Instant | None = None
        self.flights.after_fork()
        self.checks.after_fork()
        for cache in self.caches:
            cache.after_fork()
        if self._reporter is not None:
            self._reporter.reset()

    def forget(self) -> None:
        """Drop every value, marker and instant, as before the first use."""
        for cache in self.caches:
            cache.forget()
        self._tables.forget()
        if self._reporter is not None:
            self._reporter.reset()
        self._has_looked, self._checked = False, None

    def waiting(self) -> Waiting:
        """Return the patience of one call that begins now."""
        limits = self._limits
        return Waiting(self._clock, self._clock.monotonic(), limits.refresh_wait_s, limits.cold_wait_s)

    def waiting_for_a_login(self, within_s: float | None) -> Waiting:
        """Return the patience of a caller whose copy was refused, within so many seconds if given."""
        limits = self._limits
        longest_s = limits.cold_wait_s if within_s is None else min(within_s, limits.cold_wait_s)
        return Waiting(self._clock, self._clock.monotonic(), longest_s, longest_s, is_needed=True)

    # Checking

    def check_if_due(self, waiting: Waiting | None = None, key: str | None = None) -> None:
        """Check the tables if the window has ended, unless the background thread does."""
        self.check_if_older(self._window_s, waiting or self.waiting(), key)

    def check_if_older(self, age_s: float, waiting: Waiting, key: str | None) -> None:
        """Check the tables if the last check is that old, in threads of their own; wait for them a moment.

        `key`: the marker key that the caller asks about: its table is waited for as long as the caller may.
        """
        if not self._is_older(age_s) or self._is_inside_a_call():
            return
        due = self._due()
        if not due:
            self._open_if_older(age_s)
            return
        if self.caches[0].background.is_at_work() and not waiting.is_needed:
            return
        checks = [one for one in self._begin_checks(due, age_s) if one.table.service.rest is None]
        if not self.checks.wait(checks, waiting, self._limits.refresh_wait_s, key):
            self._open_if_older(age_s)

    def check_ahead(self, go_on: Callable[[], bool] = lambda: True) -> None:
        """Check and refresh for the callers, from the background thread; `go_on` says False to stop.

        What the check finds to have moved is refreshed before the next window opens, so that callers
        go on hitting what is known until the answer is there, and no longer than the present window.
        What would leave the hit path at the next check is refreshed after. All of it takes one interval at
        most, so that many copies that are due hold up no check: the next call goes on with them.
        """
        checked, begun = self._checked, self._now()
        due = self._due()
        if due:
            checks = self._begin_checks(due, 0.0, opens=False)
            answering = [one for one in checks if one.table.service.rest is None]
            # Nobody waits for a table that rests, unless there is no other.
            self.checks.wait(answering or checks, self.waiting(), self._limits.refresh_wait_s)
        looked = self._now()

        def is_in_time() -> bool:
            return go_on() and looked.age_s(self._now()) < self._limits.check_interval_s

        self._refresh_due(0.0, is_in_time)
        with self._checking:
            # Unless a caller found the window at its end meanwhile, and has checked.
            if self._checked is checked:
                self._open(begun)
        self._refresh_due(self._window_s + self._limits.check_interval_s, is_in_time)
        self._report_within(self._limits.refresh_wait_s)
        self._metrics.deliver()

    def is_check_due(self) -> bool:
        """Return True if a caller would wait for a check now; else the window is open. Makes no request."""
        if not self._is_older(self._window_s) or self._is_inside_a_call():
            return False
        now = self._now()
        if any(table.service.may_probe(now) for table in self._due()):
            return not self.caches[0].background.is_at_work()
        self._open_if_older(self._window_s)
        return False

    def _is_inside_a_call(self) -> bool:
        """Return True in a signal handler in the middle of a call: it must wait for no other thread."""
        return is_held_here(self._owned) or any(cache.copies.is_locked_here() for cache in self.caches)

    def _due(self) -> list[WatchedTable]:
        """Return the tables that a check has to ask. With nothing held there is nothing to ask about."""
        self._has_looked = self._has_looked or not all(cache.holdings.is_empty for cache in self.caches)
        return self.checks.due(chain.from_iterable(cache.holdings.each_key() for cache in self.caches))

    def _begin_checks(self, due: Sequence[WatchedTable], age_s: float, *, opens: bool = True) -> list[Check]:
        checks = self.checks.begin(due, age_s, self._open_after if opens else None)
        if not checks and all(table.service.rest is not None for table in due):
            # Nobody waits for these tables: the window opens with what is known.
            self._open_if_older(age_s)
        return checks

    def _is_older(self, age_s: float) -> bool:
        return is_older(self._checked, self._now(), age_s)

    def _open_if_older(self, age_s: float) -> None:
        """Open the next window without a check: with what is known, as after a check that failed."""
        with self._checking:
            if self._is_older(age_s):
                self._open(self._now())

    def _open_after(self, begun: Instant) -> None:
        """Open a window with what a check has found that was begun then."""
        with self._checking:
            self._open(begun)

    def _open(self, begun: Instant) -> None:
        if self._checked is not None and self._checked.monotonic_s > begun.monotonic_s:
            # A check that hung ends after later ones: its news empties the window, and moves no time back.
            begun = self._checked
        for cache in self.caches:
            cache.open_window(begun)
        self._checked = begun

    def _refresh_due(self, within_s: float, go_on: Callable[[], bool]) -> None:
        due = [(one, cache) for cache in self.caches for one in cache.due(within_s)]
        silent = set[Service]()
        for (secret, held, _), cache in sorted(due, key=lambda pair: pair[0].turn()):
            if not go_on():
                return
            service = cache.services.of(secret.asks_by())
            if service in silent:
                continue
            try:
                is_answering = cache.refresh_ahead(secret, held)
            except Exception as error:
                # A mistake of keyturn's own costs this one copy, not the others.
                extra = about("refresh_failed", secret=secret.name, error=error)
                log.exception("a copy could not be refreshed ahead of use", extra=extra)
                continue
            if not is_answering:
                silent.add(service)

    # Reporting

    def telling(self, read: Callable[[Waiting], _T], waiting: Waiting) -> _T:
        """Return what a caller reads, after the convergence table was told of what that changed.

        A report takes time, in which a process may be restored from a snapshot: after one it is read
        again, which is a look-up if nothing has happened.
        """
        try:
            found = read(waiting)
        finally:
            has_reported = self.report(waiting)
        return read(waiting) if has_reported else found

    def is_report_due(self) -> bool:
        """Return True if callers have something to report, and no background thread at work does it."""
        # Not before the first look at the table: a cold start pays for no client of DynamoDB.
        reporter, is_callers = self._reporter, not self.caches[0].background.is_at_work()
        return reporter is not None and is_callers and self._has_looked and reporter.is_due()

    def report(self, waiting: Waiting | None = None) -> bool:
        """Tell the convergence table what has changed. Return True if that was tried. Never raises."""
        patience_s = (waiting or self.waiting()).left_s(has_copy=True)
        return self.is_report_due() and self._report_within(patience_s)

    def _report_within(self, patience_s: float) -> bool:
        reporter = self._reporter
        if reporter is None or not self._has_looked or self._is_inside_a_call() or not reporter.is_due():
            return False
        flight, _ = self.flights.join_or_begin("report", reporter.report_if_due, self._clock.monotonic())
        return not flight.wait(patience_s) or flight.outcome()

    def leave(self) -> None:
        """Take this environment out of the convergence table, waiting for that a moment."""
        reporter = self._reporter
        if reporter is None:
            return

        def leave() -> bool:
            reporter.leave()
            return True

        flight, _ = self.flights.join_or_begin("leave", leave, self._clock.monotonic())
        flight.wait(self._limits.refresh_wait_s)

    # Status

    def status(self) -> CacheStatus:
        """Return a snapshot of everything held, without a value."""
        # Loaded when it is asked for: no `get` needs it.
        from keyturn.cache.status import (
            CacheStatus,
            ReportStatus,
            allowance_status,
            rest_status,
            table_status,
            tables_status,
        )

        secrets, *parameters = (cache.status() for cache in self.caches)
        tables = self._tables
        now, held = self._now(), tuple(chain(*parameters))
        reports = self._reporter.status(now) if self._reporter is not None else ReportStatus()
        services = dict.fromkeys(
            (
                *chain.from_iterable(cache.services for cache in self.caches),
                *(table.service for table in tables),
            )
        )
        return CacheStatus(
            secrets,
            table_status(tables, now),
            held,
            reports,
            resting=tuple(rest for one in services if (rest := rest_status(one, now)) is not None),
            evictions=sum(cache.holdings.evictions for cache in self.caches),
            allowance=allowance_status(tables, now),
            tables=tables_status(tables, now),
        )

    def _now(self) -> Instant:
        return Instant.now(self._clock)
