"""`Login` and the fields of a secret: what all integrations share."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from keyturn import (
    AsyncSecretCache,
    ConfigurationError,
    LoginRefusedError,
    SecretFormatError,
    SecretVersion,
    compat,
)
from keyturn.integrations.arguments import ASYNCPG_TLS, LIBPQ, LIBPQ_TLS, PYMYSQL_TLS, Tls, arguments
from keyturn.integrations.login import Login, Opened
from tests.integrations.conftest import Account


class RefusedError(Exception):
    """Known to the table by its status."""

    status = 401


@pytest.fixture
def account() -> Account:
    """An account of no server."""
    return Account({"username": "app", "host": "db.internal", "port": 5432})


def version(text: str) -> SecretVersion:
    """A version with this value."""
    return SecretVersion("app/db", "arn", "app/db", "v1", frozenset({"AWSCURRENT"}), string=text)


def test_what_is_no_cache_is_refused_with_what_to_give() -> None:
    """The drop-in for aws-secretsmanager-caching is none itself, and has one."""
    drop_in = compat.SecretCache(client=object())
    for wrong in (None, "cache", drop_in):
        with pytest.raises(
            ConfigurationError, match=r"the cache is a \w+: .* the `keyturn` of a keyturn.compat"
        ):
            Login(wrong, "prod/db")  # type: ignore[arg-type] # the mistake
    assert "Login('prod/db')" == repr(Login(drop_in.keyturn, "prod/db"))


def test_the_fields_of_a_secret() -> None:
    """The fields by the driver's names, a port as a number; others are left out."""
    fields = {
        "engine": "postgres",
        "username": "u",
        "password": "p",
        "host": "h",
        "port": "5432",
        "dbname": "",
    }
    assert {"user": "u", "password": "p", "host": "h", "port": 5432} == arguments(
        version(json.dumps(fields)), LIBPQ
    )


@pytest.mark.parametrize("text", ["[]", '{"username": "u"}', '{"username": "u", "password": 7}', "hunter2"])
def test_a_secret_without_a_login_is_told_of(text: str) -> None:
    """What is no user and password is a clear error that quotes nothing."""
    with pytest.raises(SecretFormatError) as caught:
        arguments(version(text), LIBPQ)
    assert text not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dbname", "d\0"),
        ("host", "h\0 "),
        ("host", "h\n"),
        ("username", "u\x1b[2J"),
        ("password", "p\0"),
        ("password", "p\r\n"),
        ("host", 7),
        ("host", ["h"]),
        ("dbname", True),
        ("port", True),
        ("port", 0),
        ("port", 65536),
        ("port", "5432,5433"),
        ("port", 5432.5),
        ("port", {}),
        ("ssl", "yes"),
        ("ssl", 1),
        ("username", "u" * 1025),
        ("password", "p" * 16_385),
    ],
)
def test_a_field_that_a_driver_must_not_see(field: str, value: object) -> None:
    """The error names the field. libpq's string would end at a NUL, and the options after it be lost."""
    text = json.dumps({"username": "u", "password": "p", field: value})
    with pytest.raises(SecretFormatError, match=f"the field {field} "):
        arguments(version(text), LIBPQ, {"application_name": "x"}, LIBPQ_TLS)


def test_a_field_that_no_driver_sees_is_not_judged() -> None:
    """What the caller gives himself, and what the driver does not take, may be anything."""
    odd = {"username": "u", "password": "p", "host": "\0", "port": "?", "dbname": "\n", "note": "\0"}
    given = {"host": "h", "port": 1, "dbname": "d"}
    assert {"user": "u", "password": "p", **given} == arguments(version(json.dumps(odd)), LIBPQ, given)


@pytest.mark.parametrize("ssl", ["require", 1, {"ca": "rds.pem"}])
@pytest.mark.parametrize(
    ("tls", "given"),
    [
        (LIBPQ_TLS, {"sslmode": "verify-full"}),
        (LIBPQ_TLS, {"service": "orders"}),
        (PYMYSQL_TLS, {"ssl_ca": "rds.pem"}),
        (ASYNCPG_TLS, {"ssl": "verify-full"}),
    ],
)
def test_a_word_about_tls_is_not_judged_where_the_caller_says_it(
    tls: Tls, given: dict[str, object], ssl: object
) -> None:
    """Other programs that read the secret may have a use of their own for the field."""
    odd = {"username": "u", "password": "p", "ssl": ssl}
    assert {"user": "u", "password": "p", **given} == arguments(version(json.dumps(odd)), LIBPQ, given, tls)


@pytest.mark.parametrize(
    ("tls", "given", "on", "off"),
    [
        (LIBPQ_TLS, {}, {"sslmode": "require"}, {"sslmode": "disable"}),
        (LIBPQ_TLS, {"sslmode": "prefer"}, {}, {}),
        (LIBPQ_TLS, {"service": "orders"}, {}, {}),
        (LIBPQ_TLS, {"sslrootcert": "rds.pem"}, {"sslmode": "require"}, {}),
        (LIBPQ_TLS, {"sslrootcert": "system"}, {}, {}),
        (PYMYSQL_TLS, {}, {"ssl": {"check_hostname": False}}, {"ssl_disabled": True}),
        (PYMYSQL_TLS, {"ssl_ca": "rds.pem"}, {}, {}),
        (ASYNCPG_TLS, {}, {"ssl": "require"}, {"ssl": "disable"}),
        (None, {}, {}, {}),
    ],
)
def test_what_the_secret_says_about_tls(
    tls: Tls | None, given: dict[str, object], on: dict[str, object], off: dict[str, object]
) -> None:
    """True asks for TLS, false for none, and what the caller says comes first."""
    credentials = {"username": "u", "password": "p"}
    for word, expected in ((True, on), ("False", off), (None, {})):
        found = arguments(version(json.dumps({**credentials, "ssl": word})), LIBPQ, given, tls)
        assert {**given, **expected} == {
            name: found[name] for name in found if name not in ("user", "password")
        }


def test_a_secret_managed_by_rds_has_no_place() -> None:
    """User and password alone will do: the caller gives the rest."""
    found = arguments(version('{"username": "u", "password": "p"}'), LIBPQ, {"host": "h"})
    assert {"user": "u", "password": "p", "host": "h"} == found


def test_attempts_are_awaited_in_the_loop(account: Account) -> None:
    """Each attempt runs as a task of the caller's loop; the waiting is done in another thread."""
    account.store("two", "v2", "AWSPENDING")
    threads: list[int] = []

    async def connect(version: SecretVersion) -> str:
        threads.append(threading.get_ident())
        await asyncio.sleep(0)
        if version.version_id == "v1":
            raise RefusedError
        return version.version_id

    async def run() -> tuple[str, int]:
        return await account.login.awaiting(connect), threading.get_ident()

    connected, loops = asyncio.run(run())
    assert "v2" == connected
    assert [loops, loops] == threads


@pytest.mark.parametrize(
    ("raised", "told"), [(RefusedError(), LoginRefusedError), (TimeoutError("no route"), TimeoutError)]
)
def test_an_awaited_login_raises_as_any_other(
    account: Account, raised: Exception, told: type[Exception]
) -> None:
    """The error after the last candidate, and other trouble, reach the caller as they are."""

    async def fail(version: SecretVersion) -> str:
        raise raised

    with pytest.raises(told):
        asyncio.run(account.login.awaiting(fail))


def test_a_cancelled_login_leaves_no_attempt(account: Account) -> None:
    """Cancelling the caller cancels the attempt in flight, and no further one begins."""
    account.store("two", "v2", "AWSPENDING")
    begun, ended = asyncio.Event(), asyncio.Event()
    attempts: list[str] = []

    async def connect(version: SecretVersion) -> str:
        attempts.append(version.version_id)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    async def run() -> None:
        task = asyncio.create_task(account.login.awaiting(connect))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended.wait()

    asyncio.run(asyncio.wait_for(run(), 20))
    assert ["v1"] == attempts


def test_an_async_connect_proves_nothing(account: Account) -> None:
    """Its coroutine says nothing yet: it is an error in every login of threads."""

    async def connect(_version: SecretVersion) -> None:
        raise AssertionError("nobody runs this")

    shared = Login(AsyncSecretCache(account.cache), "app/db")
    for login in (
        lambda: account.login(connect),
        lambda: shared(connect),
        lambda: shared.open(connect),
    ):
        with pytest.raises(ConfigurationError, match=r"connect is async: use AsyncSecretCache\.login"):
            login()


def test_what_is_superseded(account: Account) -> None:
    """A connection is superseded once AWSCURRENT moved to another version than it was opened with."""
    login, arn = account.login, account.cache.get("app/db").arn
    old, ahead = Opened((arn, "v1"), (arn, "v1")), Opened((arn, "v2"), (arn, "v1"))
    account.store("two", "v2", "AWSPENDING")
    assert not login.is_superseded(old)
    assert not login.is_superseded(ahead)
    account.finish("v2")
    assert login.is_superseded(old)
    assert not login.is_superseded(ahead)
    account.store("three", "v3", "AWSCURRENT")
    account.clock.advance(301)
    assert login.is_superseded(ahead)


def test_nothing_is_superseded_while_the_secret_cannot_be_read(account: Account) -> None:
    """A deleted secret closes no working connection."""
    arn = account.cache.get("app/db").arn
    account.secrets.delete("app/db")
    account.clock.advance(301)
    assert not account.login.is_superseded(Opened((arn, "v0"), (arn, "v0")))
