"""`Login`: which secret an integration logs in with, and how. Every integration takes one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, Unpack

from keyturn.client import SecretCache
from keyturn.errors import ConfigurationError, SecretError
from keyturn.login.logins import Attempt
from keyturn.login.policy import LoginOptions
from keyturn.model.plain import connected, yet_to_be_connected
from keyturn.model.versions import SecretVersion

if TYPE_CHECKING:
    # Loaded when a task logs in: only then asyncio is needed.
    from keyturn.aio.client import AsyncSecretCache
    from keyturn.aio.logins import AsyncAttempt

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Opened:
    """The version that a connection was opened with, and the version that was AWSCURRENT then.

    Each is an ARN and a version id.
    """

    version: tuple[str, str]
    current: tuple[str, str]


class Login:
    """A cache, the id of a secret in it, and how to log in with that: the options of `SecretCache.login`.

    The cache may be a `SecretCache` or an `AsyncSecretCache`. `is_refused` is `keyturn.refusals.is_refused`
    unless given. Threads and tasks may share a `Login`. Raises `ConfigurationError` for what is no cache.

    Every method that opens a connection takes `server`: the name of the server that it connects to, where
    the caller chooses among several. The option `server` of the `Login` itself wins.
    """

    def __init__(
        self,
        cache: SecretCache | AsyncSecretCache,
        secret_id: str,
        **options: Unpack[LoginOptions],
    ) -> None:
        self._async_cache: AsyncSecretCache | None = None
        if isinstance(cache, SecretCache):
            self._cache = cache
        elif hasattr(cache, "sync"):
            self._cache, self._async_cache = cache.sync, cache
        else:
            raise ConfigurationError(
                f"the cache is a {type(cache).__name__}: give a SecretCache or an AsyncSecretCache, or the "
                "`keyturn` of a keyturn.compat.SecretCache"
            )
        self._secret_id = secret_id
        self._options = options

    def __repr__(self) -> str:
        return f"Login({self._secret_id!r})"

    def __call__(self, connect: Callable[[SecretVersion], _T], *, server: str = "") -> _T:
        """Return what `connect` returns for the first version accepted; errors as of `SecretCache.login`."""
        return self.open(connect, server=server)[0]

    def open(self, connect: Callable[[SecretVersion], _T], *, server: str = "") -> tuple[_T, Opened]:
        """Return what `connect` returns, and what to remember with it for `is_superseded`."""
        for attempt in self._attempts(server):
            with attempt as version:
                return connected(connect(version)), _opened(attempt)
        raise AssertionError("login attempts end with a success or an error")

    async def awaiting(self, connect: Callable[[SecretVersion], Awaitable[_T]], *, server: str = "") -> _T:
        """Return what `connect` returns when awaited, for the first version accepted.

        `connect` runs in the task that awaits this, with its context variables. A version that this process
        has logged in with needs no thread; reading secrets and waiting is done in threads, for at most as
        long as `budget_s`, `remaining_s` and the reads allow. The caller may be cancelled at any time: the
        attempt under way is cancelled with it, no further attempt begins, and no thread waits for the loop.
        """
        connection, _ = await self.async_open(connect, server=server)
        return connection

    async def async_open(
        self, connect: Callable[[SecretVersion], Awaitable[_T]], *, server: str = ""
    ) -> tuple[_T, Opened]:
        """Return what `connect` returns when awaited, and what to remember with it for `is_superseded`."""
        attempts = self._for_tasks().login_attempts(self._secret_id, **self._options_for(server))
        async for attempt in attempts:
            async with attempt as version:
                return await yet_to_be_connected(connect(version)), _opened(attempt)
        raise AssertionError("login attempts end with a success or an error")

    def current(self) -> SecretVersion:
        """Return the version that is AWSCURRENT, without a login; errors as of `SecretCache.get`."""
        return self._cache.get(self._secret_id)

    def opened(self, version: SecretVersion) -> Opened:
        """Return what to remember with a connection that was just opened with this version.

        Reads the cache, so it is not for an event loop: there take it from `async_open`.
        """
        current = self._current()
        return Opened(version.identity, current.identity if current is not None else version.identity)

    async def async_opened(self) -> Opened | None:
        """Return what to remember with a connection that is opened now with AWSCURRENT.

        None while the secret cannot be read. The loop does not wait for what is no hit of the cache.
        """
        with suppress(SecretError):
            current = await self.async_current()
            return Opened(current.identity, current.identity)
        return None

    async def async_current(self) -> SecretVersion:
        """Return AWSCURRENT, for an event loop. Raises a `SecretError`."""
        return await self._for_tasks().get(self._secret_id)

    def is_superseded(self, opened: Opened) -> bool:
        """Return True if AWSCURRENT has moved to another version than the connection was opened with.

        Mostly a hit of the cache; a check of the table or a read of the secret where that is due. While
        the secret cannot be read no connection counts as superseded.
        """
        return _is_superseded(opened, self._current())

    async def async_is_superseded(self, opened: Opened) -> bool:
        """Return what `is_superseded` returns; the loop does not wait for what is no hit of the cache."""
        current = None
        with suppress(SecretError):
            current = await self.async_current()
        return _is_superseded(opened, current)

    def _attempts(self, server: str) -> Iterator[Attempt]:
        return self._cache.login_attempts(self._secret_id, **self._options_for(server))

    def _options_for(self, server: str) -> LoginOptions:
        return {"server": server, **self._options}

    def _for_tasks(self) -> AsyncSecretCache:
        """Return the same cache for tasks."""
        if self._async_cache is None:
            from keyturn.aio.client import AsyncSecretCache

            self._async_cache = AsyncSecretCache(self._cache)
        return self._async_cache

    def _current(self) -> SecretVersion | None:
        with suppress(SecretError):
            return self.current()
        return None


def _opened(attempt: Attempt | AsyncAttempt) -> Opened:
    return Opened(attempt.version.identity, attempt.current.identity)


def _is_superseded(opened: Opened, current: SecretVersion | None) -> bool:
    return current is not None and current.identity not in (opened.version, opened.current)
