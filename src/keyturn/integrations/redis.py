"""redis-py: every new connection authenticates through keyturn's login.

    pool = redis.ConnectionPool(connection_class=connection_class(login), host="cache.internal")
    client = redis.Redis.from_pool(pool)

A `CredentialProvider` is only asked for credentials and never hears that they were refused, so it
cannot go on to the next version; a class of connections can. Host and port are the caller's. For TLS
give `redis.SSLConnection` as the base. There is none for asyncio yet.
"""

from __future__ import annotations

from redis.connection import AbstractConnection, Connection
from redis.credentials import UsernamePasswordCredentialProvider

from keyturn.integrations.arguments import REDIS, arguments
from keyturn.integrations.login import Login
from keyturn.values import SecretVersion


def connection_class(login: Login, base: type[AbstractConnection] = Connection) -> type[AbstractConnection]:
    """The class to give `redis.ConnectionPool(connection_class=...)`; it raises `LoginRefusedError`."""

    class LoginConnection(base):  # type: ignore[valid-type, misc] # chosen by the caller
        # redis-py comes here for every new connection, also for one that it has lost.
        def connect_check_health(self, *args: object, **kwargs: object) -> None:
            def attempt(version: SecretVersion) -> None:
                self.credential_provider = _credentials(version)
                super(LoginConnection, self).connect_check_health(*args, **kwargs)

            login(attempt)

    return LoginConnection


def _credentials(version: SecretVersion) -> UsernamePasswordCredentialProvider:
    found = arguments(version, REDIS)
    return UsernamePasswordCredentialProvider(str(found["username"]), str(found["password"]))
