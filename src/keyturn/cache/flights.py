"""Reads under way: one at a time for each key, in a thread of its own, so that a caller can stop waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextvars import copy_context
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from keyturn.runtime.locks import new_lock
from keyturn.runtime.threads import start_thread

ABANDONED_S: Final = 60.0
"""A read that takes longer than this hangs: the time-outs of keyturn's own clients add up to less."""

_T = TypeVar("_T")
_Key = TypeVar("_Key", bound=Hashable)


class Waiter(Protocol):
    """A thread's acquired lock, or a task of an event loop, that waits for an end."""

    def release(self) -> None:
        """Let the waiter go on. May be called from any thread, and more than once where it is no lock."""
        ...


class Flight(Generic[_T]):
    """One job that is under way, and its outcome. Any number of threads may wait for it.

    A signal handler may raise at any moment of a wait: so there is no lock that a waiter could leave held.
    `begun_s` and `at_end` are for `SingleFlight`, by which others can find the flight and join it.
    """

    def __init__(
        self,
        name: str,
        job: Callable[[], _T],
        begun_s: float = 0.0,
        at_end: Callable[[Flight[_T]], None] = lambda _: None,
    ) -> None:
        self.begun_s = begun_s
        self.is_over = False
        self._name = name
        self._job = job
        self._at_end = at_end
        self._waiters: dict[Waiter, None] = {}
        self._result: list[_T] = []
        self._error: BaseException | None = None

    def begin(self) -> None:
        """Begin the job; where no thread can be had, carry it out in the caller's."""
        if not self.has_thread():
            self.run()

    def has_thread(self) -> bool:
        """Begin the job in a thread. Return False where none can be had: then the caller has to `run` it."""
        # In a copy of the caller's context, as its own code would run. No frame refers to it, since an error
        # that the job raises keeps its frames for as long as it is remembered.
        try:
            start_thread(self._name, partial(copy_context().run, self.run))
        except RuntimeError:
            # At the interpreter's end, or at the limit of threads.
            return False
        return True

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, at most so many seconds. Return True if the job has ended."""
        if self.is_over:
            return True
        waiter = threading.Lock()
        waiter.acquire()
        self._waiters[waiter] = None
        # Looked at again: the end may have come before the waiter was to be seen.
        if not self.is_over:
            waiter.acquire(timeout=min(max(0.0, timeout_s), threading.TIMEOUT_MAX))
        self._waiters.pop(waiter, None)
        return self.is_over

    def join(self, waiter: Waiter) -> None:
        """Release this waiter when the job ends, perhaps twice; at once if the job has ended already."""
        self._waiters[waiter] = None
        if self.is_over:
            waiter.release()

    def leave(self, waiter: Waiter) -> None:
        """Forget a waiter that has joined and waits no more."""
        self._waiters.pop(waiter, None)

    @property
    def failure(self) -> BaseException | None:
        """What the job raised, or None."""
        return self._error

    def outcome(self) -> _T:
        """Return what the job returned, or raise what it raised. To be called after its end."""
        if self._error is not None:
            raise self._error
        return self._result[0]

    def run(self) -> None:
        """Carry the job out, and let the waiters go on."""
        try:
            self._result.append(self._job())
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self.is_over = True
            self._at_end(self)
            for waiter in tuple(self._waiters):
                waiter.release()


class SingleFlight(Generic[_Key, _T]):
    """The flights of one kind: at most one at a time for each key.

    A flight is begun before it is registered: an exception out of a signal handler between the two costs
    another read, and no flight stays that nobody carries out.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.after_fork()

    def after_fork(self) -> None:
        """Forget all flights: their threads are the parent's."""
        self._lock = new_lock()
        self._flights: dict[_Key, Flight[_T]] = {}

    def __len__(self) -> int:
        return sum(not flight.is_over for flight in tuple(self._flights.values()))

    def find(self, key: _Key) -> Flight[_T] | None:
        """Return the flight of this key that is under way, or None."""
        flight = self._flights.get(key)
        return flight if flight is not None and not flight.is_over else None

    def join_or_begin(
        self, key: _Key, job: Callable[[], _T], now_s: float, patience_s: float = ABANDONED_S
    ) -> tuple[Flight[_T], bool]:
        """Return the flight of this key, and True if this call has begun it (`now_s` by a monotonic clock).

        A flight that takes longer than `patience_s` is left to itself: another one may get through.
        """
        with self._lock:
            known = self.find(key)
            if known is not None and now_s - known.begun_s < patience_s:
                return known, False
            flight = Flight(self._name, job, now_s, lambda ended: self._forget(key, ended))
            has_begun = flight.has_thread()
            if has_begun:
                self._flights[key] = flight
                if flight.is_over:
                    self._forget(key, flight)
        if not has_begun:
            # Outside of the lock, for the sake of other keys. Nobody joins it: a signal handler would wait
            # for the thread that it has interrupted.
            flight.run()
        return flight, True

    def _forget(self, key: _Key, flight: Flight[_T]) -> None:
        # Without the lock, so that no end of a flight waits for another thread.
        if self._flights.get(key) is flight:
            self._flights.pop(key, None)
