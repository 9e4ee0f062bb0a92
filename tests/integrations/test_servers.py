"""Each integration names the server that it connects to, so that one server's refusals are its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psycopg
import pymysql.err
import pytest
import redis
import redis.asyncio
import sqlalchemy as sa

from keyturn import SecretVersion
from keyturn.integrations import psycopg as by_psycopg
from keyturn.integrations import pymysql as by_pymysql
from keyturn.integrations import redis as by_redis
from keyturn.integrations.arguments import server_of
from keyturn.integrations.login import Login, Opened
from keyturn.integrations.sqlalchemy import log_in
from tests.integrations.conftest import Account

_T = TypeVar("_T")


class NotingLogin(Login):
    """Notes for which server each connection was to be opened."""

    servers: list[str]

    def open(self, connect: Callable[[SecretVersion], _T], *, server: str = "") -> tuple[_T, Opened]:
        self.servers.append(server)
        return super().open(connect, server=server)

    async def async_open(
        self, connect: Callable[[SecretVersion], Awaitable[_T]], *, server: str = ""
    ) -> tuple[_T, Opened]:
        self.servers.append(server)
        return await super().async_open(connect, server=server)


@pytest.fixture
def login() -> NotingLogin:
    """A login of an account whose secret names a host where nobody listens."""
    account = Account({"username": "app", "host": "127.0.0.1", "port": 1})
    noting = NotingLogin(account.cache, "app/db", budget_s=0)
    noting.servers = []
    return noting


def test_a_server_is_host_and_port_as_given() -> None:
    """What the caller gave, under the driver's names; nothing where the secret says it all."""
    assert "" == server_of({"dbname": "orders", "host": None})
    assert "db-1:" == server_of({"host": "db-1"})
    assert ":5433" == server_of({"port": 5433})
    assert "db-1:5433" == server_of({"server": "db-1", "at": "5433"}, host="server", port="at")


def test_psycopg(login: NotingLogin) -> None:
    """By conninfo, by keywords, by address; and without any of them."""
    for conninfo in ("host=127.0.0.1 port=2", "hostaddr=127.0.0.1 port=2", ""):
        with suppress(psycopg.OperationalError):
            by_psycopg.connect(login, conninfo)
    assert ["127.0.0.1:2", "127.0.0.1:2", ""] == login.servers


def test_psycopg_on_a_loop(login: NotingLogin) -> None:
    """The same for asyncio."""
    with suppress(psycopg.OperationalError):
        asyncio.run(by_psycopg.async_connection_class(login).connect(host="127.0.0.1", port=2))
    assert ["127.0.0.1:2"] == login.servers


def test_pymysql(login: NotingLogin, tmp_path: Path) -> None:
    """By host and port, or by a socket's path."""
    path = str(tmp_path / "silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        for arguments in ({"host": "127.0.0.1", "port": 2}, {"unix_socket": path, "read_timeout": 0.05}, {}):
            with suppress(pymysql.err.OperationalError):
                by_pymysql.connect(login, **arguments)
    assert ["127.0.0.1:2", path, ""] == login.servers


class OfflineSocketConnection(redis.UnixDomainSocketConnection):
    """A connection by a socket's path that reaches nobody."""

    def connect_check_health(self, *_: object, **__: object) -> None:
        raise redis.ConnectionError


def test_redis(login: NotingLogin) -> None:
    """Every node of a cluster is a server of its own; so is a socket."""
    by_path = by_redis.connection_class(login, OfflineSocketConnection)  # type: ignore[type-abstract]
    pools = (
        redis.ConnectionPool(connection_class=by_redis.connection_class(login), host="127.0.0.1", port=2),
        redis.ConnectionPool(connection_class=by_path, path="/run/redis.sock"),
    )
    for pool in pools:
        with suppress(redis.ConnectionError):
            pool.get_connection()
    assert ["127.0.0.1:2", "/run/redis.sock"] == login.servers


def test_redis_on_a_loop(login: NotingLogin) -> None:
    """The same for asyncio."""

    async def ping() -> None:
        kind = by_redis.async_connection_class(login)
        pool = redis.asyncio.ConnectionPool(connection_class=kind, host="127.0.0.1", port=2)
        with suppress(redis.ConnectionError):
            await pool.get_connection()  # type: ignore[no-untyped-call] # annotated in part

    asyncio.run(ping())
    assert ["127.0.0.1:2"] == login.servers


@pytest.mark.parametrize(("url", "server"), [("127.0.0.1:2/", "127.0.0.1:2"), ("", "")])
def test_sqlalchemy(login: NotingLogin, url: str, server: str) -> None:
    """By the host and port of the URL, if it has them."""
    engine = sa.create_engine(f"postgresql+psycopg://{url}")
    log_in(engine, login)
    with suppress(sa.exc.OperationalError, psycopg.OperationalError):
        engine.connect()
    assert [server] == login.servers


def test_the_option_of_the_login_wins() -> None:
    """Whoever names the server for all connections of a `Login` is not overruled: one memory for both."""
    account, tried = Account({"username": "app"}), list[str]()
    account.store("two", "v2", "AWSPENDING")
    login = Login(account.cache, "app/db", is_refused=lambda _: True, budget_s=0, server="all")

    def connect(version: SecretVersion) -> str:
        tried.append(version.version_id)
        if version.version_id == "v1":
            raise ConnectionError
        return version.version_id

    for server in ("a", "b"):
        login(connect, server=server)
    assert ["v1", "v2", "v2"] == tried
