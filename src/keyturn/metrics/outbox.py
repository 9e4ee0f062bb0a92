"""From the decisions to the hook: what is recorded under locks is told where none is held."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Final, NamedTuple

from keyturn.metrics.hook import Metric, Metrics
from keyturn.runtime.logs import about

log = logging.getLogger("keyturn")

WAITING_MAX: Final = 10_000
"""Measurements that wait to be told at most; beyond, the oldest are lost."""


class Measurement(NamedTuple):
    """What a hook is told once: the arguments of `Metrics.record`."""

    metric: Metric
    value: float
    secret: str = ""
    stage: str = ""


class Outbox:
    """A `Measures` before a user's hook. Threads may share it.

    The hook may be slow, may raise, may want a secret from the very cache: so it is called while no
    lock is held, by one thread at a time, and the others go on. What the hook itself causes is dropped,
    or a hook that reads would be told of its own reads for ever.
    """

    def __init__(self, hook: Metrics) -> None:
        self._hook = hook
        self._has_complained = False
        self._waiting: deque[Measurement] = deque(maxlen=WAITING_MAX)
        self._telling = threading.Lock()
        self._teller: int | None = None

    def record(self, metric: Metric, value: float, *, secret: str = "", stage: str = "") -> None:
        """Keep it until it is delivered."""
        if self._teller != threading.get_ident():
            self._waiting.append(Measurement(metric, value, secret, stage))

    def deliver(self) -> None:
        """Tell the hook what waits, unless another thread does."""
        # Again after the end: who found the lock taken has left its own to whoever had it.
        while self._waiting and self._teller != threading.get_ident():
            if not self._telling.acquire(blocking=False):
                return
            self._teller = threading.get_ident()
            try:
                self._tell()
            finally:
                self._teller = None
                self._telling.release()

    def after_fork(self) -> None:
        """In a forked child: what waits is told by the parent, whose threads are gone here."""
        self._telling, self._teller = threading.Lock(), None
        self.forget()

    def forget(self) -> None:
        """What was measured before a SnapStart snapshot is not to be told by each of its clones."""
        self._waiting = deque(maxlen=WAITING_MAX)

    def _tell(self) -> None:
        waiting = self._waiting
        while waiting:
            metric, value, secret, stage = waiting.popleft()
            try:
                self._hook.record(metric, value, secret=secret, stage=stage)
            except Exception as error:  # noqa: BLE001 # a hook's fault is not the reader's
                self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Say once what kind of error it was; its text is the hook's, and may quote anything."""
        if self._has_complained:
            return
        self._has_complained = True
        log.error(
            "the metrics hook %s raised %s; this is said once, and the hook is still called",
            type(self._hook).__name__,
            type(error).__name__,
            extra=about("metrics_failed", error=error),
        )
