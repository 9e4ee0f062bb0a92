"""Rotation of PostgreSQL roles through AWS's four steps, on a server in German that logs every statement."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import asyncpg  # type: ignore[import-untyped] # it has no annotations that a checker finds
import boto3
import psycopg
import pytest
from moto import mock_aws
from psycopg import sql

from keyturn import is_refused
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.rotation import RotationFunction
from keyturn.rotation.postgresql import AlternatingUsers, SingleUser
from keyturn.testing import Rotation
from keyturn.testing.moto import mend_moto
from keyturn.testing.rotation import STEPS, Step
from tests.servers import databases
from tests.servers.databases import Postgres
from tests.servers.process import LOCALHOST

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.e2e

ADMIN = "the m'aster's \u20ac password"
Kind = Literal["single", "alternating"]
KINDS: tuple[Kind, ...] = ("single", "alternating")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that speaks German, and logs every statement and every connection."""
    settings = {
        "logging_collector": "on",
        "log_directory": "log",
        "log_statement": "all",
        "log_connections": "on",
        "log_min_messages": "info",
    }
    with databases.postgresql(settings) as server:
        server.run("CREATE ROLE logins")
        # A clone that there is not yet is refused for its password, and not for want of a line.
        with (server.folder / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 127.0.0.1/32 scram-sha-256\n")
        server.speak("de_DE.utf8")
        yield server


@pytest.fixture(scope="module")
def client() -> Iterator[SecretsManagerClient]:
    """Secrets Manager."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        yield client


@dataclass
class Stage:
    """A role with odd characters, its secret, and the master's."""

    client: SecretsManagerClient
    server: Postgres
    user: str = field(default_factory=lambda: f"o\"r'd \\\u00e4%{uuid.uuid4().hex[:8]}")
    password: str = "the 'first' \"\u00e9\u20ac\" \\password% $$"

    def __post_init__(self) -> None:
        self.name, self.root = f"prod/{uuid.uuid4()}", f"master {uuid.uuid4().hex[:8]}"
        self.create(self.user, self.password, "")
        self.create(self.root, ADMIN, "CREATEROLE")
        self.sql("GRANT {} TO {} WITH ADMIN OPTION", self.user, self.root)
        value = json.dumps({"username": self.root, "password": ADMIN})
        self.master = self.client.create_secret(Name=f"{self.name}-root", SecretString=value)["ARN"]
        fields = {
            "engine": "postgres",
            "host": LOCALHOST,
            "port": self.server.port,
            "dbname": "postgres",
            "username": self.user,
            "password": self.password,
            "masterarn": self.master,
        }
        self.client.create_secret(Name=self.name, SecretString=json.dumps(fields))
        self.client.rotate_secret(
            SecretId=self.name, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
        )

    def create(self, user: str, password: str, attributes: str) -> None:
        """Create a role that may log in, by a verifier that is made here."""
        with self.server.connect() as connection:
            verifier = connection.pgconn.encrypt_password(
                password.encode(), user.encode(), b"scram-sha-256"
            ).decode()
            text = f"CREATE ROLE {{}} LOGIN {attributes} PASSWORD {{}} IN ROLE logins"
            connection.execute(sql.SQL(text).format(sql.Identifier(user), sql.Literal(verifier)))

    def sql(self, text: str, *names: str) -> None:
        with self.server.connect() as connection:
            connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))

    def rotation(self, kind: Kind) -> Rotation:
        options: dict[str, str | int] = {
            "host": LOCALHOST,
            "port": self.server.port,
            "sslmode": "verify-full",
            "sslrootcert": str(self.server.folder / "server.crt"),
        }
        strategy = (
            SingleUser(**options)
            if kind == "single"
            else AlternatingUsers(SecretsManagerSource(lambda: self.client), **options)
        )
        return Rotation(self.client, self.name, RotationFunction(strategy, self.client, announce=unheard))

    def credentials(self, label: str = "AWSCURRENT") -> tuple[str, str]:
        text = self.client.get_secret_value(SecretId=self.name, VersionStage=label)["SecretString"]
        value = json.loads(text)
        return value["username"], value["password"]

    def lets_in(self, user: str, password: str) -> bool:
        """Whether the server lets the user in. It refuses a password in German."""
        try:
            self.server.connect(user, password).close()
        except psycopg.OperationalError as error:
            if "Passwort-Authentifizierung" not in str(error):
                raise
            return False
        return True

    def logged(self) -> str:
        return "".join(
            file.read_text("utf-8", "replace") for file in (self.server.folder / "data" / "log").iterdir()
        )


def unheard(secret_id: str, *, version_id: str, step: str) -> None:
    """Announce nothing."""


@pytest.fixture
def stage(client: SecretsManagerClient, server: Postgres) -> Stage:
    """A role and its secret."""
    return Stage(client, server)


@pytest.mark.parametrize("kind", KINDS)
def test_three_rotations_in_a_row(stage: Stage, kind: Kind) -> None:
    """AWSCURRENT is let in, and AWSPREVIOUS where there are two users. Older ones are not."""
    seen = [stage.credentials()]
    for _ in range(3):
        stage.rotation(kind).run()
        seen.append(stage.credentials())
        assert stage.lets_in(*seen[-1])
        assert stage.lets_in(*seen[-2]) is (kind == "alternating")
        assert not any(stage.lets_in(*older) for older in seen[:-2])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_that_stopped_is_run_again(stage: Stage, kind: Kind, step: Step) -> None:
    """Stopped after each step, with a whole rotation again: one new version, and it is let in."""
    rotation = stage.rotation(kind)
    rotation.run(until=step)
    new = stage.credentials("AWSCURRENT" if step == "finishSecret" else "AWSPENDING")
    rotation.retry()
    assert new == stage.credentials()
    assert stage.lets_in(*new)


@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_and_rolled_back(stage: Stage, kind: Kind) -> None:
    """A rotation that was cancelled before setSecret, and a label that went back: the next rotation works."""
    cancelled = stage.rotation(kind)
    cancelled.run(until="createSecret")
    cancelled.abandon()
    assert stage.lets_in(*stage.credentials())
    rotation = stage.rotation(kind)
    rotation.run()
    rotation.rollback()
    stage.rotation(kind).run()
    assert stage.lets_in(*stage.credentials())


@pytest.fixture(scope="module")
def strict_server() -> Iterator[Postgres]:
    """A server that admits the members of a group only: for a role that there is not it has no entry."""
    with databases.postgresql() as server:
        server.run("CREATE ROLE logins")
        yield server


def test_a_server_that_admits_by_group(client: SecretsManagerClient, strict_server: Postgres) -> None:
    """The first clone is made although the server has no entry for it yet."""
    stage = Stage(client, strict_server)
    before = stage.credentials()
    for _ in range(3):
        stage.rotation("alternating").run()
        for user, password in (before, stage.credentials()):
            strict_server.connect(user, password).close()
        before = stage.credentials()


def test_a_server_that_does_not_admit_the_clone(
    client: SecretsManagerClient, strict_server: Postgres
) -> None:
    """testSecret says so, with the server's own words, and AWSCURRENT stays."""
    stage = Stage(client, strict_server, user="app")
    before = stage.credentials()
    strict_server.run('REVOKE logins FROM "app"')
    rotation = stage.rotation("alternating")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf"):
        rotation.run()
    assert ("createSecret", "setSecret") == rotation.done
    assert before == stage.credentials()


PSYCOPG = {"dbname": "postgres", "sslmode": "require", "host": f"{LOCALHOST},{LOCALHOST}"}
ATTEMPTS: dict[str, Callable[..., object]] = {
    "two addresses, psycopg": lambda **given: psycopg.connect(**{**given, **PSYCOPG}),
    "no ssl, asyncpg": lambda **given: asyncio.run(asyncpg.connect(database="postgres", **given)),
}


@pytest.mark.parametrize("how", ATTEMPTS)
def test_a_wrong_password_that_counts_twice(stage: Stage, how: str) -> None:
    """What docs/login.md says of lock-outs: these two drivers go on after a refusal."""
    with pytest.raises((psycopg.OperationalError, asyncpg.InvalidPasswordError)) as caught:
        ATTEMPTS[how](host=LOCALHOST, port=stage.server.port, user=stage.user, password="wrong")
    assert is_refused(caught.value)
    ends = time.monotonic() + 10
    while stage.logged().count(f"»{stage.user}«") < 2 and time.monotonic() < ends:
        pass
    refusals = [line for line in stage.logged().splitlines() if "Passwort-" in line and stage.user in line]
    assert 2 == len(refusals)


def test_no_password_is_in_the_log(stage: Stage) -> None:
    """The log has every statement and the refusals in German, and no password."""
    passwords = [stage.password, ADMIN]
    for kind in KINDS:
        for _ in range(2):
            stage.rotation(kind).run()
            passwords.append(stage.credentials()[1])
    logged = stage.logged()
    assert "ALTER ROLE" in logged
    assert "Passwort-Authentifizierung" in logged
    assert "SCRAM-SHA-256$" in logged
    assert not any(password in logged for password in passwords)
