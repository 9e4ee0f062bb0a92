"""Real servers for the integrations, and one account of a database that rotates under them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field

import pytest
from psycopg import sql

from keyturn import Peers, SecretCache
from keyturn.integrations.login import Login
from keyturn.testing.embedded import EmbeddedPostgres
from keyturn.testing.fakes import FakeClock, FakeSecretsManager


@dataclass
class Account:
    """A secret in memory with the password `one`, under v1, and a cache on a clock of its own."""

    fields: dict[str, str | int]
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.secrets = FakeSecretsManager(self.clock)
        self.secrets.create("app/db", self.value("one"), "v1")
        self.cache = SecretCache(peers=Peers(source=self.secrets, clock=self.clock, sleep=self.clock.advance))
        self.login = Login(self.cache, "app/db", budget_s=0)

    def value(self, password: str) -> str:
        return json.dumps({**self.fields, "password": password})

    def store(self, password: str, version_id: str, stage: str) -> None:
        self.secrets.put("app/db", self.value(password), version_id, stage)

    def finish(self, version_id: str) -> None:
        """Move AWSCURRENT, and let the cache notice by its TTL."""
        self.secrets.move("app/db", "AWSCURRENT", version_id)
        self.clock.advance(301)


@dataclass
class DatabaseAccount(Account):
    """The same with a role of a real server."""

    postgres: EmbeddedPostgres = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.set_password("CREATE ROLE {} LOGIN PASSWORD {}", "one")

    def set_password(self, statement: str, password: str) -> None:
        names = sql.Identifier(str(self.fields["username"])), sql.Literal(password)
        with self.postgres.connect() as connection:
            connection.execute(sql.SQL(statement).format(*names))

    def open_window(self) -> None:
        """setSecret has ended: the server takes only the password of v2, and v1 is still current."""
        self.set_password("ALTER ROLE {} PASSWORD {}", "two")
        self.store("two", "v2", "AWSPENDING")


@pytest.fixture
def account(postgres: EmbeddedPostgres) -> DatabaseAccount:
    """A role of the server, and its secret."""
    fields = {
        "host": "127.0.0.1",
        "port": str(postgres.port),
        "username": f"app_{uuid.uuid4().hex[:8]}",
        "dbname": postgres.database,
    }
    return DatabaseAccount({**fields}, postgres=postgres)
