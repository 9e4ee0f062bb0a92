"""A driver in a story: how keyturn logs in by it, and how code does that reads the secret once more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from keyturn import SecretCache
from keyturn.integrations.login import Login
from keyturn.refusals import is_refused
from tests.stories.workers import LogIn

Fields: TypeAlias = Mapping[str, str]
"""The fields of a secret: username, password, host, port, dbname."""

CONNECT_TIMEOUT_S = 20
"""Longer than a busy machine takes for any login."""


@dataclass
class Held:
    """The fields that a worker without keyturn has at hand. `read` gets AWSCURRENT from Secrets Manager."""

    read: Callable[[], Fields]
    fields: Fields = field(init=False)
    refused: int = 0

    def __post_init__(self) -> None:
        self.fields = self.read()

    def refresh_and_retry_once(self, log_in: LogIn) -> None:
        """Log in; if that is refused, read the secret again, and log in once more."""
        try:
            self._try(log_in)
        except Exception as error:
            if not is_refused(error):
                raise
            self.fields = self.read()
            self._try(log_in)

    def _try(self, log_in: LogIn) -> None:
        try:
            log_in()
        except Exception as error:
            self.refused += is_refused(error)
            raise


@dataclass(frozen=True, slots=True)
class Access:
    """A worker's cache, and the secret in it. `previous` is the option of a login."""

    cache: SecretCache
    secret_id: str
    previous: bool


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver's name, and its two ways to log in. Each gives a function that opens a new connection.

    `usual` gets what the worker holds, and connects with that.
    """

    title: str
    keyturn: Callable[[Access], AbstractContextManager[LogIn]]
    usual: Callable[[Held], AbstractContextManager[LogIn]]


def by_login(
    opening: Callable[[Login], AbstractContextManager[LogIn]],
) -> Callable[[Access], AbstractContextManager[LogIn]]:
    """Return keyturn's way of a driver whose integration takes a `Login`."""
    return lambda access: opening(Login(access.cache, access.secret_id, previous=access.previous))


def plain(title: str, visit: Callable[[Fields], object]) -> Driver:
    """A driver without an integration: `visit` opens and closes a connection with a version's fields."""

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        yield lambda: login(lambda version: visit(version.fields()))

    return Driver(title, by_login(keyturn), visiting(visit))


def visiting(visit: Callable[[Fields], object]) -> Callable[[Held], AbstractContextManager[LogIn]]:
    """Return the usual way of a driver of which `visit` opens and closes a connection."""

    @contextmanager
    def usual(held: Held) -> Iterator[LogIn]:
        yield lambda: visit(held.fields)

    return usual


def looped(title: str, visit: Callable[[Fields], Awaitable[object]]) -> Driver:
    """A driver for an event loop, without an integration. A worker has one loop all its life."""

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        async def once() -> None:
            await login.awaiting(lambda version: visit(version.fields()))

        with on_a_loop(once) as log_in:
            yield log_in

    return Driver(title, by_login(keyturn), visiting_on_a_loop(visit))


def visiting_on_a_loop(
    visit: Callable[[Fields], Awaitable[object]],
) -> Callable[[Held], AbstractContextManager[LogIn]]:
    """Return the usual way of a driver for an event loop."""

    @contextmanager
    def usual(held: Held) -> Iterator[LogIn]:
        async def once() -> None:
            await visit(held.fields)

        with on_a_loop(once) as log_in:
            yield log_in

    return usual


@contextmanager
def on_a_loop(once: Callable[[], Coroutine[object, object, object]]) -> Iterator[LogIn]:
    """Give a function that runs `once` on the loop of this block."""
    with asyncio.Runner() as runner:
        yield lambda: runner.run(asyncio.wait_for(once(), CONNECT_TIMEOUT_S))
