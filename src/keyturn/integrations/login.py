"""`Login`: which secret an integration logs in with, and how. Every integration takes one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar, Unpack

from keyturn.client import SecretCache
from keyturn.errors import SecretError
from keyturn.integrations.threads import in_thread
from keyturn.login.caller import CALLER, LoopCaller
from keyturn.login.logins import Attempt
from keyturn.login.policy import LoginOptions
from keyturn.model.versions import SecretVersion

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

    `is_refused` is `keyturn.refusals.is_refused` unless given. Threads and tasks may share a `Login`.

    Every method that opens a connection takes `server`: the name of the server that it connects to, where
    the caller chooses among several. The option `server` of the `Login` itself wins.
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

    def __call__(self, connect: Callable[[SecretVersion], _T], *, server: str = "") -> _T:
        """Return what `connect` returns for the first version accepted; errors as of `SecretCache.login`."""
        return self.open(connect, server=server)[0]

    def open(self, connect: Callable[[SecretVersion], _T], *, server: str = "") -> tuple[_T, Opened]:
        """Return what `connect` returns, and what to remember with it for `is_superseded`."""
        for attempt in self._attempts(server):
            with attempt as version:
                return connect(version), _opened(attempt)
        raise AssertionError("login attempts end with a success or an error")

    async def awaiting(self, connect: Callable[[SecretVersion], Awaitable[_T]], *, server: str = "") -> _T:
        """Return what `connect` returns when awaited, for the first version accepted.

        `connect` runs in the task that awaits this, on its loop and with its context variables. Reading
        secrets and waiting is done in threads, for at most as long as `budget_s`, `remaining_s` and the
        reads allow. The caller may be cancelled at any time: the attempt under way is cancelled with it,
        no further attempt begins, and no thread waits for the loop.
        """
        connection, _ = await self.async_open(connect, server=server)
        return connection

    async def async_open(
        self, connect: Callable[[SecretVersion], Awaitable[_T]], *, server: str = ""
    ) -> tuple[_T, Opened]:
        """Return what `connect` returns when awaited, and what to remember with it for `is_superseded`."""
        with _Steps(self._attempts(server)) as steps:
            while (attempt := await steps.next()) is not None:
                with attempt as version:
                    return await connect(version), _opened(attempt)
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

        None while the secret cannot be read. Whatever is no hit of the cache is read in a thread.
        """
        current = self._cache.peek(self._secret_id) or await in_thread(self._current)
        return None if current is None else Opened(current.identity, current.identity)

    def is_superseded(self, opened: Opened) -> bool:
        """Return True if AWSCURRENT has moved to another version than the connection was opened with.

        Mostly a hit of the cache; a check of the table or a read of the secret where that is due. While
        the secret cannot be read no connection counts as superseded.
        """
        return _is_superseded(opened, self._current())

    async def async_is_superseded(self, opened: Opened) -> bool:
        """Return what `is_superseded` returns; whatever is no hit of the cache is read in a thread."""
        current = self._cache.peek(self._secret_id)
        return _is_superseded(opened, current or await in_thread(self._current))

    def _attempts(self, server: str) -> Iterator[Attempt]:
        options: LoginOptions = {"server": server, **self._options}
        return self._cache.login_attempts(self._secret_id, **options)

    def _current(self) -> SecretVersion | None:
        with suppress(SecretError):
            return self._cache.get(self._secret_id)
        return None


class _Steps:
    """Takes the steps of one login for a task: each in a thread, and none after the task has left."""

    def __init__(self, attempts: Iterator[Attempt]) -> None:
        self._attempts = attempts
        self._caller = LoopCaller()
        self._context = copy_context()
        self._context.run(CALLER.set, self._caller)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._caller.is_gone = True
        self._close()

    async def next(self) -> Attempt | None:
        """Return the next attempt, or None where there is none."""
        return await in_thread(self._step, self._context)

    def _step(self) -> Attempt | None:
        attempt = next(self._attempts, None)
        if self._caller.is_gone:
            # The task left during the step, so it could not close the attempts itself.
            self._close()
        return attempt

    def _close(self) -> None:
        """End the login and its turn; while a step is under way, its thread does that when it is done."""
        close = getattr(self._attempts, "close", None)
        if close is not None:
            with suppress(ValueError):
                close()


def _opened(attempt: Attempt) -> Opened:
    return Opened(attempt.version.identity, attempt.current.identity)


def _is_superseded(opened: Opened, current: SecretVersion | None) -> bool:
    return current is not None and current.identity not in (opened.version, opened.current)
