"""Real servers, each started once for the tests of a file, and accounts whose passwords rotate on them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from keyturn import SecretVersion
from tests.integrations.conftest import Account
from tests.servers import databases, others
from tests.servers.databases import MariaDb, Postgres
from tests.servers.process import LOCALHOST


@dataclass
class RealAccount(Account):
    """A secret in memory, and `set_password`, which changes the password on the real server."""

    set_password: Callable[[str], None] = field(kw_only=True)

    def open_window(self) -> None:
        """setSecret has ended: the server takes only the password of v2, and v1 is still current."""
        self.set_password("two")
        self.store("two", "v2", "AWSPENDING")

    def version(self, password: str, version_id: str) -> SecretVersion:
        """Return a version of the secret as a rotation function reads it."""
        return SecretVersion("app/db", "arn", "app/db", version_id, frozenset(), string=self.value(password))

    def rotate(self) -> None:
        """Do all of a rotation, and let the cache notice by its TTL."""
        self.open_window()
        self.finish("v2")


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    """A MariaDB server."""
    with databases.mariadb() as server:
        yield server


@pytest.fixture(scope="module")
def debian_postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that speaks many languages."""
    with databases.postgresql() as server:
        server.run("CREATE ROLE logins")
        yield server


@pytest.fixture(scope="module", params=["redis", "valkey"])
def key_store(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a Redis server, and of a Valkey server, whose default user's password is `admin`."""
    with getattr(others, request.param)("--requirepass", "admin") as port:
        yield port


@pytest.fixture
def mysql_account(mariadb: MariaDb) -> RealAccount:
    """A user of MariaDB with a database of his own."""
    user = f"app_{uuid.uuid4().hex[:8]}"
    mariadb.run(
        f"CREATE USER {user} IDENTIFIED BY 'one'",
        f"CREATE DATABASE {user}",
        f"GRANT ALL ON {user}.* TO {user}",
    )
    fields: dict[str, str | int] = {"host": LOCALHOST, "port": mariadb.port, "username": user, "dbname": user}
    return RealAccount(
        fields, set_password=lambda word: mariadb.run(f"SET PASSWORD FOR {user} = PASSWORD('{word}')")
    )


@pytest.fixture
def postgres_account(debian_postgres: Postgres) -> RealAccount:
    """A role of PostgreSQL."""
    role = f"app_{uuid.uuid4().hex[:8]}"
    debian_postgres.run(f"CREATE ROLE {role} LOGIN PASSWORD 'one' IN ROLE logins")
    fields: dict[str, str | int] = {
        "host": LOCALHOST,
        "port": debian_postgres.port,
        "username": role,
        "dbname": "postgres",
    }
    return RealAccount(
        fields, set_password=lambda word: debian_postgres.run(f"ALTER ROLE {role} PASSWORD '{word}'")
    )


@pytest.fixture
def redis_account(key_store: int) -> RealAccount:
    """A user of Redis and of Valkey."""
    import redis

    user = f"app_{uuid.uuid4().hex[:8]}"

    def set_password(word: str) -> None:
        with redis.Redis(host=LOCALHOST, port=key_store, password="admin") as admin:
            admin.execute_command("ACL", "SETUSER", user, "on", "resetpass", f">{word}", "~*", "&*", "+@all")

    set_password("one")
    return RealAccount({"username": user}, set_password=set_password)
