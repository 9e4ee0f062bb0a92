"""psycopg and psycopg_pool: every new connection by the version that the server accepts."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from keyturn import LoginRefusedError
from keyturn.integrations.psycopg import (
    LoginConnection,
    async_connection_class,
    async_retire_superseded,
    connect,
    connection_class,
    retire_superseded,
)
from tests.integrations.conftest import DatabaseAccount

pytestmark = pytest.mark.e2e


def backend(pool: ConnectionPool[LoginConnection]) -> int:
    """The server's process behind a connection of the pool."""
    with pool.connection() as connection:
        return connection.info.backend_pid


def test_a_connection_in_the_window(account: DatabaseAccount) -> None:
    """Between setSecret and finishSecret a connection is opened with AWSPENDING."""
    with connect(account.login) as connection:
        assert "v1" == connection.opened.version[1]
    account.open_window()
    with connect(account.login, autocommit=True) as connection:
        assert "v2" == connection.opened.version[1]
        assert connection.autocommit
        assert account.fields["username"] == connection.info.user


def test_what_is_given_wins_but_for_user_and_password(account: DatabaseAccount) -> None:
    """A database or host of the caller's, by keyword or conninfo, is used; a password never is."""
    account.fields |= {"dbname": "not_there", "host": "192.0.2.1"}
    account.store("one", "v2", "AWSCURRENT")
    login = account.login
    with connect(
        login, "host=127.0.0.1 password=x", dbname="postgres", user="y", application_name="z"
    ) as one:
        assert "postgres" == one.info.dbname
        assert account.fields["username"] == one.info.user
        assert "z" == one.info.parameter_status("application_name")


def test_other_trouble_is_raised_as_it_is(account: DatabaseAccount) -> None:
    """A database that is not there is psycopg's own error, not a refused login."""
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(account.login, dbname="not_there")


def test_a_refused_login_names_the_versions(account: DatabaseAccount) -> None:
    """When no version is accepted, the error has psycopg's as its cause, and no password."""
    account.set_password("ALTER ROLE {} PASSWORD {}", "changed by hand")
    with pytest.raises(LoginRefusedError, match=r"version v1 \(AWSCURRENT\): OperationalError") as caught:
        connect(account.login)
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)


def test_a_pool_opens_its_connections_by_login(account: DatabaseAccount) -> None:
    """A pool that grows in the window gets what it asks for."""
    with ConnectionPool(connection_class=connection_class(account.login), min_size=1, max_size=3) as pool:
        pool.wait(10)
        account.open_window()
        with pool.connection(10) as one, pool.connection(10) as other, pool.connection(10) as third:
            assert {"v1", "v2"} == {each.opened.version[1] for each in (one, other, third)}


def test_a_superseded_connection_retires_by_choice(account: DatabaseAccount) -> None:
    """With the check it is replaced at its next check-out, without it works on."""
    kind = connection_class(account.login)
    with (
        ConnectionPool(connection_class=kind, min_size=1, max_size=1, check=retire_superseded) as retiring,
        ConnectionPool(connection_class=kind, min_size=1, max_size=1) as keeping,
    ):
        first, kept = backend(retiring), backend(keeping)
        account.open_window()
        assert first == backend(retiring)
        account.finish("v2")
        assert first != (second := backend(retiring))
        assert second == backend(retiring)
        assert kept == backend(keeping)


def test_a_connection_that_was_ahead_does_not_retire(account: DatabaseAccount) -> None:
    """Opened with AWSPENDING, which then becomes current: it is not superseded."""
    account.open_window()
    kind = connection_class(account.login)
    with ConnectionPool(connection_class=kind, min_size=1, max_size=1, check=retire_superseded) as pool:
        first = backend(pool)
        account.finish("v2")
        assert first == backend(pool)


def test_an_async_pool(account: DatabaseAccount) -> None:
    """Twelve tasks at once in the window, cold, by a host name: each gets a connection.

    Looking up the name needs a thread of the loop's pool; here that has one. Attempts that waited
    for one another in it, or in the loop, would never end.
    """
    account.fields["host"] = "localhost"
    account.store("one", "v1", "AWSCURRENT")
    account.open_window()
    kind = async_connection_class(account.login)

    async def use(pool: AsyncConnectionPool[psycopg.AsyncConnection]) -> int:
        async with pool.connection(20) as connection:
            await connection.execute("SELECT pg_sleep(0.05)")
            return connection.info.backend_pid

    async def run() -> list[int]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        pool: AsyncConnectionPool[psycopg.AsyncConnection] = AsyncConnectionPool(
            connection_class=kind, min_size=6, max_size=6, open=False, check=async_retire_superseded
        )
        async with pool:
            before = await asyncio.gather(*(use(pool) for _ in range(12)))
            account.finish("v2")
            account.store("two", "v3", "AWSCURRENT")
            account.clock.advance(301)
            after = await asyncio.gather(*(use(pool) for _ in range(12)))
        assert set(before).isdisjoint(after)
        return before

    assert 12 == len(asyncio.run(asyncio.wait_for(run(), 60)))
