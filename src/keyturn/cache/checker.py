"""When the marker table is checked, and by which thread: one check for all that a process holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from keyturn.cache.cache import Cache
from keyturn.cache.freshness import Evidence
from keyturn.cache.limits import Limits
from keyturn.cache.table_view import TableView, TableWatch
from keyturn.metrics.hook import SILENT, Measures, Metric
from keyturn.model.instant import Instant
from keyturn.model.names import checked_secret_id
from keyturn.model.protocols import Clock
from keyturn.model.versions import SecretVersion

if TYPE_CHECKING:
    from keyturn.cache.status import CacheStatus, ReportStatus

_T = TypeVar("_T")
_P = ParamSpec("_P")


class HoldingsReporter(Protocol):
    """Tells the convergence table what this process holds. Nothing of it is raised."""

    def reset(self) -> None:
        """Start to report under a new environment id."""
        ...

    def report_if_due(self) -> bool:
        """Report if what is held has changed, or the last report is half over. Return True if it was due."""
        ...

    def leave(self) -> None:
        """Say that this environment is over."""
        ...

    def status(self, now: Instant) -> ReportStatus: ...


class Checker:
    """Checks at most once per window, in one thread at a time; the others go on with what is known.

    `caches`: first that of secrets, then those of parameters.

    `window_s`: for how long a check lets the hit path serve. The inline cache checks when it ends;
    with a poller it is longer than the poller's interval.

    `reporter`: who tells the convergence table what is held, if anybody.
    """

    def __init__(
        self,
        caches: Sequence[Cache],
        table: TableWatch | None,
        *,
        limits: Limits,
        clock: Clock,
        window_s: float,
        metrics: Measures = SILENT,
        reporter: HoldingsReporter | None = None,
    ) -> None:
        self._caches = caches
        self._table = table
        self._reporter = reporter
        self._has_looked = False
        self._clock = clock
        self._check_interval_s = limits.check_interval_s
        self._window_s = window_s
        self._metrics = metrics
        self.reset_locks()

    def reset_locks(self) -> None:
        """For a forked child, whose parent's threads are gone: new locks, and every window closed."""
        self._checking = threading.Lock()
        self._checked: Instant | None = None
        self._polled: Instant | None = None
        for cache in self._caches:
            cache.reset_locks()
        if self._reporter is not None:
            self._reporter.reset()

    def forget(self) -> None:
        """Drop every value, marker and instant, as before the first use."""
        for cache in self._caches:
            cache.forget()
        if self._table is not None:
            self._table.forget()
        if self._reporter is not None:
            self._reporter.reset()
        self._has_looked, self._checked = False, None

    def check_if_due(self) -> None:
        """Check the table if the window has ended and no other thread does."""
        self.check_if_older(self._window_s)

    def check_if_older(self, age_s: float) -> None:
        """Check the table if the last check is that old and no other thread is at it."""
        if not self._is_older(age_s) or not self._checking.acquire(blocking=False):
            return
        try:
            if self._is_older(age_s):
                self._check()
        finally:
            self._checking.release()

    def check_ahead(self) -> None:
        """Check and refresh for the callers, from a thread of its own; never raises for the table's sake.

        What the check finds to have moved is refreshed before the next window opens, so that callers
        go on hitting what is known, as all but one do while any refresh flies: until the answer is
        there, and no longer than the present window. What would leave the hit path at the next check
        is refreshed after.
        """
        checked = self._checked
        with self._checking:
            begun = self._look()
        self._refresh_due(0.0)
        with self._checking:
            # Unless a caller found the window at its end meanwhile, and has checked.
            if self._checked is checked:
                self._open(begun)
        self._refresh_due(self._window_s + self._check_interval_s)
        self._polled = self._now()
        self._report()
        self._metrics.deliver()

    def telling(self, read: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What a caller reads, after the convergence table was told of what that changed.

        A report takes time, in which a process may be restored from a snapshot: after one it is read
        again, which is a look-up if nothing has happened.
        """
        try:
            found = read(*args, **kwargs)
        finally:
            has_reported = self.report()
        return read(*args, **kwargs) if has_reported else found

    def report(self) -> bool:
        """Tell the convergence table what has changed, if anything; whether that was tried. Never raises.

        Where a poller is at work, callers leave it to that.
        """
        if self._reporter is None:
            return False
        polled = self._polled
        if polled is not None and polled.age_s(self._now()) < self._window_s:
            return False
        return self._report()

    def _report(self) -> bool:
        # Not before the first look at the table: a cold start pays for no client of DynamoDB.
        return self._reporter is not None and self._has_looked and self._reporter.report_if_due()

    def leave(self) -> None:
        """Take this environment out of the convergence table."""
        if self._reporter is not None:
            self._reporter.leave()

    def status(self) -> CacheStatus:
        """A snapshot of everything held, without a value."""
        # Loaded when it is asked for: no `get` needs it.
        from keyturn.cache.status import CacheStatus, ReportStatus, table_status

        secrets, *parameters = (cache.status() for cache in self._caches)
        view = self._table.view if self._table is not None else None
        now, held = self._now(), tuple(chain(*parameters))
        reports = self._reporter.status(now) if self._reporter is not None else ReportStatus()
        return CacheStatus(secrets, table_status(view, now), held, reports)

    def _is_older(self, age_s: float) -> bool:
        return self._checked is None or self._checked.age_s(self._now()) >= age_s

    def _check(self) -> None:
        self._open(self._look())

    def _look(self) -> Instant:
        """Read what is to be read of the table; when that was begun."""
        begun = self._now()
        keys = {key: arn for cache in self._caches for key, arn in cache.keys().items()}
        # With nothing held there is nothing to check: a cold start pays for one read only.
        self._has_looked = self._has_looked or bool(keys)
        if self._table is not None and keys:
            before = self._table.view
            if self._table.check(keys, begun):
                self._measure(self._table.view, begun)
            for cache in self._caches:
                cache.settle_old_events(before)
        return begun

    def _measure(self, view: TableView, begun: Instant) -> None:
        """Record the check that has left this view."""
        self._metrics.record(Metric.CHECK_S, self._clock.monotonic() - begun.monotonic_s)
        swept_age_s = view.assurance.swept_s() if view.assurance is not None else None
        if view.trouble is not None:
            self._metrics.record(Metric.CHECKS_FAILED, 1)
        elif swept_age_s is not None:
            self._metrics.record(Metric.SWEPT_AGE_S, swept_age_s)

    def _open(self, begun: Instant) -> None:
        for cache in self._caches:
            cache.open_window(begun)
        self._checked = begun

    def _refresh_due(self, within_s: float) -> None:
        for cache in self._caches:
            cache.refresh_due(within_s)

    def _now(self) -> Instant:
        return Instant(self._clock.wall(), self._clock.monotonic())


class Secrets:
    """The cache of secrets, for whose sake the table is checked when that is due."""

    def __init__(self, cache: Cache, checker: Checker, min_refresh_interval_s: float) -> None:
        self.cache = cache
        self.checker = checker
        self._min_refresh_interval_s = min_refresh_interval_s

    def get(self, secret_id: str, stage: str) -> SecretVersion:
        """All that is not a hit. Raises a `SecretError`."""
        secret_id = checked_secret_id(secret_id)
        self.checker.check_if_due()
        return self.checker.telling(self.cache.get, secret_id, stage)

    def recheck(self, secret_id: str) -> SecretVersion:
        """AWSCURRENT after a forced check and a forced read, for a caller whose copy was refused.

        Both at most once per `min_refresh_interval_s`; one thread does them, the others go on with
        the markers that are known and wait for the read.
        """
        self.checker.check_if_older(self._min_refresh_interval_s)
        return self.checker.telling(self.cache.reread, secret_id)

    def join(self, secret_id: str, stage: str) -> SecretVersion:
        """What `get` gives after the reads of this that other threads have under way."""
        return self.checker.telling(self.cache.join, secret_id, stage)

    def evidence(self, secret_id: str) -> Evidence:
        """What is known of a rotation of this secret that may be under way; no I/O."""
        return self.cache.evidence(secret_id)
