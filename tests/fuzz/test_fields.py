"""Fields of a secret, through every integration: the driver gets exactly the field, or the login is an error.

The drivers are stubbed at the function that connects, so what is seen here is what they would be given.
"""

from __future__ import annotations

import asyncio
import json
import socket
import unicodedata
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated
from unittest import mock

import django
import psycopg
import pymysql
import pytest
from django.conf import settings as django_settings
from django.db.backends.postgresql import base as django_postgresql
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.connection import Connection
from sqlalchemy import create_engine

import keyturn
from keyturn import Peers, SecretCache, SecretError, SecretFormatError, SecretVersion
from keyturn.integrations import psycopg as of_psycopg
from keyturn.integrations import pymysql as of_pymysql
from keyturn.integrations import redis as of_redis
from keyturn.integrations import sqlalchemy as of_sqlalchemy
from keyturn.integrations.http import Key, Outgoing, basic, bearer, header
from keyturn.integrations.login import Login
from keyturn.live import FromSecret, LiveSettings
from keyturn.rotation import RotationStepError
from keyturn.rotation.postgresql import SingleUser
from keyturn.testing.fakes import FakeClock, FakeSecretsManager

if not django_settings.configured:
    django_settings.configure(USE_TZ=True)
    django.setup()

Given = dict[str, object]

CANARY = "hunter2!"
PACKAGE = Path(keyturn.__file__).parent
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"
ODD = "\0\n\r\t\x1b\x7f\x85\x9b'\"\\ ,;=@/%:é\U0001f511" + BIDI + "\ud800\udfff"

characters = st.sampled_from(ODD) | st.characters()
odd_words = st.text(characters, max_size=6)
words = odd_words | odd_words.map(CANARY.__add__) | st.text("abc.-_'\" é", max_size=12)
others = st.none() | st.booleans() | st.integers() | st.floats() | st.lists(words, max_size=2)
ports = st.integers(-1, 70_000) | st.integers(0, 70_000).map(str) | st.integers(0, 70_000).map(float)
values = words | others | st.dictionaries(words, words, max_size=2)

NAMES = ("host", "port", "dbname", "ssl", "engine", "masterarn", "hostaddr", "options", "sslmode")
extras: st.SearchStrategy[dict[str, object]] = st.dictionaries(
    st.sampled_from(NAMES), values | ports, max_size=5
)
documents = st.builds(
    lambda user, password, more: {"username": user, "password": password, **more},
    st.just("app") | values,
    st.just(CANARY) | values,
    extras,
)


def login_of(text: str) -> Login:
    """A login with a secret of this text."""
    secrets = FakeSecretsManager(FakeClock())
    secrets.create("app/db", text, "v1")
    return Login(SecretCache(peers=Peers(source=secrets, clock=secrets.clock)), "app/db", budget_s=0)


def by_psycopg(login: Login) -> Given:
    """What psycopg is given."""
    with mock.patch.object(psycopg.Connection, "connect", return_value=SimpleNamespace()) as connect:
        of_psycopg.connect(login)
    return dict(connect.call_args.kwargs)


def by_async_psycopg(login: Login) -> Given:
    """What psycopg is given on an event loop."""

    async def opened(**_: object) -> SimpleNamespace:
        return SimpleNamespace()

    with mock.patch.object(psycopg.AsyncConnection, "connect", side_effect=opened) as connect:
        asyncio.run(of_psycopg.async_connection_class(login).connect())
    return dict(connect.call_args.kwargs)


def by_pymysql(login: Login) -> Given:
    """What PyMySQL is given."""
    base = pymysql.Connection
    parsing = mock.patch.object(pymysql, "Connection", wraps=base)
    with mock.patch.object(base, "connect"), parsing as parsed:
        of_pymysql.connect(login)
    found = dict(parsed.call_args.kwargs)
    found["password"] = found["password"].decode()
    return {"dbname" if name == "database" else name: value for name, value in found.items()}


def by_redis(login: Login) -> Given:
    """What redis-py is given."""
    with mock.patch.object(Connection, "connect_check_health"):
        connection = of_redis.connection_class(login)()
        connection.connect_check_health()
    found = connection.credential_provider.get_credentials()  # type: ignore[union-attr] # just set
    *user, password = found
    return {"user": user[0] if user else "", "password": password}


def by_sqlalchemy(login: Login) -> Given:
    """What a driver is given under SQLAlchemy."""
    engine = create_engine("postgresql+psycopg://")
    of_sqlalchemy.log_in(engine, login)
    record = SimpleNamespace(info={})
    with mock.patch.object(engine.dialect, "connect") as connect:
        for do_connect in engine.dialect.dispatch.do_connect:
            do_connect(engine.dialect, record, [], {})
    return dict(connect.call_args.kwargs)


def by_django(login: Login) -> Given:
    """What psycopg is given under Django."""
    from keyturn.integrations.django.base import DatabaseWrapper

    wrapper = DatabaseWrapper.__new__(DatabaseWrapper)
    wrapper._login, wrapper.alias = login, "default"  # noqa: SLF001 # only what opens a connection
    with (
        mock.patch.object(django_postgresql.DatabaseWrapper, "get_new_connection") as connect,
        mock.patch.object(DatabaseWrapper, "pool", None),
    ):
        wrapper.get_new_connection({})
    return dict(connect.call_args.args[0])


def by_rotation(login: Login) -> Given:
    """What psycopg is given in testSecret."""
    version = login(lambda version: version)
    with mock.patch.object(psycopg, "connect") as connect, socket.socket() as line:
        connect.return_value.fileno.return_value = line.fileno()
        connect.return_value.info.server_version = 180_000
        SingleUser().test(version)
    return dict(connect.call_args.kwargs)


INTEGRATIONS: Mapping[str, Callable[[Login], Given]] = {
    "psycopg": by_psycopg,
    "async psycopg": by_async_psycopg,
    "pymysql": by_pymysql,
    "redis": by_redis,
    "sqlalchemy": by_sqlalchemy,
    "django": by_django,
    "rotation": by_rotation,
}


@contextmanager
def quoting_nothing() -> Iterator[None]:
    """An error may come out. No canary is in it, or in a variable of keyturn's frames."""
    caught: Exception | None = None
    try:
        yield
    except (SecretFormatError, RotationStepError) as error:
        caught = error
    while caught is not None:
        assert isinstance(caught, SecretError | RotationStepError)
        assert CANARY not in str(caught) + "".join(variables(caught))
        assert caught.__context__ is caught.__cause__
        caught = caught.__cause__  # type: ignore[assignment] # asserted at the next turn


def variables(error: BaseException) -> Iterator[str]:
    """What each of keyturn's frames had when the error passed."""
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).is_relative_to(PACKAGE):
            yield repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


def is_steering(character: str) -> bool:
    """Whether the character could end a text, begin a command or turn what is read."""
    return unicodedata.category(character) in ("Cc", "Cs") or character in BIDI


def assert_exact(document: Mapping[str, object], found: Given) -> None:
    """What arrived is what the secret has, and safe to hand on."""
    assert (found["user"], found["password"]) == (document["username"], document["password"])
    told = {"host": "host", "dbname": "dbname", "user": "username"}
    for name, field in told.items():
        if name in found and not (name == "dbname" and document.get("dbname") in (None, "")):
            assert found[name] == document[field]
            assert not any(map(is_steering, str(found[name])))
    assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in str(found["password"]))
    port = found.get("port")
    if port is not None and document.get("port") not in (None, ""):
        assert type(port) is int
        assert 1 <= port <= 65535
        assert port == float(str(document["port"]))
    for name in ("host", "port"):
        assert name in found or name not in document or document[name] in (None, "")
    assert not found.keys() & {"hostaddr", "options"}


@pytest.mark.parametrize("integration", INTEGRATIONS)
@given(documents)
@example({"username": "app", "password": "hunter2!", "dbname": "d\0", "host": "db.internal"})
@example({"username": "app", "password": "hunter2!", "port": 33061.0, "host": "db.internal"})
@example({"username": "app", "password": "p\N{GREEK SMALL LETTER ALPHA} '\"\\", "host": "h", "ssl": True})
def test_a_driver_gets_exactly_the_field_or_there_is_an_error(
    integration: str, document: dict[str, object]
) -> None:
    """Whatever the fields are, of any type and with any character."""
    with quoting_nothing():
        found = INTEGRATIONS[integration](login_of(json.dumps(document)))
        if integration == "redis":
            # A server without users is given the password alone.
            document = {"username": document.get("username") or "", "password": document["password"]}
        assert_exact(document, found)


@pytest.mark.parametrize("integration", INTEGRATIONS)
@pytest.mark.parametrize("field", ["username", "password", "host", "dbname"])
@pytest.mark.parametrize(
    "character",
    [
        *("\0", "\n", "\ud800"),
        *(pytest.param(one, marks=pytest.mark.proof) for one in ("\r", "\x1b", "\x7f", "\x85", "\x9b")),
    ],
)
def test_no_control_character_reaches_a_driver(integration: str, field: str, character: str) -> None:
    """In no field that the driver would be given, at no place in it."""
    if integration == "redis" and field in ("host", "dbname"):
        return
    for value in (character, f"{character}x", f"x{character}x", f"x{character}"):
        document = {"username": "app", "password": "hunter2!", "host": "h", "dbname": "d", field: value}
        with pytest.raises(SecretFormatError, match=field if character != "\ud800" else "surrogate"):
            INTEGRATIONS[integration](login_of(json.dumps(document)))


@pytest.mark.parametrize("how", ["bearer", "header", "basic"])
@given(documents)
@example({"username": "a:b", "password": "hunter2!"})
@example({"username": "a", "password": "hunter2!\r\nX: y"})
def test_a_header_has_exactly_the_field_or_there_is_an_error(how: str, document: dict[str, object]) -> None:
    """A field in a header of HTTP: nothing in it begins another header, or another part of this one."""
    version = SecretVersion("app/db", "arn", "app/db", "v1", frozenset(), string=json.dumps(document))
    ways = {"bearer": bearer("password"), "header": header("X-Key", "password"), "basic": basic()}
    secrets = FakeSecretsManager(FakeClock())
    key = Key(SecretCache(peers=Peers(source=secrets)), "app/db", "https://api.example", ways[how])
    with quoting_nothing():
        (found,) = key.headers(version, Outgoing("GET", "https://api.example/", None)).values()
        assert found.isascii()
        assert found.isprintable()
        fields = version.fields()
        if how == "basic":
            sent = b64decode(found.removeprefix("Basic ")).decode()
            assert (fields["username"], ":", fields["password"]) == sent.partition(":")
        else:
            assert found == ("Bearer " if how == "bearer" else "") + fields["password"]


class Settings(LiveSettings):
    """Text, a secret text, and structures."""

    user: Annotated[str, FromSecret("app/db", key="username")]
    password: Annotated[SecretStr, FromSecret("app/db", key="password")]
    note: Annotated[str, FromSecret("app/db", key=("more", "note"))]
    more: Annotated[dict[str, object], FromSecret("app/db", key="more")]


@given(documents, values)
def test_a_settings_field_gets_exactly_the_value_or_there_is_an_error(
    document: dict[str, object], note: object
) -> None:
    """The same for live settings; a text that is not a login's may have lines and tabs."""
    document = {**document, "more": {"note": note}}
    secrets = FakeSecretsManager(FakeClock())
    secrets.create("app/db", json.dumps(document), "v1")
    with quoting_nothing():
        settings = Settings.live(SecretCache(peers=Peers(source=secrets, clock=secrets.clock)))
        assert settings.user == document["username"]
        assert settings.password.get_secret_value() == document["password"]
        assert settings.note == note
        assert not any(is_steering(one) for one in settings.user)
        lines = "\n\r\t"
        steering = [one for one in settings.note if unicodedata.category(one) in ("Cc", "Cs")]
        assert all(one in lines for one in steering)


@given(st.text(st.sampled_from('[]{}",:\\u0d8-NaInfity1e9. ' + ODD), max_size=40) | documents.map(json.dumps))
@example("[" * 60_000)
@example('{"a":' * 10_000)
@example("9" * 5_000)
@example('{"a": 1e999}')
@example('{"a": 1, "a": 2}')
@example("\ufeff{}")
def test_any_text_is_json_or_a_typed_error(text: str) -> None:
    """`json()` and `fields()` never raise anything else, and what they return can be written."""
    version = SecretVersion("app/db", "arn", "app/db", "v1", frozenset(), string=text)
    with quoting_nothing():
        json.dumps(version.json(), ensure_ascii=False, allow_nan=False).encode()
    with quoting_nothing():
        fields = version.fields()
        assert all(isinstance(one, str) for one in fields.values())
        steering = {one for text in (*fields, *fields.values()) for one in text}
        assert all(one in "\n\r\t" or unicodedata.category(one) not in ("Cc", "Cs") for one in steering)
