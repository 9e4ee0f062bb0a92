"""MariaDB with a replica that is behind, with each driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from keyturn.integrations.login import Login
from tests.servers.databases import MariaDb, mariadb
from tests.servers.process import LOCALHOST
from tests.stories.drivers import CONNECT_TIMEOUT_S, Driver, Fields, by_login, looped, plain, visiting
from tests.stories.frameworks import by_sqlalchemy, django
from tests.stories.relay import relaying
from tests.stories.stage import Server
from tests.stories.workers import LogIn


class Node:
    """A server's users, changed by one connection of root."""

    def __init__(self, server: MariaDb) -> None:
        self._connection = server.connect()

    def admit(self, user: str, *passwords: str) -> None:
        """Let the user in with each of the passwords: it has a method of authentication for each."""
        with self._connection.cursor() as cursor:
            cursor.execute(f"CREATE USER IF NOT EXISTS {user}")
            methods = " OR ".join("mysql_native_password USING PASSWORD(%s)" for _ in passwords)
            cursor.execute(f"ALTER USER {user} IDENTIFIED VIA {methods}", passwords)

    def close(self) -> None:
        self._connection.close()


def _given(fields: Fields) -> dict[str, object]:
    """The arguments that the drivers have in common."""
    return {
        "host": fields["host"],
        "port": int(fields["port"]),
        "user": fields["username"],
        "password": fields["password"],
    }


def _pymysql() -> Driver:
    import pymysql

    from keyturn.integrations.pymysql import connect

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        yield lambda: connect(login, ssl_disabled=True, connect_timeout=CONNECT_TIMEOUT_S).close()

    def visit(fields: Fields) -> None:
        pymysql.connect(**_given(fields), ssl_disabled=True, connect_timeout=CONNECT_TIMEOUT_S).close()  # type: ignore[call-overload] # PyMySQL checks them

    return Driver("PyMySQL", by_login(keyturn), visiting(visit))


def _mysqlclient() -> Driver:
    import MySQLdb  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the extra `servers`

    def visit(fields: Fields) -> None:
        MySQLdb.connect(**_given(fields), connect_timeout=CONNECT_TIMEOUT_S, ssl_mode="DISABLED").close()

    return plain("mysqlclient", visit)


def _connector() -> Driver:
    import mysql.connector  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the extra `servers`

    def visit(fields: Fields) -> None:
        mysql.connector.connect(
            **_given(fields), connection_timeout=CONNECT_TIMEOUT_S, ssl_disabled=True, use_pure=True
        ).close()

    return plain("Connector/Python", visit)


def _aiomysql() -> Driver:
    import aiomysql  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the extra `servers`

    async def visit(fields: Fields) -> None:
        (await aiomysql.connect(**_given(fields))).close()

    return looped("aiomysql", visit)


def _asyncmy() -> Driver:
    import asyncmy  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the extra `servers`

    async def visit(fields: Fields) -> None:
        (await asyncmy.connect(**_given(fields))).close()

    return looped("asyncmy", visit)


def drivers() -> list[Driver]:
    """Every driver of MySQL and MariaDB."""
    sqlalchemy = by_sqlalchemy("SQLAlchemy, PyMySQL", "mysql+pymysql", ssl_disabled=True)
    djangos = django("Django, mysqlclient", "keyturn.integrations.django.mysql", "django.db.backends.mysql")
    return [_pymysql(), _mysqlclient(), _connector(), _aiomysql(), _asyncmy(), sqlalchemy, djangos]


@contextmanager
def server() -> Iterator[Server]:
    """A primary and a replica that is behind, at one address."""
    options = ["--max-connections=300"]
    with (
        mariadb(*options) as primary,
        mariadb(*options) as replica,
        relaying([primary.port, replica.port]) as relay,
        ExitStack() as stack,
    ):
        nodes = [stack.enter_context(closing(Node(each))) for each in (primary, replica)]
        place: dict[str, str | int] = {"host": LOCALHOST, "port": relay.port, "dbname": "information_schema"}
        yield Server(place, nodes, drivers(), relay.switch)
