"""How a task of trio waits. Loaded only where trio is."""

from __future__ import annotations

from contextlib import suppress

import trio


def is_on_trio() -> bool:
    """Return True if the caller is a task of trio."""
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


class TrioBell:
    """A bell of the running trio loop. See `keyturn.aio.bells.Bell`."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._rung = trio.Event()

    def release(self) -> None:
        """Wake the task. The run may be over: then nobody waits."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._rung.set)

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return when it was rung, or after so many seconds."""
        with trio.move_on_after(float("inf") if timeout_s is None else max(0.0, timeout_s)):
            await self._rung.wait()
