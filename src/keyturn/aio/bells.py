"""How a task waits for something that a thread does: on asyncio, and on trio where trio runs the task."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Protocol

from keyturn.cache.flights import Waiter


class Joinable(Protocol):
    """Something that ends, and tells its waiters."""

    @property
    def is_over(self) -> bool: ...

    def join(self, waiter: Waiter) -> None: ...

    def leave(self, waiter: Waiter) -> None: ...


class Bell(Waiter, Protocol):
    """What one task waits for. Any thread may ring it (`release`), also after the loop was closed."""

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return when it was rung, or after so many seconds."""
        ...


def new_bell() -> Bell:
    """Return a bell for the calling task."""
    if sys.modules.get("trio") is not None:
        from keyturn.aio.trio_bell import TrioBell, is_on_trio

        if is_on_trio():
            return TrioBell()
    return AsyncioBell()


async def ended(one: Joinable, timeout_s: float | None = None) -> None:
    """Wait for the end, at most so many seconds. A task that is cancelled meanwhile leaves nothing behind."""
    if one.is_over:
        return
    bell = new_bell()
    try:
        one.join(bell)
        await bell.wait(timeout_s)
    finally:
        one.leave(bell)


class AsyncioBell:
    """A bell of the running asyncio loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung: asyncio.Future[None] = self._loop.create_future()

    def release(self) -> None:
        """Wake the task. The loop may be closed: then nobody waits."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake)

    async def wait(self, timeout_s: float | None = None) -> None:
        """See `Bell.wait`."""
        timer = self._loop.call_later(timeout_s, self._wake) if timeout_s is not None else None
        try:
            await self._rung
        finally:
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if not self._rung.done():
            self._rung.set_result(None)
