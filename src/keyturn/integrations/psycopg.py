"""psycopg 3 and psycopg_pool: connections opened through keyturn's login.

One connection, and a pool of them:

    login = Login(cache, "prod/orders")
    with connect(login, autocommit=True) as connection: ...
    pool = ConnectionPool(connection_class=connection_class(login), check=retire_superseded)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from keyturn.integrations.arguments import LIBPQ, LIBPQ_TLS, arguments, server_of
from keyturn.integrations.login import Login, Opened
from keyturn.model.versions import SecretVersion


class SupersededError(psycopg.OperationalError):
    """The pooled connection was opened with a version that is no longer AWSCURRENT."""


class LoginConnection(psycopg.Connection):
    """A connection with its login. `connection_class` makes the classes that a pool can use."""

    login: Login
    opened: Opened

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: object) -> Self:
        """Connect as `psycopg.Connection.connect` does, with the user and password of the secret.

        Host, port and dbname are the secret's too, unless `conninfo` or `kwargs` has them.
        """
        given = {**conninfo_to_dict(conninfo), **kwargs}
        opening = partial(cls._open, given=given)
        connection, opened = cls.login.open(opening, server=_server(given))
        connection.opened = opened
        return connection

    @classmethod
    def _open(cls, version: SecretVersion, given: Mapping[str, object]) -> Self:
        # psycopg checks the arguments itself.
        return super().connect(**arguments(version, LIBPQ, given, LIBPQ_TLS))  # type: ignore[arg-type]

    def is_superseded(self) -> bool:
        """Return True if AWSCURRENT has moved to another version since this connection was opened."""
        return self.login.is_superseded(self.opened)


class AsyncLoginConnection(psycopg.AsyncConnection):
    """The connection class for asyncio. See `LoginConnection`."""

    login: Login
    opened: Opened

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: object) -> Self:
        """Connect. See `LoginConnection.connect`."""
        given = {**conninfo_to_dict(conninfo), **kwargs}
        opening = partial(cls._open, given=given)
        connection, opened = await cls.login.async_open(opening, server=_server(given))
        connection.opened = opened
        return connection

    @classmethod
    async def _open(cls, version: SecretVersion, given: Mapping[str, object]) -> Self:
        # psycopg checks the arguments itself.
        return await super().connect(**arguments(version, LIBPQ, given, LIBPQ_TLS))  # type: ignore[arg-type]

    async def is_superseded(self) -> bool:
        """See `LoginConnection.is_superseded`. Never reads the cache on the loop."""
        return await self.login.async_is_superseded(self.opened)


def connection_class(login: Login) -> type[LoginConnection]:
    """Return a class for `psycopg_pool.ConnectionPool(connection_class=...)`, or to call `connect` of."""
    return type("LoginConnection", (LoginConnection,), {"login": login})


def async_connection_class(login: Login) -> type[AsyncLoginConnection]:
    """Return a class for `psycopg_pool.AsyncConnectionPool(connection_class=...)`."""
    return type("AsyncLoginConnection", (AsyncLoginConnection,), {"login": login})


def connect(login: Login, conninfo: str = "", **kwargs: object) -> LoginConnection:
    """Open a connection. The arguments are those of `psycopg.connect`.

    Raises `LoginRefusedError`, or psycopg's own error for anything but a refusal.
    """
    return connection_class(login).connect(conninfo, **kwargs)


def retire_superseded(connection: psycopg.Connection) -> None:
    """Close a superseded connection at its check-out, so that the pool replaces it.

    Use it as the `check` of a `ConnectionPool`.
    """
    if isinstance(connection, LoginConnection) and connection.is_superseded():
        _retire(connection)


async def async_retire_superseded(connection: psycopg.AsyncConnection) -> None:
    """Close a superseded connection at its check-out, for `AsyncConnectionPool`."""
    if isinstance(connection, AsyncLoginConnection) and await connection.is_superseded():
        _retire(connection)


def _server(given: Mapping[str, object]) -> str:
    return server_of({"host": given.get("hostaddr"), **given})


def _retire(connection: LoginConnection | AsyncLoginConnection) -> None:
    # A pool replaces a connection that failed its check only if it is closed, and the connection's `close()`
    # may mean "give back".
    connection.pgconn.finish()
    raise SupersededError("the connection was opened with a version that is no longer AWSCURRENT")
