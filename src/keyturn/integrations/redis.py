"""redis-py: every new connection authenticates through keyturn's login.

    pool = redis.ConnectionPool(connection_class=connection_class(login), host="cache.internal")
    client = redis.Redis.from_pool(pool)

A `CredentialProvider` cannot go on to the next version, since redis-py never tells it of a refusal. A class
of connections can. Host and port are the caller's. For TLS give the `SSLConnection` of `redis` or
`redis.asyncio` as the base.
"""

from __future__ import annotations

from redis.asyncio import connection as aio
from redis.connection import AbstractConnection, Connection
from redis.credentials import UsernamePasswordCredentialProvider

from keyturn.integrations.arguments import REDIS, arguments, server_of
from keyturn.integrations.login import Login
from keyturn.model.versions import SecretVersion


def connection_class(login: Login, base: type[AbstractConnection] = Connection) -> type[AbstractConnection]:
    """Return a class for `redis.ConnectionPool(connection_class=...)`. It raises `LoginRefusedError`."""

    class LoginConnection(base):  # type: ignore[valid-type, misc] # chosen by the caller
        # redis-py calls this at every check-out. An open connection does not log in again, and would count as
        # a success of a version that the server never saw.
        def connect_check_health(self, *args: object, **kwargs: object) -> None:
            def attempt(version: SecretVersion) -> None:
                self.credential_provider = _credentials(version)
                super(LoginConnection, self).connect_check_health(*args, **kwargs)

            if self._sock is None:
                login(attempt, server=_server(self))

    return LoginConnection


def async_connection_class(
    login: Login, base: type[aio.AbstractConnection] = aio.Connection
) -> type[aio.AbstractConnection]:
    """Return a class for `redis.asyncio.ConnectionPool(connection_class=...)`."""

    class AsyncLoginConnection(base):  # type: ignore[valid-type, misc] # chosen by the caller
        async def connect_check_health(self, *args: object, **kwargs: object) -> None:
            async def attempt(version: SecretVersion) -> None:
                self.credential_provider = _credentials(version)
                await super(AsyncLoginConnection, self).connect_check_health(*args, **kwargs)

            if not self.is_connected:
                await login.awaiting(attempt, server=_server(self))

    return AsyncLoginConnection


def _server(connection: object) -> str:
    """Name the server of a connection of redis-py, by its socket's path or its host and port."""
    told = {name: getattr(connection, name, None) for name in ("path", "host", "port")}
    return str(told["path"]) if told["path"] else server_of(told)


def _credentials(version: SecretVersion) -> UsernamePasswordCredentialProvider:
    found = arguments(version, REDIS)
    return UsernamePasswordCredentialProvider(str(found["username"]), str(found["password"]))
