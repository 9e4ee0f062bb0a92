"""SQLAlchemy 2: every new connection of an engine is opened through keyturn's login.

    engine = create_engine("postgresql+psycopg://")
    log_in(engine, Login(cache, "prod/orders"))
    retire_superseded(engine)

An `AsyncEngine` is given in the same way. The URL names the dialect. A host, port or database in the URL
comes before the secret's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.util import await_only, greenlet_spawn

from keyturn.errors import ConfigurationError
from keyturn.integrations.arguments import (
    ASYNCPG_TLS,
    CREDENTIALS,
    LIBPQ_TLS,
    PYMYSQL_TLS,
    Names,
    Tls,
    arguments,
    server_of,
)
from keyturn.integrations.login import Login, Opened
from keyturn.model.versions import SecretVersion

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

_OPENED: Final = "keyturn.opened"

_TLS: Final[Mapping[str, Tls]] = {
    "asyncpg": ASYNCPG_TLS,
    "psycopg": LIBPQ_TLS,
    "psycopg_async": LIBPQ_TLS,
    "psycopg2": LIBPQ_TLS,
    "pymysql": PYMYSQL_TLS,
}
"""Driver of a dialect -> how it is told what the secret's `ssl` says. To the others the caller says it."""

_LATIN_1: Final = frozenset({"aiomysql", "asyncmy", "pymysql"})
"""The drivers that encode a password as latin-1. aiomysql takes no bytes, as the two others do."""


def log_in(engine: Engine | AsyncEngine, login: Login) -> None:
    """Open the engine's new connections with the first version of the secret that is accepted.

    Raises `ConfigurationError` for a dialect that does not take user and password as named arguments, such as
    pyodbc's.
    """
    sync_engine = _sync(engine)
    names, joined = _names(sync_engine)
    tls = _TLS.get(sync_engine.dialect.driver)

    def do_connect(
        dialect: Dialect, record: ConnectionPoolEntry, args: Sequence[object], given: Mapping[str, object]
    ) -> DBAPIConnection:
        def connect(version: SecretVersion) -> DBAPIConnection:
            parameters = arguments(version, names, given, tls)
            if joined:
                _join_port(parameters, names["host"])
            if dialect.driver in _LATIN_1:
                # So the driver sends UTF-8, which the server hashed.
                parameters["password"] = str(parameters["password"]).encode().decode("latin-1")
            return dialect.connect(*args, **parameters)

        server = server_of(given, host=names.get("host", "host"), port=names.get("port", "port"))
        if dialect.is_async:
            opening = login.async_open(lambda version: greenlet_spawn(connect, version), server=server)
            connection, opened = await_only(opening)
        else:
            connection, opened = login.open(connect, server=server)
        record.info[_OPENED] = (login, opened)
        return connection

    event.listen(sync_engine, "do_connect", do_connect)


def retire_superseded(engine: Engine | AsyncEngine) -> None:
    """Replace a pooled connection at its check-out if AWSCURRENT has moved since it was opened.

    Nothing in keyturn needs this, since an open connection goes on working after a rotation. It is for
    servers that end sessions of an old password, and for rules that demand it. Call it after `log_in`. An
    async engine reads the cache in a thread where the check-out is no hit.
    """
    sync_engine = _sync(engine)

    def is_superseded(login: Login, opened: Opened) -> bool:
        if sync_engine.dialect.is_async:
            return await_only(login.async_is_superseded(opened))
        return login.is_superseded(opened)

    def checkout(
        _connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
    ) -> None:
        login, opened = record.info.get(_OPENED, (None, None))
        if isinstance(login, Login) and isinstance(opened, Opened) and is_superseded(login, opened):
            raise DisconnectionError("the connection was opened with a version that is no longer AWSCURRENT")

    event.listen(sync_engine, "checkout", checkout)


def _sync(engine: Engine | AsyncEngine) -> Engine:
    return engine if isinstance(engine, Engine) else engine.sync_engine


def _join_port(parameters: dict[str, object], host: str) -> None:
    """Move the port behind the host, as `host:port`, for a driver that is given both in one."""
    port = parameters.pop("port", None)
    address = str(parameters.get(host, ""))
    if port is not None and address and ":" not in address:
        parameters[host] = f"{address}:{port}"


def _names(engine: Engine) -> tuple[Names, bool]:
    """Return the dialect's names for the fields of a login, and whether it joins the port to the host.

    The dialect gets a URL whose values are the names of the fields, and shows how it passes each of them on.
    What a query says of the server, several hosts for example, stands in the way of that and is left out.
    """
    url = engine.url.difference_update_query(("host", "port", "service_name")).set(
        username="username",
        password="password",  # noqa: S106 # a name, and no password
        host="host",
        port=54321,
        database="dbname",
    )
    _, parameters = engine.dialect.create_connect_args(url)
    field_of = {"54321": "port", "host:54321": "host"}
    field_of |= {field: field for field in ("username", "password", "host", "dbname")}
    names = {field_of[str(value)]: name for name, value in parameters.items() if str(value) in field_of}
    if not names.keys() >= set(CREDENTIALS):
        raise ConfigurationError(
            f"{engine.url.drivername} does not take user and password as named arguments"
        )
    is_named = engine.url.host or "host" in engine.url.query
    if "host" not in names and not is_named:
        raise ConfigurationError(
            f"{engine.url.drivername} does not take the host as a named argument, so it would not connect to "
            "the secret's host: name the host in the URL"
        )
    joined = "host:54321" in map(str, parameters.values())
    return {**names, **({"port": "port"} if joined else {})}, joined
