"""The locks of this library: a signal handler that raises at any moment leaves none of them locked."""

from __future__ import annotations

import signal
from _thread import RLock
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from random import Random
from types import FrameType

import pytest

from keyturn.runtime.locks import GaplessLock, new_lock

LOCKS = 1000
USES = 200


class HandlerError(Exception):
    """Comes out of the signal handler."""


def is_free(lock: RLock) -> bool:
    """Whether another thread gets the lock at once."""
    return lock.acquire(blocking=False)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs SIGALRM")
@pytest.mark.parametrize("make", [new_lock, GaplessLock])
def test_no_lock_stays_locked(make: Callable[[], RLock]) -> None:
    """On CPython 3.14 a lock of the standard library does, about once in ten."""
    is_armed, random = False, Random(1)

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_armed
        if is_armed:
            is_armed = False
            raise HandlerError

    def use(lock: AbstractContextManager[bool]) -> None:
        with lock:
            pass

    before = signal.signal(signal.SIGALRM, handle)
    locks = [make() for _ in range(LOCKS)]
    try:
        for lock in locks:
            with suppress(HandlerError):
                signal.setitimer(signal.ITIMER_REAL, 1e-6 + 5e-5 * random.random())
                is_armed = True
                for _ in range(USES):
                    use(lock)
                is_armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with ThreadPoolExecutor(1) as pool:
        assert [True] * LOCKS == list(pool.map(is_free, locks))


def test_the_thread_that_has_the_lock_may_take_it_again() -> None:
    """As a signal handler does that reads a secret while a read is interrupted; others wait."""
    lock = GaplessLock()
    with lock, lock, ThreadPoolExecutor(1) as pool:
        assert not pool.submit(is_free, lock).result()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(is_free, lock).result()
