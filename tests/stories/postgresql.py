"""PostgreSQL with a replica that is behind, and PgBouncer, with each driver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from typing import Final

from keyturn.integrations.login import Login
from tests.servers.databases import Postgres, pgbouncer, postgresql
from tests.servers.process import LOCALHOST
from tests.stories.drivers import (
    CONNECT_TIMEOUT_S,
    Driver,
    Fields,
    Held,
    by_login,
    on_a_loop,
    plain,
    visiting,
    visiting_on_a_loop,
)
from tests.stories.frameworks import by_sqlalchemy, django
from tests.stories.relay import relaying
from tests.stories.stage import Server
from tests.stories.workers import LogIn

SETTINGS: Final = {"max_connections": "100"}


class Node:
    """A server's roles, changed by one connection of its superuser."""

    def __init__(self, server: Postgres) -> None:
        server.run("CREATE ROLE logins")
        self._connection = server.connect()

    def admit(self, user: str, *passwords: str) -> None:
        from psycopg import sql

        (password,) = passwords
        row = self._connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (user,)).fetchone()
        change = (
            "CREATE ROLE {} LOGIN PASSWORD {} IN ROLE logins" if row is None else "ALTER ROLE {} PASSWORD {}"
        )
        names = sql.Identifier(user), sql.Literal(password)
        self._connection.execute(sql.SQL(change).format(*names))

    def close(self) -> None:
        self._connection.close()


def libpq(fields: Fields) -> dict[str, str | int]:
    """The arguments of a driver that is based on libpq."""
    return {
        "host": fields["host"],
        "port": fields["port"],
        "user": fields["username"],
        "password": fields["password"],
        "dbname": fields["dbname"],
        "connect_timeout": CONNECT_TIMEOUT_S,
        "sslmode": "disable",
    }


def _psycopg() -> Driver:
    import psycopg

    from keyturn.integrations.psycopg import connect

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        yield lambda: connect(login, sslmode="disable", connect_timeout=CONNECT_TIMEOUT_S).close()

    def visit(fields: Fields) -> None:
        psycopg.connect(**libpq(fields)).close()  # type: ignore[arg-type] # libpq checks them

    return Driver("psycopg", by_login(keyturn), visiting(visit))


def _psycopg2() -> Driver:
    import psycopg2  # type: ignore[import-untyped] # it has no annotations

    return plain("psycopg2", lambda fields: psycopg2.connect(**libpq(fields)).close())


def _pg8000() -> Driver:
    import pg8000.dbapi  # type: ignore[import-not-found,unused-ignore] # of the extra `servers`

    def visit(fields: Fields) -> None:
        pg8000.dbapi.connect(
            host=fields["host"],
            port=int(fields["port"]),
            user=fields["username"],
            password=fields["password"],
            database=fields["dbname"],
            timeout=CONNECT_TIMEOUT_S,
        ).close()

    return plain("pg8000", visit)


def _given(fields: Fields) -> dict[str, object]:
    """The arguments of asyncpg."""
    return {
        "host": fields["host"],
        "port": int(fields["port"]),
        "user": fields["username"],
        "password": fields["password"],
        "database": fields["dbname"],
        "ssl": "disable",
        # PgBouncer, which pools sessions here, needs none of this; one that pools transactions does.
        "statement_cache_size": 0,
    }


def _asyncpg() -> Driver:
    import asyncpg  # type: ignore[import-untyped] # it has no annotations that a checker finds

    from keyturn.integrations.asyncpg import connect

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        async def once() -> None:
            await (await connect(login, ssl="disable", statement_cache_size=0)).close()

        with on_a_loop(once) as log_in:
            yield log_in

    async def visit(fields: Fields) -> None:
        await (await asyncpg.connect(**_given(fields))).close()

    return Driver("asyncpg", by_login(keyturn), visiting_on_a_loop(visit))


def _asyncpg_pool() -> Driver:
    """A pool that opens a new connection for each query."""
    import asyncpg

    from keyturn.integrations.asyncpg import connect

    @contextmanager
    def pooled(opening: Callable[..., Awaitable[object]]) -> Iterator[LogIn]:
        with asyncio.Runner() as runner:

            async def start() -> asyncpg.Pool:  # type: ignore[no-any-unimported] # as above
                return await asyncpg.create_pool(connect=opening, min_size=0, max_size=1, max_queries=1)

            pool = runner.run(start())

            async def query() -> None:
                await pool.execute("SELECT 1")

            try:
                yield lambda: runner.run(asyncio.wait_for(query(), CONNECT_TIMEOUT_S))
            finally:
                runner.run(pool.close())

    def keyturn(login: Login) -> AbstractContextManager[LogIn]:
        return pooled(partial(connect, login, ssl="disable", statement_cache_size=0))

    def usual(held: Held) -> AbstractContextManager[LogIn]:
        return pooled(lambda *_, **kwargs: asyncpg.connect(**{**kwargs, **_given(held.fields)}))

    return Driver("asyncpg, its pool", by_login(keyturn), usual)


def _django() -> Driver:
    return django(
        "Django, psycopg", "keyturn.integrations.django", "django.db.backends.postgresql", sslmode="disable"
    )


def drivers() -> list[Driver]:
    """Every driver of PostgreSQL."""
    sqlalchemy = by_sqlalchemy("SQLAlchemy, psycopg", "postgresql+psycopg", sslmode="disable")
    return [_psycopg(), _psycopg2(), _asyncpg(), _asyncpg_pool(), _pg8000(), sqlalchemy, _django()]


@contextmanager
def postgres() -> Iterator[Server]:
    """A primary and a replica that is behind, at one address."""
    with (
        postgresql(SETTINGS) as primary,
        postgresql(SETTINGS) as replica,
        relaying([primary.port, replica.port]) as relay,
        ExitStack() as stack,
    ):
        nodes = [stack.enter_context(closing(Node(server))) for server in (primary, replica)]
        place: dict[str, str | int] = {"host": LOCALHOST, "port": relay.port, "dbname": "postgres"}
        yield Server(place, nodes, drivers(), relay.switch)


@contextmanager
def behind_pgbouncer() -> Iterator[Server]:
    """PgBouncer, which asks the server for the verifier of each user (auth_query)."""
    with (
        postgresql(SETTINGS) as server,
        pgbouncer(server, "scram-sha-256") as port,
        closing(Node(server)) as node,
    ):
        yield Server({"host": LOCALHOST, "port": port, "dbname": "postgres"}, [node], drivers())
