"""One call in a thread of its own, awaited on an event loop: for what an event loop may not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TypeVar

from keyturn.runtime.threads import start_thread

_T = TypeVar("_T")


async def in_thread(call: Callable[[], _T], context: Context | None = None) -> _T:
    """Return what `call` returns in a thread of its own, in `context`: by default a copy of the caller's.

    The thread never waits for the loop. If the caller is cancelled it goes on until `call` returns, and
    what that returns is dropped. It is a daemon, so an interpreter that ends does not wait for it. It is
    taken from no pool: whoever needs that pool to make progress would wait for those who wait in it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()
    run = (context or copy_context()).run

    def succeed(result: _T) -> None:
        if not future.cancelled():
            future.set_result(result)

    def fail(error: BaseException) -> None:
        if isinstance(error, StopIteration):
            # No future takes it, and the caller would wait for ever.
            error = RuntimeError("the call raised StopIteration")
        if not future.cancelled():
            future.set_exception(error)

    def work() -> None:
        # The loop may have been closed meanwhile: then nobody waits for this any more.
        with suppress(RuntimeError):
            try:
                result = run(call)
            except BaseException as error:  # noqa: BLE001 # the caller gets it
                loop.call_soon_threadsafe(fail, error)
            else:
                loop.call_soon_threadsafe(succeed, result)

    start_thread("keyturn-login", work)
    return await future
