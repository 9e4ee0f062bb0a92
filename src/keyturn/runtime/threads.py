"""Threads that are started in a way that an exception out of a signal handler cannot leave half done."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable


class OwnThread(threading.Thread):
    """A thread of keyturn's own. The application does not know it, and so interrupts nothing in it."""


def start_thread(name: str, run: Callable[[], None]) -> None:
    """Call `run` in a daemon thread. Raises `RuntimeError` where no thread can be had.

    `Thread.start` waits for the thread to come to life. A signal handler that raises during that wait leaves
    a lock held, on which the new thread then waits for ever. So another thread starts it, since Python calls
    signal handlers in the main thread only.
    """
    if sys.is_finalizing():
        # Python 3.11 makes one that never runs, for which its caller would wait.
        raise RuntimeError
    thread = OwnThread(target=run, name=name, daemon=True)
    _thread.start_new_thread(_start, (thread,))


def is_interruption(error: BaseException) -> bool:
    """Return True for what may come from outside: then it is no error of the call that it ended.

    Signal handlers raise in the main thread, and workers with a time limit (dramatiq) in threads of theirs.
    In a thread of keyturn's own an error of whatever class is one of the code that raised it: a cancelled
    task of another loop, an exit, or a panic of a library in Rust.
    """
    return not isinstance(error, Exception) and not isinstance(threading.current_thread(), OwnThread)


def is_held_here(lock: threading.Condition) -> bool:
    """Return True if the calling thread holds the lock of this condition.

    To be asked of a condition that is used for nothing else. Its lock is taken by itself: a condition's own
    `with` is not safe from exceptions out of signal handlers.
    """
    try:
        lock.notify()
    except RuntimeError:
        return False
    return True


def _start(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError:
        # At the limit of threads, this one does the work itself.
        thread.run()
