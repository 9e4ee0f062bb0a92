"""Both kinds of event loops, the same for every test: asyncio, and trio."""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeVar

import anyio
import trio

from keyturn import SecretVersion
from keyturn.testing.fakes import FakeSecretsManager

LOOPS: Final = ("asyncio", trio.__name__)

PATIENCE_S: Final = 20.0

_T = TypeVar("_T")


def run(loop: str, main: Callable[[], Awaitable[_T]]) -> _T:
    """What `main` returns on this kind of loop, within the patience."""

    async def bounded() -> _T:
        with anyio.fail_after(PATIENCE_S):
            return await main()

    return anyio.run(bounded, backend=loop)


async def together(calls: Sequence[Callable[[], Awaitable[_T]]]) -> list[_T]:
    """What these calls return, made by a task each."""
    results: dict[int, _T] = {}

    async def keep(number: int, call: Callable[[], Awaitable[_T]]) -> None:
        results[number] = await call()

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(keep, number, call)
    return [results[number] for number in range(len(calls))]


class Gate:
    """Where the reads of a fake wait until it is opened."""

    def __init__(self, secrets: FakeSecretsManager) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._read = secrets.read
        secrets.read = self.read  # type: ignore[method-assign]

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.reached.set()
        assert self.opened.wait(PATIENCE_S)
        return self._read(secret_id, stage=stage, version_id=version_id)


async def reached(event: threading.Event) -> None:
    """Let the loop run until a thread has set this."""
    await so(event.is_set)


async def so(is_so: Callable[[], bool]) -> None:
    """Let the loop run until this is so, which only a thread can bring about."""
    while not is_so():  # noqa: ASYNC110 # no thread could set an event of the loop
        await anyio.sleep(0.001)


@contextmanager
def counted_threads() -> Iterator[list[str]]:
    """The names of the threads that are started meanwhile."""
    started: list[str] = []

    def count(_frame: FrameType, _event: str, _arg: object) -> None:
        sys.setprofile(None)
        started.append(threading.current_thread().name)

    threading.setprofile(count)
    try:
        yield started
    finally:
        threading.setprofile(None)


def keyturns_threads() -> list[str]:
    """The threads that work for a cache now."""
    return [one.name for one in threading.enumerate() if one.name.startswith("keyturn-")]
