"""Drivers' errors have the password in their frames, and have it no more after keyturn's logins.

Real servers and real drivers: each line of `PLACES` is a login that fails.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import uuid
from collections.abc import Callable, Mapping
from types import ModuleType

import django
import psycopg
import psycopg_pool
import pymysql
import pytest
import redis
import sqlalchemy as sa
from django.conf import settings
from django.db.utils import ConnectionHandler
from psycopg import sql
from sqlalchemy.ext.asyncio import create_async_engine

from keyturn import Peers, SecretCache
from keyturn.integrations import psycopg as by_psycopg
from keyturn.integrations import pymysql as by_pymysql
from keyturn.integrations import redis as by_redis
from keyturn.integrations.login import Login
from keyturn.integrations.sqlalchemy import log_in
from keyturn.testing.embedded import EmbeddedPostgres, free_port
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.security.canary.watched import CANARY, SHOWN, assert_unseen, everything_logged, raised_by

pytestmark = pytest.mark.e2e
log = logging.getLogger("keyturn")


class Account:
    """A role of the server whose password is another one than the secret's."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self.user = f"app_{uuid.uuid4().hex[:8]}"
        self.port, self.database = postgres.port, postgres.database
        with postgres.connect() as connection:
            names = sql.Identifier(self.user), sql.Literal("another")
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(*names))

    def login(self, **fields: str | int) -> Login:
        """A login with the secret, of which these fields are different."""
        clock = FakeClock()
        secrets = FakeSecretsManager(clock)
        value = {
            "host": "127.0.0.1",
            "port": self.port,
            "username": self.user,
            "password": CANARY,
            "dbname": self.database,
        }
        secrets.create("app/db", json.dumps({**value, **fields}))
        return Login(
            SecretCache(marker_table=False, peers=Peers(source=secrets, clock=clock, sleep=clock.advance)),
            "app/db",
            budget_s=0,
        )


def by_an_engine(url: str, login: Login) -> None:
    """A connection of an engine."""
    engine = sa.create_engine(url)
    log_in(engine, login)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def by_django(login: Login) -> None:
    """A connection of the Django backend."""
    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    module = ModuleType("canarys_secrets")
    vars(module)["login"] = login
    sys.modules[module.__name__] = module
    options = {"login": "canarys_secrets.login"}
    database = {"ENGINE": "keyturn.integrations.django", "NAME": "postgres", "OPTIONS": options}
    ConnectionHandler({"default": database})["default"].connect()


def by_an_async_engine(login: Login) -> None:
    """A connection of an async engine."""

    async def run() -> None:
        engine = create_async_engine("postgresql+asyncpg://")
        log_in(engine, login)
        try:
            await (await engine.connect()).close()
        finally:
            await engine.dispose()

    asyncio.run(run())


def by_an_async_connection(login: Login) -> None:
    """A connection of psycopg's for asyncio."""

    async def run() -> None:
        await by_psycopg.async_connection_class(login).connect()

    asyncio.run(run())


def by_a_pool(login: Login) -> None:
    """A pool that never gets a connection, and logs why."""
    with psycopg_pool.ConnectionPool(
        connection_class=by_psycopg.connection_class(login), min_size=1, timeout=0.5, reconnect_timeout=0.5
    ) as pool:
        pool.wait(timeout=0.5)


def by_redis_py(login: Login) -> None:
    """A client of redis-py without a server."""
    kind = by_redis.connection_class(login)
    redis.Redis.from_pool(
        redis.ConnectionPool(connection_class=kind, host="127.0.0.1", port=free_port())
    ).ping()


PLACES: Mapping[str, tuple[str, Callable[[Account], object]]] = {
    "psycopg, refused": ("LoginRefusedError", lambda account: by_psycopg.connect(account.login())),
    "psycopg, refused, with a database of the caller's": (
        "LoginRefusedError",
        lambda account: by_psycopg.connect(account.login(), dbname="nowhere_at_all"),
    ),
    "psycopg, no server": (
        "OperationalError",
        lambda account: by_psycopg.connect(account.login(port=free_port())),
    ),
    "psycopg, an option that it does not know": (
        "ProgrammingError",
        lambda account: by_psycopg.connect(account.login(), nonsense="1"),
    ),
    "psycopg for asyncio, refused": (
        "LoginRefusedError",
        lambda account: by_an_async_connection(account.login()),
    ),
    "psycopg for asyncio, no server": (
        "OperationalError",
        lambda account: by_an_async_connection(account.login(port=free_port())),
    ),
    "psycopg_pool, refused": ("PoolTimeout", lambda account: by_a_pool(account.login())),
    "psycopg by a function of one's own": (
        "OperationalError",
        lambda account: account.login(port=free_port())(
            lambda version: psycopg.connect(
                host="127.0.0.1", port=version.fields()["port"], password=version.fields()["password"]
            )
        ),
    ),
    "SQLAlchemy and psycopg, refused": (
        "LoginRefusedError",
        lambda account: by_an_engine("postgresql+psycopg://", account.login()),
    ),
    "SQLAlchemy and psycopg, no server": (
        "OperationalError",
        lambda account: by_an_engine("postgresql+psycopg://", account.login(port=free_port())),
    ),
    "SQLAlchemy and psycopg2, refused": (
        "LoginRefusedError",
        lambda account: by_an_engine("postgresql+psycopg2://", account.login()),
    ),
    "SQLAlchemy and asyncpg, refused": (
        "LoginRefusedError",
        lambda account: by_an_async_engine(account.login()),
    ),
    "SQLAlchemy and asyncpg, no server": (
        "Error",
        lambda account: by_an_async_engine(account.login(port=free_port())),
    ),
    "Django, refused": ("LoginRefusedError", lambda account: by_django(account.login())),
    "Django, no server": ("OperationalError", lambda account: by_django(account.login(port=free_port()))),
    "PyMySQL, no server": (
        "OperationalError",
        lambda account: by_pymysql.connect(account.login(port=free_port())),
    ),
    "redis-py, no server": ("ConnectionError", lambda account: by_redis_py(account.login())),
}


@pytest.fixture(scope="module")
def account(postgres: EmbeddedPostgres) -> Account:
    """A role of the server."""
    return Account(postgres)


@pytest.mark.parametrize("place", PLACES)
def test_no_failed_login_holds_or_logs_the_password(place: str, account: Account) -> None:
    """The error with its chain, in all ways of showing it, and every log at the level DEBUG."""
    witness, call = PLACES[place]
    with everything_logged() as seen:
        log.debug("the witness")
        error = raised_by(lambda: call(account))
    assert_unseen(seen.getvalue(), "the witness")
    for shown in SHOWN.values():
        assert_unseen(shown(error), witness)


def test_a_login_that_succeeds_logs_no_password(postgres: EmbeddedPostgres) -> None:
    """psycopg, SQLAlchemy and asyncpg at the level DEBUG, with the right password."""
    account = Account(postgres)
    with postgres.connect() as connection:
        names = sql.Identifier(account.user), sql.Literal(CANARY)
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(*names))
    with everything_logged() as seen:
        log.debug("the witness")
        by_psycopg.connect(account.login()).close()
        by_an_engine("postgresql+psycopg://", account.login())
        by_an_async_engine(account.login())
    assert_unseen(seen.getvalue(), "the witness")


def test_the_driver_alone_shows_the_password(account: Account) -> None:
    """Without keyturn the same failure has it in its frames and attributes: so the tests above can fail."""
    arguments = {"host": "127.0.0.1", "port": free_port(), "password": CANARY}
    error = raised_by(lambda: psycopg.connect(**arguments))  # type: ignore[arg-type] # a dict of both kinds
    shown = {way for way, show in SHOWN.items() if CANARY in show(error)}
    assert {"a traceback with locals", "the locals of frames", "Sentry's capture"} <= shown


def test_pymysqls_error_is_pymysqls(account: Account) -> None:
    """What is passed on stays the driver's own error, with its text."""
    error = raised_by(lambda: PLACES["PyMySQL, no server"][1](account))
    assert isinstance(error, pymysql.err.OperationalError)
    assert "Can't connect" in str(error)
