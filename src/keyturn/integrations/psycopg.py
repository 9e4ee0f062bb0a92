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

from keyturn.integrations.arguments import LIBPQ, arguments, server_of
from keyturn.integrations.login import Login, Opened
from keyturn.model.versions import SecretVersion


class SupersededError(psycopg.OperationalError):
    """This pooled connection was opened with a version that is no longer AWSCURRENT."""


class LoginConnection(psycopg.Connection):
    """A connection that knows its login; `connection_class` makes the classes that a pool can use."""

    login: Login
    opened: Opened

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: object) -> Self:
        """As `psycopg.Connection.connect`, with the user and password of the secret.

        Host, port and dbname are the secret's too where neither `conninfo` nor `kwargs` has them.
        """
        given = {**conninfo_to_dict(conninfo), **kwargs}
        opening = partial(cls._open, given=given)
        connection, opened = cls.login.open(opening, server=_server(given))
        connection.opened = opened
        return connection

    @classmethod
    def _open(cls, version: SecretVersion, given: Mapping[str, object]) -> Self:
        # psycopg judges the arguments itself.
        return super().connect(**arguments(version, LIBPQ, given))  # type: ignore[arg-type]

    def is_superseded(self) -> bool:
        """Return True if AWSCURRENT moved to another version since this connection was opened."""
        return self.login.is_superseded(self.opened)


class AsyncLoginConnection(psycopg.AsyncConnection):
    """The same for asyncio."""

    login: Login
    opened: Opened

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: object) -> Self:
        """As `LoginConnection.connect`."""
        given = {**conninfo_to_dict(conninfo), **kwargs}
        opening = partial(cls._open, given=given)
        connection, opened = await cls.login.async_open(opening, server=_server(given))
        connection.opened = opened
        return connection

    @classmethod
    async def _open(cls, version: SecretVersion, given: Mapping[str, object]) -> Self:
        # psycopg judges the arguments itself.
        return await super().connect(**arguments(version, LIBPQ, given))  # type: ignore[arg-type]

    async def is_superseded(self) -> bool:
        """As `LoginConnection.is_superseded`; never reads the cache on the loop."""
        return await self.login.async_is_superseded(self.opened)


def connection_class(login: Login) -> type[LoginConnection]:
    """The class to give `psycopg_pool.ConnectionPool(connection_class=...)`, or to call `connect` of."""
    return type("LoginConnection", (LoginConnection,), {"login": login})


def async_connection_class(login: Login) -> type[AsyncLoginConnection]:
    """The class to give `psycopg_pool.AsyncConnectionPool(connection_class=...)`."""
    return type("AsyncLoginConnection", (AsyncLoginConnection,), {"login": login})


def connect(login: Login, conninfo: str = "", **kwargs: object) -> LoginConnection:
    """One connection; the arguments are those of `psycopg.connect`.

    Raises `LoginRefusedError`, or what psycopg raises for anything but a refusal.
    """
    return connection_class(login).connect(conninfo, **kwargs)


def retire_superseded(connection: psycopg.Connection) -> None:
    """A `check` for `ConnectionPool`: a superseded connection is closed and replaced at its check-out."""
    if isinstance(connection, LoginConnection) and connection.is_superseded():
        _retire(connection)


async def async_retire_superseded(connection: psycopg.AsyncConnection) -> None:
    """The same for `AsyncConnectionPool`."""
    if isinstance(connection, AsyncLoginConnection) and await connection.is_superseded():
        _retire(connection)


def _server(given: Mapping[str, object]) -> str:
    return server_of({"host": given.get("hostaddr"), **given})


def _retire(connection: LoginConnection | AsyncLoginConnection) -> None:
    # A pool replaces what failed its check only if it is closed, and its `close()` may mean "give back".
    connection.pgconn.finish()
    raise SupersededError("opened with a version that is no longer AWSCURRENT")
