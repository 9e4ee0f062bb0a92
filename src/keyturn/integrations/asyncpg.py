"""asyncpg: connections, also those of its own pool, opened through keyturn's login.

    login = Login(cache, "prod/orders")
    connection = await connect(login)
    pool = await asyncpg.create_pool(connect=partial(connect, login))

asyncpg's own way, a `password` that is a function, is asked once for each connection and never told of a
refusal, so it cannot go on to the next version.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg  # type: ignore[import-untyped] # it has no annotations that a checker finds

from keyturn.integrations.arguments import ASYNCPG, ASYNCPG_TLS, arguments, server_of, without_absent
from keyturn.integrations.login import Login, Opened
from keyturn.model.versions import SecretVersion

if TYPE_CHECKING:
    from typing import TypeAlias

    Connection: TypeAlias = asyncpg.Connection  # type: ignore[no-any-unimported] # as above
    Pool: TypeAlias = asyncpg.Pool  # type: ignore[no-any-unimported] # as above


async def connect(login: Login, dsn: str | None = None, **kwargs: object) -> Connection:
    """Open a connection. The arguments are those of `asyncpg.connect`.

    User and password are the secret's; so are host, port and database unless `dsn` or `kwargs` has them.
    Raises `LoginRefusedError`, or asyncpg's own error for anything but a refusal.
    """
    given = without_absent(kwargs)
    if dsn:
        given["dsn"] = dsn
    hosts, named = _named(dsn or "")
    names = {field: name for field, name in ASYNCPG.items() if field not in named}

    async def attempt(version: SecretVersion) -> Connection:
        return await asyncpg.connect(**arguments(version, names, given, ASYNCPG_TLS))

    server = server_of(given) or hosts
    return await login.awaiting(attempt, server=server)


def retire_superseded(pool: Pool, login: Login) -> Callable[[], Awaitable[None]]:
    """Return a function to await before `pool.acquire()`: the pool then replaces superseded connections.

    It is for servers that end sessions of an old password, and for rules that demand it. Each call costs a
    hit of the cache; whatever is no hit is read in a thread. Once AWSCURRENT has moved, all connections of
    the pool are replaced, those in use when they are given back.
    """
    seen: list[Opened] = []

    async def retire() -> None:
        current = await login.async_opened()
        if current is not None and current not in seen:
            seen[:] = [current]
            await pool.expire_connections()

    return retire


def _named(dsn: str) -> tuple[str, frozenset[str]]:
    """Return the hosts that a DSN names, and the fields of a secret that it takes the place of."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    hosts = parts.netloc.rpartition("@")[2] or ",".join(query.get("host", ()))
    has_database = parts.path.strip("/") or query.keys() & {"database", "dbname"}
    named = {*(("host", "port") if hosts else ()), *(("dbname",) if has_database else ())}
    return hosts, frozenset(named)
