"""Reports the versions that this process holds to the convergence table, and backs off when that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from keyturn.cache.cache import Cache
from keyturn.cache.limits import Limits
from keyturn.cache.refresh import backoff_s
from keyturn.convergence.counting import LastReport, fitting, is_due, merged
from keyturn.errors import ConfigurationError, ConvergenceTableError
from keyturn.model.instant import Clock, Instant
from keyturn.model.markers import Report
from keyturn.model.protocols import Reports
from keyturn.runtime.locks import new_lock
from keyturn.runtime.logs import about, log
from keyturn.runtime.threads import is_interruption

if TYPE_CHECKING:
    from keyturn.cache.status import ReportStatus

AT_ONCE: Final = (False,)
"""The argument with which a lock is acquired without a wait."""


class Reporter:
    """Reports for one environment. Threads may share it: one reports at a time, and the others go on.

    A failure is logged and shown in `status()`, and never raised.

    Args:
        caches: the caches whose versions are reported.
        reports: takes the reports.
        label: what kind of environment this is.
        ttl_s: for how many seconds a report counts.
        new_id: returns a random text of 1 to 64 characters, for the environment's id.
        limits: the check interval, and the longest pause after failures.
        clock: this host's clocks.
        random: returns a number in [0, 1).
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
        """Start to report under a new environment id.

        To be called in a forked child and around a SnapStart snapshot.
        """
        self._reporting = new_lock()
        self._life += 1
        self._last: LastReport | None = None

    def report_if_due(self) -> bool:
        """Report the held versions if a report is due, and return whether one was due; see `is_due`."""
        if not self.is_due():
            return False
        reporting, acquired = self._reporting, list[bool]()
        try:
            # A signal handler may raise right after a call. Then the list says whether the lock is ours.
            acquired.extend(map(reporting.acquire, AT_ONCE))
            was_due = acquired == [True] and self.is_due()
            if was_due:
                self._report()
        finally:
            if acquired == [True]:
                reporting.release()
        return was_due

    def leave(self) -> None:
        """Report that this environment ends, so that it is no longer counted.

        An environment that never tried to report writes nothing.
        """
        with self._reporting:
            last, now = self._last, self._now()
            # A report that failed for this process may have reached the table all the same.
            if last is not None:
                self._write(Report(last.environment, {}, now.wall_s, now.wall_s, self._label))
            self._life += 1
            self._last = None

    def status(self, now: Instant) -> ReportStatus:
        """Return the state of this environment's reports."""
        # Imported only here, because no `get` needs it.
        from keyturn.cache.status import ReportStatus

        last = self._last
        if last is None:
            return ReportStatus(used=True)
        age_s = last.reported.age_s(now) if last.reported is not None else None
        return ReportStatus(
            used=True, environment=last.environment, reported_age_s=age_s, trouble=last.trouble
        )

    def is_due(self) -> bool:
        """Return True if what is held has changed, or the last report is half over."""
        half_life_s = self._ttl_s / 2 * self._limits.spread
        return is_due(self._last, self._moves(), self._now(), half_life_s)

    def _report(self) -> None:
        life, before, moves, now = self._life, self._last, self._moves(), self._now()
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
                log.info(
                    "the convergence table takes this process's reports again", extra=about("reports_answer")
                )
            last = LastReport(report.environment, moves, now, self._limits.check_interval_s, reported=now)
        else:
            last = self._failed(trouble, report.environment, before, now)
        # If this object was reset meanwhile, the report was that of another environment.
        if self._life == life:
            self._last = last

    def _write(self, report: Report) -> str | None:
        """Write the report, and return why that failed; None if it succeeded."""
        try:
            self._reports.write(report)
        except (ConfigurationError, ConvergenceTableError) as error:
            return str(error)
        except BaseException as error:
            if is_interruption(error):
                raise
            log.exception(
                "the report to the convergence table failed", extra=about("report_failed", error=error)
            )
            return f"unexpected {type(error).__name__}"
        return None

    def _failed(self, trouble: str, environment: str, before: LastReport | None, now: Instant) -> LastReport:
        if before is None or before.trouble is None:
            log.warning(
                "the versions that this process holds are not reported; secrets are served as before: %s",
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
        return LastReport(
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
        return Instant.now(self._clock)
