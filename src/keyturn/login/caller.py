"""For whom a login works: the thread itself, or a task of an event loop that waits for a thread's step."""

from __future__ import annotations

import threading
from contextvars import ContextVar


class LoopCaller:
    """A task that lets threads take the steps of its login, and may be cancelled meanwhile.

    `thread` is the identifier of the thread that runs the event loop, which is where the attempts run.
    """

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.is_gone = False


CALLER: ContextVar[LoopCaller | None] = ContextVar("keyturn_login_caller", default=None)
"""The task for which this context takes a step; None where a thread logs in for itself."""


def caller_thread() -> int:
    """Return the identifier of the thread in which the attempts of this login run."""
    caller = CALLER.get()
    return caller.thread if caller is not None else threading.get_ident()


def caller_is_gone() -> bool:
    """Return True if the task for which this context takes a step was cancelled."""
    caller = CALLER.get()
    return caller is not None and caller.is_gone
