"""Django on PostgreSQL: the backend opens its connections by login, with and without a pool."""

from __future__ import annotations

import sys
from types import ModuleType

import django
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from keyturn import LoginRefusedError
from tests.integrations.conftest import DatabaseAccount

pytestmark = pytest.mark.e2e

if not settings.configured:
    settings.configure(USE_TZ=True)
    django.setup()


@pytest.fixture
def account(account: DatabaseAccount, monkeypatch: pytest.MonkeyPatch) -> DatabaseAccount:
    """An account whose login is at `orders_secrets.login`."""
    module = ModuleType("orders_secrets")
    vars(module)["login"] = account.login
    monkeypatch.setitem(sys.modules, "orders_secrets", module)
    return account


def backend(name: str = "postgres", **options: object) -> BaseDatabaseWrapper:
    """A new wrapper, as a thread of Django has one. What is in capitals is a setting, and no option."""
    engine, login = "keyturn.integrations.django", "orders_secrets.login"
    chosen = {option: value for option, value in options.items() if option.isupper()}
    given = {option: value for option, value in options.items() if option not in chosen}
    database = {"ENGINE": engine, "NAME": name, "OPTIONS": {"login": login, **given}, **chosen}
    return ConnectionHandler({"default": database})["default"]


def user_of(connection: BaseDatabaseWrapper) -> object:
    """Whom the server takes the connection for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()[0]


@pytest.mark.parametrize("pool", [False, True, {"min_size": 1, "max_size": 2}])
def test_a_connection_in_the_window(account: DatabaseAccount, pool: object) -> None:
    """Between setSecret and finishSecret Django's new connections are opened with AWSPENDING."""
    account.open_window()
    connection = backend(pool=pool)
    assert account.fields["username"] == user_of(connection)
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined] # PostgreSQL's wrapper has it


def pid_of(connection: BaseDatabaseWrapper) -> object:
    """The server's process of the connection, which ends as a request does: given back, or kept."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        found: object = cursor.fetchone()[0]
    connection.close_if_unusable_or_obsolete()
    return found


@pytest.mark.parametrize("retires", [False, True])
@pytest.mark.parametrize("health_checks", [False, True])
@pytest.mark.parametrize("pool", [False, {"min_size": 1, "max_size": 1}])
def test_a_superseded_session_ends_if_so_chosen(
    account: DatabaseAccount,
    pool: object,
    health_checks: bool,  # noqa: FBT001 # a table
    retires: bool,  # noqa: FBT001 # a table
) -> None:
    """A session outlives its request, with and without a pool; a superseded one only by default."""
    age = 0 if pool else None
    connection = backend(
        pool=pool, retire_superseded=retires, CONN_HEALTH_CHECKS=health_checks, CONN_MAX_AGE=age
    )
    first = pid_of(connection)
    assert first == pid_of(connection)
    account.open_window()
    account.finish("v2")
    # The end of a request, at which Django looks whether it goes on with a session.
    connection.close_if_unusable_or_obsolete()
    assert retires == (first != pid_of(connection))
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined] # PostgreSQL's wrapper has it


def test_a_refused_login_is_told(account: DatabaseAccount) -> None:
    """No version is accepted: the error names them."""
    account.set_password("ALTER ROLE {} PASSWORD {}", "changed by hand")
    with pytest.raises(LoginRefusedError, match="version v1"):
        user_of(backend())


def test_the_name_in_the_settings_wins(account: DatabaseAccount) -> None:
    """NAME is the database, as ever: a test database has another name than the secret says."""
    account.fields["dbname"] = "not_there"
    account.store("one", "v2", "AWSCURRENT")
    connection = backend()
    assert account.fields["username"] == user_of(connection)
    connection.close()


def test_a_login_that_is_none_is_told_of(account: DatabaseAccount) -> None:
    """A path that leads to something else is wrong configuration, said at once."""
    with pytest.raises(ImproperlyConfigured, match="dotted path of a Login"):
        backend(login="os.sep")
