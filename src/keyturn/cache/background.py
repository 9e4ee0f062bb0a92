"""The background thread of a cache in a long-running server: checks and refreshes ahead of use."""

from __future__ import annotations

import logging
import threading
import weakref

from keyturn.cache.checker import Checker
from keyturn.runtime.logs import about

log = logging.getLogger("keyturn")


class Poller:
    """Checks once per interval from its own daemon thread, until `stop` or until the cache is gone."""

    def __init__(self, checker: Checker, interval_s: float) -> None:
        self._checker = weakref.ref(checker)
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the thread if it does not run: at the first use, and after a fork."""
        if self._thread is not None or self._stopping.is_set():
            return
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name="keyturn-poller", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it, at most as long as its calls in flight take."""
        self._stopping.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def after_fork(self) -> None:
        """In the child there is no such thread, and its lock may be held by nobody."""
        self._lock, self._thread = threading.Lock(), None
        if not self._stopping.is_set():
            self._stopping = threading.Event()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            checker = self._checker()
            if checker is None:
                return
            try:
                checker.check_ahead()
            except Exception as error:
                # The thread must outlive any fault; without it callers check inline, as ever.
                log.exception(
                    "the background check failed; it is tried again in %g s",
                    self._interval_s,
                    extra=about("check_failed", error=error),
                )
            del checker
