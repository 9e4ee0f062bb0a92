"""What the kit lets a test choose: values, strategies, intervals; the README's handler as it stands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Self, cast

import pytest

import keyturn
from keyturn import ConfigurationError, Limits, SecretCache
from keyturn.testing import RecordedMetrics, WrongPasswordError, assert_converges, assert_no_refusals
from keyturn.testing.plugin import MakeCache, MakeSecret
from keyturn.testing.rotating import PasswordServer, Strategy
from tests.docs.pages import python_blocks


def fields(cache: SecretCache, name: str) -> Mapping[str, object]:
    """The fields of the version that the cache serves."""
    value: Mapping[str, object] = json.loads(cache.get(name).text())
    return value


@pytest.mark.parametrize(
    ("value", "rotated"),
    [
        ({"api_key": "first"}, "api_key"),
        ({"token": "first", "url": "https://api.example"}, "token"),
        ({"password": "first"}, "password"),
        ({"url": "https://api.example", "password": "first"}, "password"),
    ],
)
def test_a_rotation_invents_no_field(
    value: dict[str, str], rotated: str, keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache
) -> None:
    """A rotation changes one field that the value has, and adds none; the server takes the new value."""
    secret = keyturn_rotating_secret("prod/api", value)
    secret.server.log_in(keyturn_cache.get(secret.name))
    secret.rotate()
    assert_converges(keyturn_cache, secret, within_s=5)
    secret.server.log_in(keyturn_cache.get(secret.name))
    after = fields(keyturn_cache, secret.name)
    assert value.keys() == after.keys()
    assert {rotated} == {name for name in value if value[name] != after[name]}
    assert_no_refusals(secret)


def test_a_strategy_that_does_not_exist(keyturn_rotating_secret: MakeSecret) -> None:
    """The error names the strategies that exist, and no secret is made."""
    with pytest.raises(ConfigurationError, match=r"'alternating'.*'single-user' or 'alternating-users'"):
        keyturn_rotating_secret(strategy=cast("Strategy", "alternating"))
    keyturn_rotating_secret()


@pytest.mark.parametrize("value", ["first", {"api_key": "first"}])
def test_alternating_users_need_a_name(
    value: str | Mapping[str, str], keyturn_rotating_secret: MakeSecret
) -> None:
    """Two users cannot take turns in a value that names none."""
    with pytest.raises(ConfigurationError, match="username"):
        keyturn_rotating_secret("prod/db", value, strategy="alternating-users")


def test_a_cache_with_another_interval(
    keyturn_rotating_secret: MakeSecret, keyturn_make_cache: MakeCache
) -> None:
    """Caches of the factory share account, table and clock, and each has the interval that it was given."""
    secret = keyturn_rotating_secret()
    metrics = RecordedMetrics()
    quick, slow = keyturn_make_cache(check_interval_s=1, metrics=metrics), keyturn_make_cache()
    for cache in (quick, slow):
        cache.get(secret.name)
    secret.rotate()
    assert assert_converges(quick, secret, within_s=1) <= 1
    assert slow.get(secret.name).version_id != secret.current_version_id
    assert assert_converges(slow, secret, within_s=5) <= 5
    assert metrics.told


def test_limits_reach_the_cache(keyturn_rotating_secret: MakeSecret, keyturn_make_cache: MakeCache) -> None:
    """With room for one secret the second one evicts the first."""
    cache = keyturn_make_cache(limits=Limits(max_secrets=1))
    for name in ("prod/one", "prod/two"):
        cache.get(keyturn_rotating_secret(name).name)
    assert 1 == cache.status().evictions


def test_the_default_knows_the_kits_refusal(
    keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache
) -> None:
    """`login` without `is_refused` goes on to the pending version when the kit's server refuses."""
    assert keyturn.is_refused(WrongPasswordError("wrong"))
    secret = keyturn_rotating_secret()
    keyturn_cache.login(secret.name, secret.server.log_in)
    rotation = secret.rotation()
    rotation.run(until="setSecret")
    keyturn_cache.login(secret.name, secret.server.log_in)
    assert [rotation.version_id] == secret.server.logins[1:]


def test_a_cache_on_the_real_clock_is_named(keyturn_rotating_secret: MakeSecret) -> None:
    """A test would advance its clock for ever; the failure says so at once, and names the fixtures."""
    secret = keyturn_rotating_secret()
    with SecretCache() as cache, pytest.raises(AssertionError, match=r"another clock.*keyturn_make_cache"):
        assert_converges(cache, secret, within_s=5)


class Connection:
    """A stand-in for a connection that answers one query, and is then closed by its server."""

    closed = False

    def execute(self, _query: str) -> Self:
        self.closed = True
        return self

    def fetchall(self) -> list[tuple[int]]:
        return [(42,)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"user": "mallory"},
        {"user": "mallory", "password": None},
        {"user": "mallory", "password": "first"},
        {"user": "app"},
        {"user": "app", "password": "wrong"},
        {"username": "app", "passwd": "wrong"},
        {"password": "first"},
        {},
    ],
)
def test_the_stand_in_for_a_driver_refuses_what_a_server_refuses(arguments: dict[str, object]) -> None:
    """An unknown user, a missing password and a wrong one. The user's own password is accepted."""
    server = PasswordServer("app", "first")
    connect = server.driver(Connection)
    with pytest.raises(WrongPasswordError):
        connect(**arguments)
    assert ([], 1) == (server.logins, len(server.refused))
    assert isinstance(connect("db.example", user="app", password="first"), Connection)


@pytest.mark.parametrize("arguments", [{}, {"user": "app"}, {"password": "first"}])
def test_the_stand_in_for_a_driver_reads_no_connection_string(arguments: dict[str, object]) -> None:
    """It says so, since what it cannot read is neither right nor wrong."""
    connect = PasswordServer("app", "first").driver(Connection)
    with pytest.raises(ConfigurationError, match="pass user and password by name"):
        connect("host=db user=app password=WRONG", **arguments)


def test_a_password_without_a_user_may_stand_beside_an_address() -> None:
    """A secret that is a bare password is that of no named user."""
    server = PasswordServer("", "first")
    assert isinstance(server.driver(Connection)("cache.example", 6379, password="first"), Connection)
    with pytest.raises(WrongPasswordError):
        server.driver(Connection)("cache.example", 6379)


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The README's handler, as a module of its own."""
    module = ModuleType("application")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(python_blocks("README.md")[0], "README.md", "exec"), vars(module))  # noqa: S102 # our own page
    yield module
    cast("SecretCache", module.secrets).close()


def test_the_readmes_handler_through_a_rotation(
    application: ModuleType,
    keyturn_rotating_secret: MakeSecret,
    keyturn_make_cache: MakeCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The handler's own `connect` logs in after each step; only its cache and its driver are replaced."""
    value = {"username": "app", "password": "first", "host": "db.example"}
    secret = keyturn_rotating_secret("prod/app/db", value)
    monkeypatch.setattr(application, "secrets", keyturn_make_cache(check_interval_s=1))
    monkeypatch.setattr("psycopg.connect", secret.server.driver(Connection))
    rotation = secret.rotation()
    assert [(42,)] == vars(application)["handler"]({}, None)
    for step in (rotation.create, rotation.set, rotation.test, rotation.finish):
        step()
        assert [(42,)] == vars(application)["handler"]({}, None)
    assert 5 == len(secret.server.logins)
