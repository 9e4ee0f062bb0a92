"""`Login`: which secret an integration logs in with, and how. Every integration takes one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar, Unpack

from keyturn.client import SecretCache
from keyturn.errors import SecretError
from keyturn.login.logins import LoginOptions
from keyturn.model.versions import SecretVersion

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Opened:
    """With which version a connection was opened, and which one was current then (ARN and version id)."""

    version: tuple[str, str]
    current: tuple[str, str]


class Login:
    """A cache, the id of a secret of it, and how to log in with it: the options of `SecretCache.login`.

    `is_refused` is `keyturn.refusals.is_refused` unless given. Threads and tasks may share it.
    """

    def __init__(
        self,
        cache: SecretCache,
        secret_id: str,
        **options: Unpack[LoginOptions],
    ) -> None:
        self._cache = cache
        self._secret_id = secret_id
        self._options = options

    def __repr__(self) -> str:
        return f"Login({self._secret_id!r})"

    def __call__(self, connect: Callable[[SecretVersion], _T]) -> _T:
        """What `connect` returns for the first version accepted; errors as of `SecretCache.login`."""
        return self._cache.login(self._secret_id, connect, **self._options)

    async def awaiting(self, connect: Callable[[SecretVersion], Awaitable[_T]]) -> _T:
        """The same for a `connect` that is awaited, on the running loop.

        The login itself waits in a thread of its own: it reads secrets, sleeps and holds locks, which
        no event loop may do. One from a shared pool would not do either, since the attempts may need
        that pool (for a look-up of the host) while all its threads wait for one another's outcome.
        """
        loop = asyncio.get_running_loop()
        attempts: list[asyncio.Task[object] | None] = []
        is_cancelled = False

        async def attempt(version: SecretVersion) -> _T:
            if is_cancelled:
                raise asyncio.CancelledError
            attempts.append(asyncio.current_task())
            return await connect(version)

        def attempt_on_loop(version: SecretVersion) -> _T:
            return asyncio.run_coroutine_threadsafe(attempt(version), loop).result()

        executor = ThreadPoolExecutor(1, thread_name_prefix="keyturn-login")
        try:
            return await loop.run_in_executor(executor, self, attempt_on_loop)
        except asyncio.CancelledError:
            # The attempt in flight ends with the caller, so that no connection is left to nobody.
            is_cancelled = True
            for task in filter(None, attempts):
                task.cancel()
            raise
        finally:
            executor.shutdown(wait=False)

    def opened(self, version: SecretVersion) -> Opened:
        """What to remember with a connection that was just opened with this version."""
        return Opened(version.identity, self._current() or version.identity)

    def is_superseded(self, opened: Opened) -> bool:
        """Whether AWSCURRENT has moved since, to another version than the connection was opened with.

        A hit of the cache. While the secret cannot be read nothing counts as superseded.
        """
        current = self._current()
        return current is not None and current not in (opened.version, opened.current)

    def _current(self) -> tuple[str, str] | None:
        with suppress(SecretError):
            return self._cache.get(self._secret_id).identity
        return None
