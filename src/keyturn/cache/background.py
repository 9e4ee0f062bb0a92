"""The background thread of a cache in a long-running server: checks and refreshes ahead of use."""

from __future__ import annotations

import sys
import threading
import weakref

from keyturn.cache.checker import Checker
from keyturn.cache.limits import Limits
from keyturn.model.instant import Clock, Instant
from keyturn.runtime.locks import new_lock
from keyturn.runtime.logs import about, log
from keyturn.runtime.threads import OwnThread

BEATS_MISSED_MAX = 2
"""After so many intervals without a sign of life the thread counts as stuck, and callers check inline."""

WAITS_MAX = 3
"""So often a round may wait between two signs of life: for a table, for a read, and for a report."""


class Poller:
    """Checks once per interval from its own daemon thread, until `stop` or until the cache is gone.

    The next round begins an interval after this one began, or at once if this one took longer.
    """

    def __init__(self, checker: Checker, limits: Limits, clock: Clock) -> None:
        self._checker = weakref.ref(checker)
        self._interval_s = limits.check_interval_s
        self._waits_s = WAITS_MAX * limits.refresh_wait_s
        self._clock = clock
        self._lock = new_lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._beat: Instant | None = None
        self._has_stood_still = False
        self._begun_s = clock.monotonic()

    def start(self) -> None:
        """Start the thread if it does not run: at the first use, and after a fork."""
        if self._is_alive() or self._stopping.is_set() or sys.is_finalizing():
            return
        with self._lock:
            if self._is_alive() or self._stopping.is_set():
                return
            thread = OwnThread(target=self._run, name="keyturn-poller", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # At the limit of threads: callers check inline.
                return
            self._thread = thread

    def is_at_work(self) -> bool:
        """Return True while the thread lives and goes round, so that callers can leave the work to it.

        After a fork, or after the process stood still, it has to have been round once: what is held then may
        be any age, and callers look for themselves.
        """
        beat = self._beat
        if beat is None or self._has_stood_still or not self._is_alive() or self._stopping.is_set():
            return False
        return beat.age_s(Instant.now(self._clock)) < BEATS_MISSED_MAX * self._interval_s

    def stop(self, timeout_s: float | None = None) -> None:
        """End the thread and wait for it, at most so many seconds; it stops after the read under way."""
        self._stopping.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def go_round(self) -> bool:
        """Check once, and refresh ahead: the thread does it each time. Return False without a cache."""
        checker = self._checker()
        if checker is None:
            return False
        self._begun_s = self._clock.monotonic()
        self._go_on()
        try:
            checker.check_ahead(self._go_on)
            self._has_stood_still = False
        except Exception as error:
            # The thread must outlive any fault; without it callers check inline, as ever.
            log.exception(
                "the background check failed; it is tried again in %g s",
                self._interval_s,
                extra=about("check_failed", error=error),
            )
        return True

    def pause_s(self) -> float:
        """Return for how many seconds the thread waits before its next round."""
        return max(0.0, self._begun_s + self._interval_s - self._clock.monotonic())

    def after_fork(self) -> None:
        """Forget the thread, which the child does not have, and a lock that it may have held."""
        self._lock, self._thread, self._beat, self._has_stood_still = new_lock(), None, None, True
        if not self._stopping.is_set():
            self._stopping = threading.Event()

    def _is_alive(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _go_on(self) -> bool:
        beat, now = self._beat, Instant.now(self._clock)
        if beat is not None and beat.age_s(now) >= BEATS_MISSED_MAX * self._interval_s + self._waits_s:
            self._has_stood_still = True
        self._beat = now
        return not self._stopping.is_set()

    def _run(self) -> None:
        self._go_on()
        self._begun_s = self._clock.monotonic()
        while not self._stopping.wait(self.pause_s()):
            if not self.go_round():
                return
