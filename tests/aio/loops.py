"""Both kinds of event loops, the same for every test: asyncio, and trio."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio

from keyturn import SecretVersion
from keyturn.testing.fakes import FakeSecretsManager

LOOPS: Final = ("asyncio", "trio")

PATIENCE_S: Final = 20.0

_T = TypeVar("_T")


def run(loop: str, main: Callable[[], Awaitable[_T]]) -> _T:
    """What `main` returns on this kind of loop, within the patience."""

    async def bounded() -> _T:
        with anyio.fail_after(PATIENCE_S):
            return await main()

    return anyio.run(bounded, backend=loop)


async def together(calls: list[Callable[[], Awaitable[_T]]]) -> list[_T]:
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
    while not event.is_set():
        await anyio.sleep(0.001)


@contextmanager
def counted_threads() -> Iterator[list[str]]:
    """The names of the threads that are started meanwhile."""
    started: list[str] = []
    start = threading.Thread.start

    def counting(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    threading.Thread.start = counting  # type: ignore[method-assign]
    try:
        yield started
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]


def keyturns_threads() -> list[str]:
    """The threads that work for a cache now."""
    return [one.name for one in threading.enumerate() if one.name.startswith("keyturn-")]
