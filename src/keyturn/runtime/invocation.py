"""How long the Lambda invocation that is under way may still take, for all that is called in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event
from typing import Protocol, runtime_checkable


@runtime_checkable
class LambdaContext(Protocol):
    """The second argument of a Lambda handler, as far as it tells the time."""

    def get_remaining_time_in_millis(self) -> int: ...


REMAINING_S: ContextVar[Callable[[], float] | None] = ContextVar("keyturn_remaining_s", default=None)
"""Returns how many seconds this invocation has left; None where no handler has told."""


@contextmanager
def invocation(*arguments: object) -> Iterator[None]:
    """Let `REMAINING_S` tell the time of the Lambda context among a handler's arguments, if there is one.

    It holds for the code that the handler calls in its own thread and in its own tasks. A task that outlives
    the invocation keeps what it was told, and no time of an invocation that is over counts for it.
    """
    context = next((one for one in arguments if isinstance(one, LambdaContext)), None)
    if context is None:
        yield
        return
    is_over = Event()
    token = REMAINING_S.set(
        lambda: float("inf") if is_over.is_set() else context.get_remaining_time_in_millis() / 1000
    )
    try:
        yield
    finally:
        is_over.set()
        REMAINING_S.reset(token)
