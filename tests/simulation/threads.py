"""The part of `threading` that the cache and its logins use, for actors instead of threads.

Locks and events are the production code's own points of waiting, so several "threads" of one
process interleave at them and at their I/O, in the order that the seed gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeAlias
from unittest.mock import patch

import keyturn.cache.background
import keyturn.cache.checker
import keyturn.cache.copies
import keyturn.cache.flights
import keyturn.login.caller
import keyturn.login.turns
import keyturn.runtime.locks
from tests.simulation.scheduler import NEVER_S, Actor, Scheduler, Waiting

FLIGHTS = ("keyturn-read", "keyturn-check", "keyturn-report")
"""Threads that carry out one read, one check or one report for their callers."""


class Lock:
    """As `threading.Lock`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting = Waiting()
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - its own
        if self._held and not self._wait(blocking, timeout):
            return False
        self._held = True
        return True

    def _wait(self, blocking: bool, timeout: float) -> bool:  # noqa: FBT001 - as `acquire`
        late_s = self._scheduler.now_s + timeout if timeout >= 0 else NEVER_S
        while self._held:
            if not blocking or self._scheduler.now_s >= late_s:
                return False
            self._scheduler.park(self._waiting, late_s - self._scheduler.now_s if timeout >= 0 else None)
        return True

    def release(self) -> None:
        self._held = False
        if self._waiting.actors:
            self._scheduler.wake(self._waiting)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock(Lock):
    """As `threading.RLock`."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._owner: Actor | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - its own
        actor = self._scheduler.running
        if self._owner is not actor:
            if self._held and not self._wait(blocking, timeout):
                return False
            self._held, self._owner = True, actor
        self._depth += 1
        actor.holds += 1
        if actor.has_lock is not None:
            actor.has_lock()
        return True

    def is_owned(self) -> bool:
        return self._depth > 0 and self._owner is self._scheduler.running

    def release(self) -> None:
        self._depth -= 1
        self._scheduler.running.holds -= 1
        if self._depth == 0:
            self._owner = None
            super().release()


class Event:
    """As `threading.Event`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting = Waiting()
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._scheduler.wake(self._waiting)

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._scheduler.park(self._waiting, timeout)
        return self._set


class Thread:
    """As `threading.Thread`: an actor on the machine of who starts it."""

    def __init__(self, scheduler: Scheduler, target: Callable[[], None], name: str) -> None:
        self._scheduler = scheduler
        self._target = target
        self._name = name
        self._actor: Actor | None = None
        self._waiting = Waiting()
        self._is_over = False

    def start(self) -> None:
        asks = self._scheduler.caller
        self._actor = self._scheduler.spawn(self._name, asks.machine, self._run)
        if self._name in FLIGHTS:
            self._actor.caller = asks
            asks.machine.flying.add(self._actor)

    def is_alive(self) -> bool:
        return self._actor is not None and not self._is_over and self._actor.is_alive

    def join(self, timeout: float | None = None) -> None:
        if self.is_alive():
            self._scheduler.park(self._waiting, timeout)

    def _run(self) -> None:
        try:
            self._target()
        finally:
            self._is_over = True
            self._scheduler.wake(self._waiting)
            if self._actor is not None:
                self._actor.machine.flying.discard(self._actor)


Reentrant: TypeAlias = RLock
"""The lock's class, under a name that `Threading` does not take."""


class Condition:
    """As `threading.Condition` of an `RLock`, as far as to ask whether the caller holds that."""

    def __init__(self, lock: Reentrant) -> None:
        self._lock = lock

    def notify(self) -> None:
        if not self._lock.is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")


class Threading:
    """Stands in for the module."""

    TIMEOUT_MAX = NEVER_S

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def Lock(self) -> Lock:  # noqa: N802 - threading's own
        return Lock(self._scheduler)

    def RLock(self) -> RLock:  # noqa: N802 - threading's own
        return RLock(self._scheduler)

    def Condition(self, lock: Reentrant) -> Condition:  # noqa: N802 - threading's own
        return Condition(lock)

    def Event(self) -> Event:  # noqa: N802 - threading's own
        return Event(self._scheduler)

    def get_ident(self) -> int:
        return id(self._scheduler.running)

    def current_thread(self) -> Actor:
        return self._scheduler.running

    def Thread(self, target: Callable[[], None], name: str, daemon: bool) -> Thread:  # noqa: N802, FBT001
        return Thread(self._scheduler, target, name)


@contextmanager
def cooperative(scheduler: Scheduler) -> Iterator[None]:
    """Let the cache, its logins, its parameters and its poller use actors instead of threads."""

    def start_thread(name: str, run: Callable[[], None]) -> None:
        Thread(scheduler, run, name).start()

    with ExitStack() as stack:
        for module in (
            keyturn.cache.copies,
            keyturn.cache.flights,
            keyturn.cache.checker,
            keyturn.login.caller,
            keyturn.login.turns,
            keyturn.cache.background,
            keyturn.runtime.locks,
        ):
            stack.enter_context(patch.object(module, "threading", Threading(scheduler)))
        stack.enter_context(patch.object(keyturn.runtime.locks, "HAS_GAP", new=False))
        stack.enter_context(patch.object(keyturn.cache.flights, "start_thread", start_thread))
        stack.enter_context(patch.object(keyturn.cache.background, "OwnThread", Threading(scheduler).Thread))
        yield
