"""redis-py: every new connection authenticates through keyturn's login.

    client = redis.Redis(host="cache.internal", ssl=True, redis_connect_func=log_in(login))
    client = redis.asyncio.Redis(host="cache.internal", redis_connect_func=async_log_in(login))

A `CredentialProvider` is only asked for credentials and never hears that they were refused, so it
cannot go on to the next version. `redis_connect_func` can: a refused AUTH leaves the connection open.
Host and port are the caller's, since the connection is there before any version is tried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from redis.asyncio.connection import AbstractConnection as AsyncConnection
from redis.connection import AbstractConnection
from redis.credentials import UsernamePasswordCredentialProvider

from keyturn.integrations.arguments import REDIS, arguments
from keyturn.integrations.login import Login
from keyturn.values import SecretVersion


def log_in(login: Login) -> Callable[[AbstractConnection], None]:
    """What to give `redis.Redis` or a pool as `redis_connect_func`."""

    def connect(connection: AbstractConnection) -> None:
        def attempt(version: SecretVersion) -> None:
            connection.credential_provider = _credentials(version)
            connection.on_connect()  # type: ignore[no-untyped-call] # redis-py annotates in part

        login(attempt)

    return connect


def async_log_in(login: Login) -> Callable[[AsyncConnection], Awaitable[None]]:
    """The same for `redis.asyncio`."""

    async def connect(connection: AsyncConnection) -> None:
        async def attempt(version: SecretVersion) -> None:
            connection.credential_provider = _credentials(version)
            await connection.on_connect()

        await login.awaiting(attempt)

    return connect


def _credentials(version: SecretVersion) -> UsernamePasswordCredentialProvider:
    found = arguments(version, REDIS)
    return UsernamePasswordCredentialProvider(str(found["username"]), str(found["password"]))
