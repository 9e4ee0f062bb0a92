"""Who tells the convergence table what this process holds, and what becomes of it when that fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from keyturn.cache.cache import Cache
from keyturn.cache.limits import Limits
from keyturn.cache.refresh import backoff_s
from keyturn.convergence.counting import Told, fitting, is_due, merged
from keyturn.errors import ConvergenceTableError
from keyturn.model.instant import Instant
from keyturn.model.markers import Report
from keyturn.model.protocols import Clock, Reports
from keyturn.runtime.logs import about

if TYPE_CHECKING:
    from keyturn.cache.status import ReportStatus

log = logging.getLogger("keyturn")


class Reporter:
    """Reports for one environment, in one thread at a time; the others go on. Nothing of it is raised.

    `new_id` gives a random text of 1 to 64 characters. `label` says what kind of environment it is.
    """

    def __init__(
        self,
        caches: Sequence[Cache],
        reports: Reports,
        *,
        label: str,
        ttl_s: float,
        new_id: Callable[[], str],
        limits: Limits,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._caches = caches
        self._reports = reports
        self._label = label
        self._ttl_s = ttl_s
        self._new_id = new_id
        self._limits = limits
        self._clock = clock
        self._random = random
        self._life = 0
        self.reset()

    def reset(self) -> None:
        """Be another environment: in a forked child, and around a SnapStart snapshot."""
        self._reporting = threading.Lock()
        self._life += 1
        self._told: Told | None = None

    def report_if_due(self) -> bool:
        """Report what is held if that has changed, or if the last report is half over; whether it was due."""
        reporting = self._reporting
        if not self._is_due() or not reporting.acquire(blocking=False):
            return False
        try:
            is_due = self._is_due()
            if is_due:
                self._report()
        finally:
            reporting.release()
        return is_due

    def leave(self) -> None:
        """Say that this environment is over, if it ever tried to report: it is counted no more."""
        with self._reporting:
            told, now = self._told, self._now()
            # Also if the last report failed: it may have come through all the same.
            if told is not None:
                self._write(Report(told.environment, {}, now.wall_s, now.wall_s, self._label))
            self._life += 1
            self._told = None

    def status(self, now: Instant) -> ReportStatus:
        """This environment's reports."""
        # Loaded when it is asked for: no `get` needs it.
        from keyturn.cache.status import ReportStatus

        told = self._told
        if told is None:
            return ReportStatus(used=True)
        age_s = told.reported.age_s(now) if told.reported is not None else None
        return ReportStatus(
            used=True, environment=told.environment, reported_age_s=age_s, trouble=told.trouble
        )

    def _is_due(self) -> bool:
        half_life_s = self._ttl_s / 2 * self._limits.spread
        return is_due(self._told, self._moves(), self._now(), half_life_s)

    def _report(self) -> None:
        life, before, moves, now = self._life, self._told, self._moves(), self._now()
        held = merged(cache.current() for cache in self._caches)
        kept = fitting(held)
        report = Report(
            environment=before.environment if before is not None else self._new_id(),
            held=kept,
            reported_at_s=now.wall_s,
            expires_at_s=now.wall_s + self._ttl_s,
            label=self._label,
            left_out=len(held) - len(kept),
        )
        trouble = self._write(report)
        if trouble is None:
            if before is not None and before.trouble is not None:
                log.info("what this process holds is reported again", extra=about("reports_answer"))
            told = Told(report.environment, moves, now, self._limits.check_interval_s, reported=now)
        else:
            told = self._failed(trouble, report.environment, before, now)
        # Of what was forgotten meanwhile nothing is known any more.
        if self._life == life:
            self._told = told

    def _write(self, report: Report) -> str | None:
        """Write it; what is wrong, if anything."""
        try:
            self._reports.write(report)
        except ConvergenceTableError as error:
            return str(error)
        except Exception as error:
            log.exception("the report of what is held failed", extra=about("report_failed", error=error))
            return f"unexpected {type(error).__name__}"
        return None

    def _failed(self, trouble: str, environment: str, before: Told | None, now: Instant) -> Told:
        if before is None or before.trouble is None:
            log.warning(
                "what this process holds is not reported; secrets are served as ever: %s",
                trouble,
                extra=about("reports_trouble"),
            )
        failures = before.failures if before is not None else 0
        pause_s = backoff_s(
            failures,
            first_s=self._limits.check_interval_s,
            longest_s=self._limits.max_backoff_s,
            random=self._random,
        )
        return Told(
            environment,
            moves=None,
            at=now,
            pause_s=max(pause_s, self._limits.check_interval_s),
            reported=before.reported if before is not None else None,
            failures=failures + 1,
            trouble=trouble,
        )

    def _moves(self) -> int:
        return sum(cache.holdings.moves for cache in self._caches)

    def _now(self) -> Instant:
        return Instant(self._clock.wall(), self._clock.monotonic())
