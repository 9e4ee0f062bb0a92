"""How long the Lambda invocation that is under way may still take, for all that is called in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from threading import Event

REMAINING_S: ContextVar[Callable[[], float] | None] = ContextVar("keyturn_remaining_s", default=None)
"""Returns how many seconds this invocation has left; None where no handler has told."""


@contextmanager
def invocation(*arguments: object) -> Iterator[None]:
    """Let `REMAINING_S` tell the time of the Lambda context among a handler's arguments, if there is one.

    It holds for the code that the handler calls in its own thread and in its own tasks. A task that outlives
    the invocation keeps what it was told, and no time of an invocation that is over counts for it.
    """
    context = next((one for one in arguments if _left_s(one) is not None), None)
    if context is None:
        yield
        return
    is_over = Event()

    def remaining_s() -> float:
        left_s = None if is_over.is_set() else _left_s(context)
        return inf if left_s is None else left_s

    token = REMAINING_S.set(remaining_s)
    try:
        yield
    finally:
        is_over.set()
        REMAINING_S.reset(token)


def _left_s(argument: object) -> float | None:
    """Return how many seconds a Lambda context has left; None for another object, such as a mock of one."""
    try:
        tell: object = getattr(argument, "get_remaining_time_in_millis", None)
        left: object = tell() if callable(tell) else None
    except Exception:  # noqa: BLE001 # an event may be an object of any kind
        return None
    return left / 1000 if isinstance(left, int | float) and not isinstance(left, bool) else None
