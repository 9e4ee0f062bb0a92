"""Rotations told on real servers, with workers that log in all the time. See `__main__`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.stories import mariadb, memory, postgresql, web
from tests.stories.stage import Setting, Strategy

ONE_PASSWORD: Final[Sequence[Strategy]] = ("single user", "alternating users")
ANY: Final[Sequence[Strategy]] = (*ONE_PASSWORD, "two passwords")

SETTINGS: Final[Sequence[Setting]] = [
    Setting("PostgreSQL", postgresql.postgres, ONE_PASSWORD, has_replica=True),
    Setting("PgBouncer", postgresql.behind_pgbouncer, ONE_PASSWORD),
    Setting("MariaDB", mariadb.server, ANY, has_replica=True),
    Setting("Redis", memory.redis_server, ANY, has_replica=True),
    Setting("Valkey", memory.valkey_server, ANY, has_replica=True),
    Setting("Valkey cluster of three", memory.cluster_server, ANY),
    Setting("HTTP", web.server, ("single user", "two passwords")),
]
