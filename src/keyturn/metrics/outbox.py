"""Takes measurements to a user's hook: recorded while locks are held, delivered while none is held."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, NamedTuple, Protocol

from keyturn.metrics.hook import Metric, Metrics
from keyturn.runtime.logs import about

log = logging.getLogger("keyturn")

WAITING_MAX: Final = 10_000
"""At most so many measurements wait for their delivery. If there are more, the oldest are lost."""

DELIVERED_MAX: Final = 16
"""So many measurements are delivered by one call at most, so that a slow hook slows each caller a little."""

_IN_HOOK: ContextVar[tuple[int, ...]] = ContextVar("keyturn_in_hook", default=())
"""The outboxes whose hook runs in this context, and in the reads that it causes."""


class Measurement(NamedTuple):
    """One measurement: the arguments of `Metrics.record`."""

    metric: Metric
    value: float
    secret: str = ""
    stage: str = ""


class Lock(Protocol):
    """The part of a `threading.Lock` that the outbox uses."""

    def acquire(self, blocking: bool = True) -> bool: ...  # noqa: FBT001, FBT002 # as of threading

    def release(self) -> None: ...


class Outbox:
    """A `Measures` that delivers to a user's hook. Threads may share it.

    The hook may be slow, may raise, and may read a secret from the same cache. So it is called while no lock
    is held, in one thread at a time, and other threads go on. Measurements that the hook itself causes are
    dropped, because a hook that reads secrets would otherwise cause new measurements for ever.

    `make_lock` makes the lock that one thread holds while it is in the hook.
    """

    def __init__(self, hook: Metrics, *, make_lock: Callable[[], Lock] = threading.Lock) -> None:
        self._hook = hook
        self._make_lock = make_lock
        self._has_complained = False
        self._waiting: deque[Measurement] = deque(maxlen=WAITING_MAX)
        self._delivering = make_lock()

    def record(self, metric: Metric, value: float, *, secret: str = "", stage: str = "") -> None:
        """Keep the measurement until it is delivered."""
        if id(self) not in _IN_HOOK.get():
            self._waiting.append(Measurement(metric, value, secret, stage))

    def deliver(self) -> None:
        """Call the hook with the measurements that wait, unless another thread is doing so."""
        left = DELIVERED_MAX
        # Repeat: while this thread held the lock, other threads queued measurements and returned without
        # delivering them.
        while left > 0 and self._waiting and id(self) not in _IN_HOOK.get():
            if not self._delivering.acquire(blocking=False):
                return
            try:
                left -= self._deliver_some(left)
            finally:
                self._delivering.release()

    def after_fork(self) -> None:
        """Drop the waiting measurements in a forked child, since the parent delivers them.

        The lock is made anew, because the thread that may hold it does not exist in the child.
        """
        self._delivering = self._make_lock()
        self.forget()

    def forget(self) -> None:
        """Drop the waiting measurements. Else each clone of a SnapStart snapshot would deliver them."""
        self._waiting = deque(maxlen=WAITING_MAX)

    def _deliver_some(self, most: int) -> int:
        """Call the hook for at most so many measurements, and return for how many it was called."""
        waiting, delivered = self._waiting, 0
        token = _IN_HOOK.set((*_IN_HOOK.get(), id(self)))
        try:
            while waiting and delivered < most:
                delivered += 1
                metric, value, secret, stage = waiting.popleft()
                try:
                    self._hook.record(metric, value, secret=secret, stage=stage)
                except Exception as error:  # noqa: BLE001 # a hook's fault is not the reader's
                    self._complain(error)
        finally:
            _IN_HOOK.reset(token)
        return delivered

    def _complain(self, error: Exception) -> None:
        """Log the type of the error, once. Its text is not logged, because it may quote anything."""
        if self._has_complained:
            return
        self._has_complained = True
        log.error(
            "the metrics hook %s raised %s; this is logged once, and the hook is still called",
            type(self._hook).__name__,
            type(error).__name__,
            extra=about("metrics_failed", error=error),
        )
