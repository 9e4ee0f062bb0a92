"""SQLAlchemy: engines whose connections are opened by the version that the server accepts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from unittest.mock import MagicMock

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from keyturn import ConfigurationError
from keyturn.integrations.sqlalchemy import log_in, retire_superseded
from tests.integrations.conftest import Account, DatabaseAccount

pytestmark = pytest.mark.e2e

PID = sa.text("SELECT pg_backend_pid()")


def backend(engine: sa.Engine) -> int:
    """The server's process behind a connection of the engine."""
    with engine.connect() as connection:
        pid: int = connection.execute(PID).scalar_one()
        return pid


@pytest.mark.parametrize("url", ["postgresql+psycopg://", "postgresql+psycopg2://"])
def test_an_engine_in_the_window(account: DatabaseAccount, url: str) -> None:
    """Between setSecret and finishSecret new connections are opened with AWSPENDING."""
    engine = sa.create_engine(url, pool_size=2)
    log_in(engine, account.login)
    with engine.connect() as one:
        account.open_window()
        with engine.connect() as other:
            assert one.execute(PID).scalar_one() != other.execute(PID).scalar_one()
            assert account.fields["username"] == other.execute(sa.text("SELECT current_user")).scalar_one()
    engine.dispose()


def test_the_parameters_given_are_left_as_they_are(account: DatabaseAccount) -> None:
    """The event's dict holds neither user nor password afterwards: other listeners see what was given."""
    engine = sa.create_engine("postgresql+psycopg://", connect_args={"application_name": "x"})
    seen: list[Mapping[str, object]] = []
    event.listen(engine, "do_connect", lambda dialect, record, args, given: seen.append(given))
    log_in(engine, account.login)
    backend(engine)
    assert [{"application_name", "context"}] == [set(given) for given in seen]
    engine.dispose()


def test_what_the_url_says_wins_but_for_user_and_password(account: DatabaseAccount) -> None:
    """A proxy's host or another database in the URL is used; the secret's user and password always are."""
    account.fields |= {"dbname": "not_there", "host": "192.0.2.1"}
    account.store("one", "v2", "AWSCURRENT")
    engine = sa.create_engine("postgresql+psycopg://somebody:wrong@127.0.0.1/postgres")
    log_in(engine, account.login)
    with engine.connect() as connection:
        assert "postgres" == connection.execute(sa.text("SELECT current_database()")).scalar_one()
        assert account.fields["username"] == connection.execute(sa.text("SELECT current_user")).scalar_one()
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mssql+pymssql://", "db.internal:1433"),
        ("mssql+pymssql://@proxy/orders", "proxy:1433"),
        ("mssql+pymssql://@proxy:14330/orders", "proxy:14330"),
    ],
)
def test_a_driver_that_joins_host_and_port(url: str, address: str) -> None:
    """pymssql is given both in one argument: the secret's, unless the URL has them."""
    account = Account({"username": "app", "host": "db.internal", "port": 1433, "dbname": "orders"})
    driver = MagicMock(paramstyle="pyformat", __version__="2.3.0", Error=OSError)
    driver.connect.side_effect = ZeroDivisionError
    engine = sa.create_engine(url, module=driver)
    log_in(engine, account.login)
    with pytest.raises(ZeroDivisionError):
        engine.connect()
    given = driver.connect.call_args.kwargs
    assert (address, "app", "one", "orders") == tuple(
        given[name] for name in ("host", "user", "password", "database")
    )
    assert "port" not in given


def test_several_hosts_in_a_url(account: DatabaseAccount) -> None:
    """The hosts of a URL's query come before the secret's, and are tried in turn."""
    port = account.fields["port"]
    account.fields |= {"host": "192.0.2.1", "port": 1}
    account.store("one", "v2", "AWSCURRENT")
    engine = sa.create_engine(f"postgresql+psycopg://?host=127.0.0.1:1&host=127.0.0.1:{port}")
    log_in(engine, account.login)
    assert backend(engine)
    engine.dispose()


def test_a_dialect_that_cannot_take_the_secrets_host() -> None:
    """Without a host in the URL it would connect to wherever its own default is: that is refused at once."""
    account = Account({"username": "app"})
    driver = MagicMock(paramstyle="named", version="9.9.9", __version__="9.9.9")
    with pytest.raises(ConfigurationError, match="name the host in the URL"):
        log_in(sa.create_engine("oracle+oracledb://", module=driver), account.login)
    log_in(
        sa.create_engine("oracle+oracledb://@db.internal:1521/?service_name=x", module=driver), account.login
    )


def test_a_superseded_connection_retires_by_choice(account: DatabaseAccount) -> None:
    """With `retire_superseded` it is replaced at its next check-out, without it works on."""
    retiring, keeping = (sa.create_engine("postgresql+psycopg://") for _ in range(2))
    for engine in (retiring, keeping):
        log_in(engine, account.login)
    retire_superseded(retiring)
    first, kept = backend(retiring), backend(keeping)
    account.open_window()
    assert first == backend(retiring)
    account.finish("v2")
    assert first != (second := backend(retiring))
    assert second == backend(retiring)
    assert kept == backend(keeping)
    retiring.dispose()
    keeping.dispose()


@pytest.mark.parametrize("url", ["postgresql+asyncpg://", "postgresql+psycopg_async://"])
def test_an_async_engine(account: DatabaseAccount, url: str) -> None:
    """Twelve tasks at once in the window, cold: each gets its connection; no secret is read on the loop."""
    account.open_window()
    readers: set[int] = set()
    account.secrets.fail = lambda _: readers.add(threading.get_ident())

    async def use(engine: AsyncEngine) -> int:
        async with engine.connect() as connection:
            pid: int = (await connection.execute(PID)).scalar_one()
            await connection.execute(sa.text("SELECT pg_sleep(0.05)"))
            return pid

    async def run() -> int:
        engine = create_async_engine(url, pool_size=12)
        log_in(engine, account.login)
        retire_superseded(engine)
        pids = await asyncio.gather(*(use(engine) for _ in range(12)))
        await engine.dispose()
        return len(set(pids))

    assert 12 == asyncio.run(asyncio.wait_for(run(), 60))
    assert readers
    assert threading.get_ident() not in readers


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("mysql+pymysql://", {"user", "password", "host", "port", "database"}),
        ("mysql+mysqldb://", {"user", "passwd", "host", "port", "db"}),
        ("postgresql+pg8000://", {"user", "password", "host", "port", "database"}),
    ],
)
def test_each_dialect_names_the_fields_itself(url: str, names: set[str]) -> None:
    """The secret's fields reach each driver under the names that its dialect gives them."""
    calls: list[dict[str, object]] = []

    def connect(**parameters: object) -> object:
        calls.append(parameters)
        raise TimeoutError

    account = Account({"username": "app", "host": "db.internal", "port": 3306, "dbname": "orders"})
    engine = sa.create_engine(url, module=driver(connect))
    log_in(engine, account.login)
    with pytest.raises(TimeoutError):
        engine.connect()
    (call,) = calls
    assert {"app", "one", "db.internal", "3306", "orders"} == {str(call[name]) for name in names}


@pytest.mark.parametrize(
    ("url", "encoding"), [("mysql+pymysql://", "latin-1"), ("mysql+mysqldb://", "utf-8")]
)
def test_a_password_reaches_the_server_as_utf_8(url: str, encoding: str) -> None:
    """MySQL hashes UTF-8. A driver that encodes a text in another way gets a text that becomes the same."""
    sent: list[bytes] = []

    def connect(**parameters: object) -> object:
        text = parameters.get("password") or parameters.get("passwd")
        sent.append(str(text).encode(encoding))
        raise TimeoutError

    account = Account({"username": "app", "host": "db.internal"})
    account.store("\u00e9\u03b1", "v2", "AWSCURRENT")
    engine = sa.create_engine(url, module=driver(connect))
    log_in(engine, account.login)
    with pytest.raises(TimeoutError):
        engine.connect()
    assert ["\u00e9\u03b1".encode()] == sent


def test_a_dialect_that_takes_no_names_is_told_of() -> None:
    """pyodbc's takes one string: said when the engine is set up, not at the first login."""
    engine = sa.create_engine("mssql+pyodbc://?driver=x", module=driver(lambda: None))
    with pytest.raises(ConfigurationError, match=r"mssql\+pyodbc"):
        log_in(engine, Account({"username": "app"}).login)


def driver(connect: Callable[..., object]) -> MagicMock:
    """A driver that is not installed, as far as a dialect looks at it."""
    return MagicMock(
        connect=connect, paramstyle="format", version="5.1", Error=ConnectionError, __version__="2.9.9"
    )
