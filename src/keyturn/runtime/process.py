"""Fork and SnapStart: which objects start anew in a forked child, or around a snapshot of the process."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from keyturn.runtime.locks import new_lock
from keyturn.runtime.logs import about, log

_T = TypeVar("_T")


class ProcessBound(Protocol):
    """An object that holds locks, threads or secrets, and so has to know of forks and snapshots."""

    def after_fork(self) -> None:
        """Make locks and threads anew. Called in the child, in its only thread."""
        ...

    def forget(self) -> None:
        """Drop every secret. Called before a SnapStart snapshot and after each restore."""
        ...


_living: set[weakref.ref[ProcessBound]] = set()
"""The objects that are watched. No `WeakSet`, since that cannot be gone through while a thread adds to it."""


_process: list[int] = [os.getpid()]
"""The process that the objects were last told of."""


def watch_process(one: ProcessBound) -> None:
    """Call `after_fork` and `forget` of this object for as long as it lives."""
    _register_hooks()
    _living.add(weakref.ref(one, _living.discard))


def after_fork_in_child() -> None:
    """Tell every watched object that this process is a forked child."""
    for one in _watched():
        _guarded(one, one.after_fork)
    _process[:] = [os.getpid()]


def notice_fork() -> None:
    """Tell every watched object of a fork of which Python was not told: uWSGI forks by itself."""
    if _process != [os.getpid()]:
        after_fork_in_child()


def around_snapshot() -> None:
    """Tell every watched object that a snapshot is about to be taken, or was just restored."""
    for one in _watched():
        _guarded(one, one.forget)


def _watched() -> list[ProcessBound]:
    """Return the objects that live now. The set is copied in one step, whatever other threads do."""
    return [one for known in _living.copy() if (one := known()) is not None]


def _guarded(one: ProcessBound, call: Callable[[], None]) -> None:
    """Call, and log what it raises: the other objects must be told all the same."""
    try:
        call()
    except Exception as error:
        log.exception(
            "%s could not start anew after a fork or around a snapshot",
            type(one).__name__,
            extra=about("restart_failed", error=error),
        )


@functools.cache
def _register_hooks() -> None:
    """Register once per process, since hooks cannot be taken back."""
    # The objects are this process's, also if it was forked after the import.
    _process[:] = [os.getpid()]
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=after_fork_in_child)
    try:
        from snapshot_restore_py import register_after_restore, register_before_snapshot
    except ImportError:
        return
    register_before_snapshot(around_snapshot)
    register_after_restore(around_snapshot)


class Once(Generic[_T]):
    """Makes a value at the first call and keeps it. Threads that call meanwhile wait for it.

    `survives_fork`: False for a client, whose sockets belong to the parent: a child makes its own.
    """

    def __init__(self, make: Callable[[], _T], *, survives_fork: bool = False) -> None:
        self._make = make
        self._survives_fork = survives_fork
        self._made: list[_T] = []
        self._lock = new_lock()
        watch_process(self)

    def __call__(self) -> _T:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    @property
    def made(self) -> _T | None:
        """The value if it was made already, else None."""
        made = self._made
        return made[0] if made else None

    def drop(self) -> None:
        """Make the value anew at the next call."""
        self._made = []

    def after_fork(self) -> None:
        """Make the lock anew, which a lost thread may hold, and drop a value of the parent's."""
        self._lock = new_lock()
        if not self._survives_fork:
            self._made = []

    def forget(self) -> None:
        """Keep the value: a client holds no secret, and any other value is watched by itself."""
