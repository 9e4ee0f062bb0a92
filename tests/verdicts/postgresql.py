"""PostgreSQL in every language that it ships, and PgBouncer before it."""

from __future__ import annotations

import asyncio
import gettext
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from tests.servers.databases import Postgres, pgbouncer, postgresql
from tests.servers.others import openldap
from tests.servers.process import LOCALHOST
from tests.verdicts.cases import RIGHT, WRONG, Door, Driver, Server, Situation
from tests.verdicts.silence import silent

LIKE_THE_TEXT: Final = 'FATAL:  password authentication failed for user "app"'
"""A database may have any name, and the server repeats it."""

LOCALES: Final = {
    "de": "de_DE.utf8",
    "es": "es_ES.utf8",
    "fr": "fr_FR.utf8",
    "it": "it_IT.utf8",
    "ja": "ja_JP.utf8",
    "ka": "ka_GE.utf8",
    "ko": "ko_KR.utf8",
    "ru": "ru_RU.utf8",
    "sv": "sv_SE.utf8",
    "uk": "uk_UA.utf8",
    "zh_CN": "zh_CN.utf8",
    "zh_TW": "zh_TW.utf8",
}


def _psycopg(door: Door) -> None:
    import psycopg

    with psycopg.connect(**_libpq(door)) as connection:  # type: ignore[arg-type] # libpq checks them
        connection.execute((door.command or "SELECT 1").encode())


def _psycopg_async(door: Door) -> None:
    import psycopg

    async def run() -> None:
        async with await psycopg.AsyncConnection.connect(**_libpq(door)) as connection:  # type: ignore[arg-type] # libpq checks them
            await connection.execute((door.command or "SELECT 1").encode())

    asyncio.run(run())


def _psycopg2(door: Door) -> None:
    import psycopg2  # type: ignore[import-untyped] # it has no annotations

    connection = psycopg2.connect(**_libpq(door))
    try:
        connection.cursor().execute(door.command or "SELECT 1")
    finally:
        connection.close()


def _libpq(door: Door) -> dict[str, str | int]:
    return {
        "host": LOCALHOST,
        "port": door.port,
        "user": door.user,
        "password": door.password,
        "dbname": door.database,
        "connect_timeout": 2,
        "sslmode": door.tls or "disable",
    }


def _asyncpg(door: Door) -> None:
    import asyncpg  # type: ignore[import-untyped] # it has no annotations that a checker finds

    async def run() -> None:
        connection = await asyncpg.connect(
            host=LOCALHOST,
            port=door.port,
            user=door.user,
            password=door.password,
            database=door.database,
            ssl=door.tls or "disable",
            timeout=2,
        )
        try:
            await connection.execute(door.command or "SELECT 1")
        finally:
            await connection.close()

    asyncio.run(run())


def _pg8000(door: Door) -> None:
    import pg8000.dbapi  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    connection = pg8000.dbapi.connect(
        host=LOCALHOST,
        port=door.port,
        user=door.user,
        password=door.password,
        database=door.database,
        timeout=2,
    )
    try:
        connection.cursor().execute(door.command or "SELECT 1")
    finally:
        connection.close()


def _sqlalchemy(dialect: str, door: Door) -> None:
    import sqlalchemy

    url = sqlalchemy.URL.create(dialect, door.user, door.password, LOCALHOST, door.port, door.database)
    arguments = {"connect_timeout": 2, "sslmode": door.tls or "disable"}
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": 2} if "pg8000" in dialect else arguments)
    with engine.connect() as connection:
        connection.exec_driver_sql(door.command or "SELECT 1")


def _sqlalchemy_asyncpg(door: Door) -> None:
    import sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine

    async def run() -> None:
        url = sqlalchemy.URL.create(
            "postgresql+asyncpg", door.user, door.password, LOCALHOST, door.port, door.database
        )
        engine = create_async_engine(url, connect_args={"ssl": door.tls or "disable", "timeout": 2})
        try:
            async with engine.connect() as connection:
                await connection.exec_driver_sql(door.command or "SELECT 1")
        finally:
            await engine.dispose()

    asyncio.run(run())


DRIVERS: Final = (
    Driver("psycopg", _psycopg),
    Driver("psycopg", _psycopg_async, "psycopg (asyncio)"),
    Driver("psycopg2-binary", _psycopg2, "psycopg2"),
    Driver("asyncpg", _asyncpg),
    Driver("pg8000", _pg8000),
    Driver("sqlalchemy", partial(_sqlalchemy, "postgresql+psycopg"), "SQLAlchemy, psycopg"),
    Driver("sqlalchemy", partial(_sqlalchemy, "postgresql+psycopg2"), "SQLAlchemy, psycopg2"),
    Driver("sqlalchemy", partial(_sqlalchemy, "postgresql+pg8000"), "SQLAlchemy, pg8000"),
    Driver("sqlalchemy", _sqlalchemy_asyncpg, "SQLAlchemy, asyncpg"),
)
LIBPQ: Final = ("psycopg", "psycopg (asyncio)", "psycopg2", "SQLAlchemy, psycopg", "SQLAlchemy, psycopg2")
PLAIN: Final = tuple(one for one in DRIVERS if one.name in {"", "psycopg2"})

ROLES: Final = (
    f"CREATE ROLE app LOGIN PASSWORD '{RIGHT}'",
    f"CREATE ROLE expired LOGIN PASSWORD '{RIGHT}' VALID UNTIL '2020-01-01'",
    f"CREATE ROLE locked NOLOGIN PASSWORD '{RIGHT}'",
    f"CREATE ROLE limited LOGIN PASSWORD '{RIGHT}' CONNECTION LIMIT 0",
    f"CREATE ROLE no_entry LOGIN PASSWORD '{RIGHT}'",
    f"CREATE ROLE rejected LOGIN PASSWORD '{RIGHT}'",
    f"CREATE ROLE tls_only LOGIN PASSWORD '{RIGHT}'",
    "CREATE ROLE ident_user LOGIN",
    "CREATE ROLE other LOGIN",
    "CREATE ROLE ldap_down LOGIN",
    "CREATE DATABASE app",
    "CREATE TABLE forbidden (x int)",
)


def servers() -> Iterator[Server]:
    """Yield PostgreSQL, then each of its languages, then PgBouncer in three ways to know a password."""
    with openldap(RIGHT, lockout=False) as ldap_port, postgresql(ldap_port=ldap_port) as server:
        server.run(*ROLES)
        hidden = {str(server.port): "5432", server.password: "PASSWORD"}
        title = f"PostgreSQL {_version(server)}"
        with silent() as port_of_silence:
            situations = (*_refusals(server.port), *_other_trouble(server.port, port_of_silence))
            yield Server(title, DRIVERS, situations, {**hidden, str(port_of_silence): "5432"})
        for language, locale in LOCALES.items():
            server.speak(locale)
            yield Server(f"{title} in {language}", PLAIN, tuple(_translated(server.port)), hidden)
        server.speak("C")
        yield from _bouncers(server, hidden)


def _refusals(port: int) -> Iterator[Situation]:
    door = partial(Door, port, password=WRONG)
    yield Situation("wrong password", door(), refused=True)
    yield Situation(
        "wrong password",
        door("tls_only", tls="prefer"),
        refused=True,
        only=LIBPQ,
        why="`sslmode=prefer`: two lines, the second about pg_hba.conf; two refusals on the server",
    )
    yield Situation("unknown user", door("nobody"), refused=True)
    yield Situation("wrong password", door("other"), refused=True, why="LDAP checks it")
    yield Situation(
        "down",
        door("ldap_down"),
        refused=True,
        why="LDAP checks passwords and is down: PostgreSQL says the same",
    )
    yield Situation(
        "expired",
        Door(port, "expired"),
        refused=True,
        why="VALID UNTIL is over: PostgreSQL says the same for a wrong password",
    )


def _other_trouble(port: int, port_of_silence: int) -> Iterator[Situation]:
    door = partial(Door, port)
    yield Situation("locked", door("locked"), refused=False, why="NOLOGIN")
    yield Situation("too many connections", door("limited"), refused=False)
    yield Situation("unknown database", door(database="missing"), refused=False)
    yield Situation(
        "unknown database",
        door(database=LIKE_THE_TEXT),
        refused=False,
        why="with the text of a refusal as its name",
    )
    yield Situation("no right", door(command="SELECT * FROM forbidden", database="postgres"), refused=False)
    yield Situation("not from here", door("no_entry"), refused=False, why="no line in pg_hba.conf")
    yield Situation("not from here", door("rejected"), refused=False, why="`reject` in pg_hba.conf")
    yield Situation("no password wanted", door("ident_user"), refused=False, why="`ident` in pg_hba.conf")
    yield Situation("TLS", door("tls_only"), refused=False, without=("pg8000", "SQLAlchemy, pg8000"))
    yield Situation(
        "TLS", door(tls="verify-full"), refused=False, only=LIBPQ, why="the client does not trust the server"
    )
    yield Situation("down", Door(1), refused=False)
    yield Situation("no answer", Door(port_of_silence), refused=False)


def _translated(port: int) -> Iterator[Situation]:
    yield Situation("wrong password", Door(port, password=WRONG), refused=True)
    yield Situation("wrong password", Door(port, "other", WRONG), refused=True, why="LDAP checks it")
    yield from (
        one
        for one in _other_trouble(port, 1)
        if one.name in {"locked", "too many connections", "unknown database", "not from here"}
    )


def _bouncers(server: Postgres, hidden: dict[str, str]) -> Iterator[Server]:
    listed = {"app": RIGHT, "postgres": server.password}
    ways: dict[str, Callable[[], AbstractContextManager[int]]] = {
        "scram": partial(pgbouncer, server, "scram-sha-256", listed),
        "md5": partial(pgbouncer, server, "md5", listed),
        "auth_query": partial(pgbouncer, server, "scram-sha-256"),
    }
    for way, start in ways.items():
        with ExitStack() as stack:
            port = stack.enter_context(start())
            crowded = stack.enter_context(pgbouncer(server, "scram-sha-256", listed, max_client_conn="0"))
            situations = (
                Situation("wrong password", Door(port, password=WRONG, database="postgres"), refused=True),
                Situation("unknown user", Door(port, "nobody", database="postgres"), refused=True),
                *(
                    [
                        Situation(
                            "unknown database",
                            Door(port, database="missing"),
                            refused=True,
                            why="PgBouncer cannot ask for the password, and says the same for a wrong password",
                            without=("asyncpg",),
                        )
                    ]
                    if way == "auth_query"
                    else [Situation("unknown database", Door(port, database="missing"), refused=False)]
                ),
                Situation("too many connections", Door(crowded, database="postgres"), refused=False),
                *(
                    []
                    if way == "auth_query"
                    else [
                        Situation(
                            "down", Door(port, database="down"), refused=False, why="the server behind it"
                        )
                    ]
                ),
                Situation(
                    "no right",
                    Door(port, database="postgres", command="SELECT * FROM forbidden"),
                    refused=False,
                ),
            )
            yield Server(
                f"PgBouncer {_bouncer_version()}, {way}",
                PLAIN,
                situations,
                {**hidden, str(port): "6432", str(crowded): "6432"},
            )


def _version(server: Postgres) -> str:
    with server.connect() as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]).partition(" ")[0] if row else ""


def _bouncer_version() -> str:
    words = subprocess.run(["/usr/sbin/pgbouncer", "--version"], capture_output=True, text=True, check=True)
    return words.stdout.split()[1]


MESSAGES: Final = {
    True: (
        'password authentication failed for user "%s"',
        'LDAP authentication failed for user "%s"',
        'PAM authentication failed for user "%s"',
        'RADIUS authentication failed for user "%s"',
    ),
    False: (
        'no pg_hba.conf entry for host "%s", user "%s", database "%s", %s',
        'pg_hba.conf rejects connection for host "%s", user "%s", database "%s", %s',
        'authentication failed for user "%s": host rejected',
        '"trust" authentication failed for user "%s"',
        'Ident authentication failed for user "%s"',
        'peer authentication failed for user "%s"',
        'certificate authentication failed for user "%s"',
        'database "%s" does not exist',
        'role "%s" does not exist',
        'role "%s" is not permitted to log in',
        "sorry, too many clients already",
        'too many connections for role "%s"',
    ),
}
"""The server's messages in English: whether each is a refusal."""


def messages() -> dict[str, dict[str, bool]]:
    """Return the messages in every language of the servers that are installed: language -> text -> refused."""
    found: dict[str, dict[str, bool]] = {}
    for file in catalogues():
        found.setdefault(file.parts[4], {}).update(translated(file))
    return found


def catalogues() -> list[Path]:
    """Return the files with the server's messages, one for each language and version that is installed."""
    return sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/postgres-*.mo"))


def translated(file: Path) -> dict[str, bool]:
    """Return the messages of one catalogue that it translates: text -> refused."""
    with file.open("rb") as stream:
        translations = gettext.GNUTranslations(stream)
    return {
        translations.gettext(text): refused
        for refused, texts in MESSAGES.items()
        for text in texts
        if translations.gettext(text) != text
    }
