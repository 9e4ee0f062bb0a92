"""MariaDB, which stands for MySQL where both say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final

from tests.servers.databases import MariaDb, mariadb
from tests.servers.process import LOCALHOST
from tests.verdicts.cases import RIGHT, WRONG, Door, Driver, Server, Situation
from tests.verdicts.silence import silent


def _pymysql(door: Door) -> None:
    import pymysql

    with pymysql.connect(**_given(door), read_timeout=2) as connection, connection.cursor() as cursor:  # type: ignore[call-overload] # PyMySQL checks them
        cursor.execute(door.command or "SELECT 1")


def _aiomysql(door: Door) -> None:
    import aiomysql  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    async def run() -> None:
        given = _given(door)
        connection = await aiomysql.connect(db=given.pop("database"), **given)
        try:
            cursor = await connection.cursor()
            await cursor.execute(door.command or "SELECT 1")
        finally:
            connection.close()

    # It has a time-out for the connection only, not for the greeting.
    asyncio.run(asyncio.wait_for(run(), 3))


def _asyncmy(door: Door) -> None:
    import asyncmy  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    async def run() -> None:
        given = _given(door)
        connection = await asyncmy.connect(db=given.pop("database"), **given)
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(door.command or "SELECT 1")
        finally:
            connection.close()

    asyncio.run(asyncio.wait_for(run(), 3))


def _mysqlclient(door: Door) -> None:
    import MySQLdb  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    connection = MySQLdb.connect(**_given(door), read_timeout=2, ssl_mode="DISABLED")
    try:
        connection.cursor().execute(door.command or "SELECT 1")
    finally:
        connection.close()


def _connector(door: Door) -> None:
    import mysql.connector  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    given = _given(door) | {"connection_timeout": 2, "ssl_disabled": True, "use_pure": not door.word}
    given.pop("connect_timeout")
    connection = mysql.connector.connect(**given)
    try:
        connection.cursor().execute(door.command or "SELECT 1")
    finally:
        connection.close()


def _mariadb(door: Door) -> None:
    import mariadb as connector  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    connection = connector.connect(**_given(door), read_timeout=2)
    try:
        connection.cursor().execute(door.command or "SELECT 1")
    finally:
        connection.close()


def _sqlalchemy(dialect: str, door: Door) -> None:
    import sqlalchemy

    url = sqlalchemy.URL.create(dialect, door.user, door.password, LOCALHOST, door.port, door.database)
    engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": 2, "read_timeout": 2})
    with engine.connect() as connection:
        connection.exec_driver_sql(door.command or "SELECT 1")


def _given(door: Door) -> dict[str, object]:
    return {
        "host": LOCALHOST,
        "port": door.port,
        "user": door.user,
        "password": door.password,
        "database": door.database,
        "connect_timeout": 2,
    }


DRIVERS: Final = (
    Driver("pymysql", _pymysql, "PyMySQL"),
    Driver("aiomysql", _aiomysql),
    Driver("asyncmy", _asyncmy),
    Driver("mysqlclient", _mysqlclient),
    Driver("mysql-connector-python", _connector, "MySQL Connector/Python"),
    Driver("mariadb", _mariadb, "MariaDB Connector/Python"),
    Driver("sqlalchemy", partial(_sqlalchemy, "mysql+pymysql"), "SQLAlchemy, PyMySQL"),
)

USERS: Final = (
    f"CREATE USER app IDENTIFIED BY '{RIGHT}'",
    f"CREATE USER locked IDENTIFIED BY '{RIGHT}' ACCOUNT LOCK",
    f"CREATE USER blocked IDENTIFIED BY '{RIGHT}'",
    f"CREATE USER expired IDENTIFIED BY '{RIGHT}' PASSWORD EXPIRE",
    f"CREATE USER limited IDENTIFIED BY '{RIGHT}' WITH MAX_CONNECTIONS_PER_HOUR 1",
    f"CREATE USER tls_only IDENTIFIED BY '{RIGHT}' REQUIRE X509",
    f"CREATE USER elsewhere@'10.1.%' IDENTIFIED BY '{RIGHT}'",
    "CREATE USER no_password IDENTIFIED VIA unix_socket",
    "CREATE DATABASE app",
    "CREATE DATABASE forbidden",
    "CREATE TABLE forbidden.one (x int)",
    "GRANT ALL ON app.* TO app, locked, blocked, expired, limited, tls_only, elsewhere@'10.1.%', no_password",
    "GRANT ALL ON `missing%`.* TO app",
)


def servers() -> Iterator[Server]:
    """Yield MariaDB, which blocks a user after two wrong passwords if it is told to."""
    with ExitStack() as stack:
        server = stack.enter_context(mariadb("--plugin-load-add=auth_socket", "--max-connect-errors=100000"))
        port_of_silence = stack.enter_context(silent())
        server.run(*USERS)
        hidden = {str(server.port): "3306", str(port_of_silence): "3306"}
        yield Server(
            f"MariaDB {_version(server)}", DRIVERS, tuple(_situations(server, port_of_silence)), hidden
        )


def _situations(server: MariaDb, port_of_silence: int) -> Iterator[Situation]:
    door = partial(Door, server.port)
    same = "MariaDB says the same for a wrong password"
    yield Situation("wrong password", door(password=WRONG), refused=True)
    yield Situation("unknown user", door("nobody"), refused=True)
    yield Situation(
        "not from here", door("elsewhere"), refused=True, why=f"the account is for another host; {same}"
    )
    yield Situation("TLS", door("tls_only"), refused=True, why=f"REQUIRE X509; {same}")
    yield Situation("locked", door("locked"), refused=False)
    yield Situation(
        "locked",
        door("blocked"),
        refused=False,
        why="after max_password_errors",
        during=partial(_blocked, server),
    )
    yield Situation("expired", door("expired"), refused=False)
    yield Situation(
        "no password wanted", door("no_password"), refused=False, why="the account logs in by unix_socket"
    )
    yield Situation("too many connections", door("limited"), refused=False, during=partial(_used_up, server))
    yield Situation(
        "too many connections", door(), refused=False, why="of all users", during=partial(_crowded, server)
    )
    yield Situation("unknown database", door(database="missing_one"), refused=False)
    yield Situation("no right", door(database="forbidden"), refused=False, why="to the database")
    yield Situation(
        "no right", door(command="SELECT * FROM forbidden.one"), refused=False, why="to the table"
    )
    yield Situation(
        "no right",
        door(command="LOAD DATA INFILE 'x' INTO TABLE app.one"),
        refused=True,
        why="LOAD DATA without FILE: RDS Proxy says the same for a wrong password",
    )
    yield Situation("down", Door(1), refused=False)
    yield Situation("no answer", Door(port_of_silence), refused=False)


def _blocked(server: MariaDb) -> ExitStack:
    """Let the user `blocked` have given too many wrong passwords."""
    import pymysql

    server.run("FLUSH PRIVILEGES", "SET GLOBAL max_password_errors = 1")
    for _ in range(2):
        with suppress(pymysql.err.OperationalError):
            _pymysql(Door(server.port, "blocked", WRONG))
    stack = ExitStack()
    stack.callback(server.run, "SET GLOBAL max_password_errors = 4294967295", "FLUSH PRIVILEGES")
    return stack


def _used_up(server: MariaDb) -> ExitStack:
    """Let the user `limited` have no connection left in this hour."""
    server.run("FLUSH USER_RESOURCES")
    _pymysql(Door(server.port, "limited"))
    return ExitStack()


def _crowded(server: MariaDb) -> ExitStack:
    """Let all connections be in use."""
    import pymysql

    stack = ExitStack()
    server.run("SET GLOBAL max_connections = 10")
    stack.callback(server.run, "SET GLOBAL max_connections = 151")
    for _ in range(9):
        try:
            stack.enter_context(pymysql.connect(host=LOCALHOST, port=server.port, user="app", password=RIGHT))
        except pymysql.err.OperationalError:
            break
    # The one that is left is for an administrator: take it as well.
    stack.enter_context(pymysql.connect(unix_socket=str(server.folder / "socket"), user="root"))
    return stack


def _version(server: MariaDb) -> str:
    import pymysql

    connection = pymysql.connect(unix_socket=str(server.folder / "socket"), user="root")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        row = cursor.fetchone()
    return str(row[0]).partition("-")[0] if row else ""
