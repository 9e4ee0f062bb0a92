"""MariaDB through a rotation: PyMySQL, SQLAlchemy over four drivers, and Django."""

from __future__ import annotations

import sys
from types import ModuleType

import django
import pymysql
import pytest
import sqlalchemy
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from keyturn import LoginRefusedError
from keyturn.integrations.pymysql import connect
from keyturn.integrations.sqlalchemy import log_in, retire_superseded
from tests.servers.conftest import RealAccount

pytestmark = pytest.mark.e2e

if not settings.configured:
    settings.configure(USE_TZ=True)
    django.setup()


def whoami(connection: pymysql.Connection) -> str:
    """Whom the server takes the connection for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER(), DATABASE()")
        user, database = cursor.fetchone() or ("", "")
    return f"{user.partition('@')[0]} in {database}"


def test_pymysql_in_the_window(mysql_account: RealAccount) -> None:
    """Between setSecret and finishSecret a new connection is opened with AWSPENDING."""
    mysql_account.open_window()
    name = mysql_account.fields["username"]
    with connect(mysql_account.login) as connection:
        assert f"{name} in {name}" == whoami(connection)


@pytest.mark.parametrize(
    "password", ["p\N{LATIN SMALL LETTER E WITH ACUTE}", "p\N{GREEK SMALL LETTER ALPHA}"]
)
def test_a_password_of_any_letters(mysql_account: RealAccount, password: str) -> None:
    """The server hashes UTF-8, and so does the login; PyMySQL itself would send latin-1, or fail."""
    mysql_account.set_password(password)
    mysql_account.store(password, "v2", "AWSPENDING")
    with connect(mysql_account.login) as connection:
        assert whoami(connection).startswith(str(mysql_account.fields["username"]))


def test_a_password_of_any_letters_by_sqlalchemy(mysql_account: RealAccount) -> None:
    """So it is with an engine: a right password must not count as refused."""
    password = "p\N{LATIN SMALL LETTER E WITH ACUTE}\N{GREEK SMALL LETTER ALPHA}"
    mysql_account.set_password(password)
    mysql_account.store(password, "v2", "AWSCURRENT")
    engine = sqlalchemy.create_engine("mysql+pymysql://")
    log_in(engine, mysql_account.login)
    with engine.connect() as connection:
        user = str(connection.scalar(sqlalchemy.text("SELECT CURRENT_USER()")))
    engine.dispose()
    assert user.startswith(str(mysql_account.fields["username"]))


@pytest.mark.parametrize("name", ["host", "port", "database", "db", "unix_socket"])
def test_an_absent_argument_is_the_secrets(mysql_account: RealAccount, name: str) -> None:
    """An argument that is None, as an unset variable gives it, is not given: the secret's counts."""
    user = mysql_account.fields["username"]
    with connect(mysql_account.login, **{name: None}) as connection:
        assert f"{user} in {user}" == whoami(connection)


def test_an_alias_of_the_driver_is_given(mysql_account: RealAccount) -> None:
    """`db` is PyMySQL's other name of `database`: it comes before the secret's."""
    with (
        pytest.warns(DeprecationWarning, match="db"),
        connect(mysql_account.login, db="information_schema") as connection,
    ):
        assert "information_schema" == whoami(connection).split()[-1]


@pytest.mark.filterwarnings("ignore:The 'reconnect' argument:DeprecationWarning")
def test_a_reconnect_logs_in_anew(mysql_account: RealAccount) -> None:
    """After a rotation `ping(reconnect=True)` logs in with the new password, and not with the first one."""
    connection = connect(mysql_account.login)
    mysql_account.rotate()
    assert connection.is_superseded()
    connection.close()
    connection.ping(reconnect=True)
    assert not connection.is_superseded()
    assert whoami(connection).startswith(str(mysql_account.fields["username"]))
    connection.close()


def test_a_password_changed_by_hand_is_told(mysql_account: RealAccount) -> None:
    """No version is accepted: the error names them, and PyMySQL's own is its cause."""
    mysql_account.set_password("changed")
    with pytest.raises(LoginRefusedError, match="version v1") as caught:
        connect(mysql_account.login)
    assert isinstance(caught.value.__cause__, pymysql.err.OperationalError)


@pytest.mark.parametrize("driver", ["pymysql", "mysqldb", "mysqlconnector", "mariadbconnector"])
def test_sqlalchemy_through_a_rotation(mysql_account: RealAccount, driver: str) -> None:
    """Each driver's engine logs in before, in and after the window, and its old connections retire."""
    engine = sqlalchemy.create_engine(f"mysql+{driver}://", pool_size=1)
    log_in(engine, mysql_account.login)
    retire_superseded(engine)
    number = sqlalchemy.text("SELECT CONNECTION_ID()")
    with engine.connect() as connection:
        before = connection.scalar(number)
    mysql_account.open_window()
    with engine.connect() as connection:
        assert before == connection.scalar(number)
        with engine.connect() as another:
            assert before != another.scalar(number)
    mysql_account.finish("v2")
    with engine.connect() as connection:
        assert before != connection.scalar(number)
    engine.dispose()


@pytest.fixture
def backend(mysql_account: RealAccount, monkeypatch: pytest.MonkeyPatch) -> BaseDatabaseWrapper:
    """Django's wrapper, as a thread of Django has one, for a login at `orders_secrets.login`."""
    module = ModuleType("orders_secrets")
    vars(module)["login"] = mysql_account.login
    monkeypatch.setitem(sys.modules, "orders_secrets", module)
    database = {
        "ENGINE": "keyturn.integrations.django.mysql",
        "NAME": mysql_account.fields["username"],
        "CONN_MAX_AGE": None,
        "OPTIONS": {"login": "orders_secrets.login", "retire_superseded": True},
    }
    return ConnectionHandler({"default": database})["default"]


def session(connection: BaseDatabaseWrapper) -> tuple[str, int]:
    """The user and the number of the server's session."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER(), CONNECTION_ID()")
        user, number = cursor.fetchone()
    return str(user).partition("@")[0], int(number)


def test_django_through_a_rotation(mysql_account: RealAccount, backend: BaseDatabaseWrapper) -> None:
    """Django's MySQL backend logs in in the window; a persistent connection ends once it is superseded."""
    user, first = session(backend)
    assert mysql_account.fields["username"] == user
    mysql_account.open_window()
    backend.close_if_unusable_or_obsolete()
    assert (user, first) == session(backend)
    backend.close()
    assert user == session(backend)[0]
    mysql_account.store("three", "v3", "AWSPENDING")
    mysql_account.set_password("three")
    mysql_account.finish("v3")
    _, second = session(backend)
    backend.close_if_unusable_or_obsolete()
    assert second != session(backend)[1]
    backend.close()


def test_dbshell_is_the_secrets_user(
    mysql_account: RealAccount, backend: BaseDatabaseWrapper, capfd: pytest.CaptureFixture[str]
) -> None:
    """`manage.py dbshell` runs the client as the user of the version that the server accepts."""
    mysql_account.open_window()
    backend.client.runshell(["--batch", "-e", "SELECT CURRENT_USER()"])
    assert str(mysql_account.fields["username"]) in capfd.readouterr().out
