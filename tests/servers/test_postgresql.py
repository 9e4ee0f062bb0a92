"""PostgreSQL through a rotation: in other languages, behind PgBouncer, by asyncpg's pool, in dbshell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from functools import partial
from types import ModuleType

import asyncpg  # type: ignore[import-untyped] # it has no annotations that a checker finds
import django
import psycopg
import pytest
from django.conf import settings
from django.db.utils import ConnectionHandler

from keyturn import LoginRefusedError
from keyturn.integrations import asyncpg as by_asyncpg
from keyturn.integrations import psycopg as by_psycopg
from keyturn.rotation.postgresql import SingleUser
from tests.servers.conftest import RealAccount
from tests.servers.databases import Postgres, pgbouncer
from tests.servers.process import LOCALHOST

pytestmark = pytest.mark.e2e

if not settings.configured:
    settings.configure(USE_TZ=True)
    django.setup()

LANGUAGES = ("de_DE.utf8", "fr_FR.utf8", "ja_JP.utf8", "ru_RU.utf8", "zh_CN.utf8")


@pytest.fixture(params=LANGUAGES)
def foreign(request: pytest.FixtureRequest, debian_postgres: Postgres) -> Iterator[Postgres]:
    """The server while it speaks another language."""
    debian_postgres.speak(request.param)
    yield debian_postgres
    debian_postgres.speak("C.UTF-8")


def test_a_login_moves_on_in_any_language(foreign: Postgres, postgres_account: RealAccount) -> None:
    """In the window psycopg's login goes on to AWSPENDING, whatever language the server speaks."""
    postgres_account.open_window()
    with by_psycopg.connect(postgres_account.login, sslmode="disable") as connection:
        assert postgres_account.fields["username"] == connection.info.user


def test_a_rotation_in_any_language(foreign: Postgres, postgres_account: RealAccount) -> None:
    """setSecret tries the pending password first, is refused, and changes it."""
    strategy = SingleUser(sslmode="require")
    known, pending = postgres_account.version("one", "v1"), postgres_account.version("two", "v2")
    strategy.set(pending, [known])
    strategy.test(pending)
    with pytest.raises(psycopg.OperationalError):
        foreign.connect(str(postgres_account.fields["username"]), "one")
    foreign.connect(str(postgres_account.fields["username"]), "two").close()


@pytest.mark.parametrize("way", ["scram-sha-256", "md5"])
def test_a_login_through_pgbouncer(
    debian_postgres: Postgres, postgres_account: RealAccount, way: str
) -> None:
    """PgBouncer's own refusal moves on to AWSPENDING, once its list has the new password."""
    user = str(postgres_account.fields["username"])
    listed = {user: "two", "postgres": debian_postgres.password}
    with pgbouncer(debian_postgres, way, listed) as port:
        postgres_account.fields["port"] = port
        postgres_account.store("one", "v1b", "AWSCURRENT")
        postgres_account.open_window()
        with by_psycopg.connect(postgres_account.login, sslmode="disable") as connection:
            assert user == connection.info.user
        assert user == asyncio.run(_by_asyncpg(postgres_account))


async def _by_asyncpg(account: RealAccount) -> str:
    connection = await by_asyncpg.connect(account.login, ssl="disable", statement_cache_size=0)
    try:
        return str(await connection.fetchval("SELECT current_user"))
    finally:
        await connection.close()


def test_a_pool_of_asyncpg_through_a_rotation(postgres_account: RealAccount) -> None:
    """A pool opens its connections in the window by AWSPENDING, and retires those of a superseded version."""
    asyncio.run(_through_a_rotation(postgres_account))


async def _through_a_rotation(account: RealAccount) -> None:
    connect = partial(by_asyncpg.connect, account.login)
    async with asyncpg.create_pool(connect=connect, min_size=1, max_size=2, ssl="disable") as pool:
        retire = by_asyncpg.retire_superseded(pool, account.login)
        await retire()
        first = await pool.fetchval("SELECT pg_backend_pid()")
        account.open_window()
        await retire()
        async with pool.acquire() as one, pool.acquire() as other:
            assert first == await one.fetchval("SELECT pg_backend_pid()")
            assert account.fields["username"] == await other.fetchval("SELECT current_user")
        account.finish("v2")
        await retire()
        assert first != await pool.fetchval("SELECT pg_backend_pid()")


@pytest.mark.parametrize(
    ("dsn", "database"),
    [
        (None, "postgres"),
        ("postgresql://", "postgres"),
        ("postgresql:///template1", "template1"),
        (f"postgresql://nobody:else@{LOCALHOST}:{{port}}/template1", "template1"),
        (f"postgresql://?host={LOCALHOST}&port={{port}}&dbname=template1", "template1"),
    ],
)
def test_a_dsn_comes_before_the_secret(postgres_account: RealAccount, dsn: str | None, database: str) -> None:
    """Host, port and database of a DSN win; user and password are always the secret's."""
    port = postgres_account.fields["port"]
    if dsn and "{port}" in dsn:
        postgres_account.fields["port"] = 1
        postgres_account.store("one", "v1b", "AWSCURRENT")
    told = dsn.format(port=port) if dsn else None

    async def run() -> list[object]:
        connection = await by_asyncpg.connect(postgres_account.login, told, ssl="disable")
        try:
            return list(await connection.fetchrow("SELECT current_user, current_database()"))
        finally:
            await connection.close()

    assert [postgres_account.fields["username"], database] == asyncio.run(run())


@pytest.mark.parametrize("absent", [None, ""])
@pytest.mark.parametrize("name", ["host", "port", "dbname"])
def test_an_absent_argument_is_the_secrets(
    postgres_account: RealAccount, name: str, absent: str | None
) -> None:
    """An argument that is None or empty, as an unset variable gives it, is not given: the secret's counts."""
    given: dict[str, object] = {name: absent}
    with by_psycopg.connect(postgres_account.login, "", **given) as connection:
        assert (LOCALHOST, postgres_account.fields["port"]) == (connection.info.host, connection.info.port)


def test_asyncpg_tells_of_a_refusal(postgres_account: RealAccount) -> None:
    """No version is accepted: the error names them."""
    postgres_account.set_password("changed")
    with pytest.raises(LoginRefusedError, match="version v1"):
        asyncio.run(_by_asyncpg(postgres_account))


def test_dbshell_is_the_secrets_user(
    postgres_account: RealAccount, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`manage.py dbshell` runs psql as the user, and on the host, of the version that the server accepts."""
    module = ModuleType("orders_secrets")
    vars(module)["login"] = postgres_account.login
    monkeypatch.setitem(sys.modules, "orders_secrets", module)
    options = {"login": "orders_secrets.login", "sslmode": "disable"}
    database = {"ENGINE": "keyturn.integrations.django", "NAME": "postgres", "OPTIONS": options}
    backend = ConnectionHandler({"default": database})["default"]
    postgres_account.open_window()
    backend.client.runshell(["--no-psqlrc", "-t", "-c", "SELECT current_user, inet_server_port()"])
    said = capfd.readouterr().out
    assert str(postgres_account.fields["username"]) in said
    assert str(postgres_account.fields["port"]) in said
