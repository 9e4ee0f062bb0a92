"""Takes measurements to a user's hook: recorded while locks are held, delivered while none is held."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, NamedTuple

from keyturn.metrics.hook import Metric, Metrics
from keyturn.model.plain import is_unrun
from keyturn.runtime.logs import about, log
from keyturn.runtime.threads import is_interruption

WAITING_MAX: Final = 10_000
"""At most so many measurements wait for their delivery. If there are more, the oldest are lost."""

DELIVERED_MAX: Final = 16
"""So many measurements are delivered by one call at most, so that a slow hook slows each caller a little."""

HOOK: Final = "hook"
"""The key of the one turn."""

_IN_HOOK: ContextVar[tuple[int, ...]] = ContextVar("keyturn_in_hook", default=())
"""The outboxes whose hook runs in this context, and in the reads that it causes."""


class Measurement(NamedTuple):
    """One measurement: the arguments of `Metrics.record`."""

    metric: Metric
    value: float
    secret: str = ""
    stage: str = ""
    error: str = ""


class Outbox:
    """A `Measures` that delivers to a user's hook. Threads may share it.

    The hook may be slow, may raise, and may read a secret from the same cache. So it is called while no lock
    is held, in one thread at a time, and other threads go on. Measurements that the hook itself causes are
    dropped, because a hook that reads secrets would otherwise cause new measurements for ever.

    `make_turn` makes the dictionary in which the one thread that is in the hook has its entry.
    """

    def __init__(self, hook: Metrics, *, make_turn: Callable[[], dict[str, object]] = dict) -> None:
        self._hook = hook
        self._make_turn = make_turn
        self._has_complained = False
        self._waiting: deque[Measurement] = deque(maxlen=WAITING_MAX)
        self._turn = make_turn()

    def record(
        self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
    ) -> None:
        """Keep the measurement until it is delivered."""
        if id(self) not in _IN_HOOK.get():
            self._waiting.append(Measurement(metric, value, secret, stage, error))

    @property
    def has_mail(self) -> bool:
        """Whether measurements wait for their delivery."""
        return bool(self._waiting)

    def deliver(self) -> None:
        """Call the hook with the measurements that wait, unless another thread is doing so."""
        left = DELIVERED_MAX
        # Repeat: while this thread had its turn, other threads queued measurements and returned without
        # delivering them.
        while left > 0 and self._waiting and id(self) not in _IN_HOOK.get():
            turn, mine = self._turn, object()
            try:
                if turn.setdefault(HOOK, mine) is not mine:
                    return
                left -= self._deliver_some(left)
            finally:
                # No lock: a signal handler may raise right after its `acquire`. Here it may raise after any
                # call, and so none stands between this comparison and the end of the turn.
                if turn == {HOOK: mine}:
                    turn.pop(HOOK)

    def after_fork(self) -> None:
        """Drop the waiting measurements in a forked child, since the parent delivers them.

        The turn is made anew, because the thread that may have it does not exist in the child.
        """
        self._turn = self._make_turn()
        self.forget()

    def forget(self) -> None:
        """Drop the waiting measurements. Else each clone of a SnapStart snapshot would deliver them."""
        self._waiting = deque(maxlen=WAITING_MAX)

    def _deliver_some(self, most: int) -> int:
        """Call the hook for at most so many measurements, and return for how many it was called."""
        outer = _IN_HOOK.get()
        try:
            _IN_HOOK.set((*outer, id(self)))
            return self._call_hook(most)
        finally:
            _IN_HOOK.set(outer)

    def _call_hook(self, most: int) -> int:
        """Do what `_deliver_some` says. The loop is not in its block, since a jump may belong to no block."""
        waiting, delivered = self._waiting, 0
        while waiting and delivered < most:
            delivered += 1
            metric, value, secret, stage, kind = waiting.popleft()
            try:
                # A protocol's None, or what an async hook of the caller's returns.
                result: object = self._hook.record(metric, value, secret=secret, stage=stage, error=kind)  # type: ignore[func-returns-value]
                if is_unrun(result):
                    self._complain(None)
            except BaseException as error:
                # A hook's fault is not the reader's.
                if is_interruption(error):
                    raise
                self._complain(error)
        return delivered

    def _complain(self, error: BaseException | None) -> None:
        """Log the type of the error, once. Its text is not logged, because it may quote anything.

        None stands for a hook whose `record` nobody awaits.
        """
        if self._has_complained:
            return
        self._has_complained = True
        name = type(self._hook).__name__
        if error is None:
            log.error(
                "the metrics hook %s is async, so it records nothing: make its record a plain function",
                name,
                extra=about("metrics_failed"),
            )
            return
        log.error(
            "the metrics hook %s raised %s; this is logged once, and the hook is still called",
            name,
            type(error).__name__,
            extra=about("metrics_failed", error=error),
        )
