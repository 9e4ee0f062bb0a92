"""Rotation functions as Secrets Manager runs them: on moto and on ministack, against a real PostgreSQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
import psycopg
import pytest
from moto import mock_aws
from psycopg import sql

from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.rotation import RotationFunction, Strategy
from keyturn.rotation.postgresql import AlternatingUsers, SingleUser
from keyturn.testing import Rotation
from keyturn.testing.embedded import LOCALHOST, EmbeddedAws, EmbeddedPostgres
from keyturn.testing.moto import mend_moto
from keyturn.testing.rotation import version_stages

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


NO_TLS = {"sslmode": "disable"}
"""The options of a strategy for a server without TLS."""


@pytest.fixture(params=["moto", pytest.param("ministack", marks=pytest.mark.proof)])
def client(request: pytest.FixtureRequest) -> Iterator[SecretsManagerClient]:
    """Secrets Manager, by each of the emulators."""
    if request.param == "ministack":
        aws: EmbeddedAws = request.getfixturevalue("embedded_aws")
        yield boto3.client("secretsmanager", **aws.client_arguments)
        return
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        yield client


@dataclass
class Stage:
    """A user of the server, his secret, and what was announced of it."""

    client: SecretsManagerClient
    postgres: EmbeddedPostgres
    user: str = field(default_factory=lambda: f'o"rders {uuid.uuid4().hex[:8]}')
    password: str = "the first password"
    announced: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = f"app/{uuid.uuid4()}"
        self.create_role(self.user, self.password)
        self.arn = self.client.create_secret(Name=self.name, SecretString=json.dumps(self.fields()))["ARN"]
        self.enable_rotation(self.name)

    def fields(self) -> dict[str, str | int]:
        """The secret's value, of the shape that AWS gives it."""
        return {
            "engine": "postgres",
            "host": LOCALHOST,
            "port": self.postgres.port,
            "dbname": self.postgres.database,
            "username": self.user,
            "password": self.password,
        }

    def enable_rotation(self, name: str) -> None:
        """What RotateSecret does to an emulator's secret before anything else: the value stays."""
        self.client.rotate_secret(
            SecretId=name, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
        )

    def create_role(self, user: str, password: str, attributes: str = "") -> None:
        text = f"CREATE ROLE {{}} LOGIN {attributes} PASSWORD {{}}"
        self.as_superuser(sql.SQL(text).format(sql.Identifier(user), sql.Literal(password)))

    def as_superuser(self, statement: sql.Composed) -> None:
        with self.postgres.connect() as connection:
            connection.execute(statement)

    def announce(self, secret_id: str, *, version_id: str, step: str) -> None:
        assert secret_id == self.name
        self.announced.append((step, version_id))

    def function(self, strategy: Strategy | None = None) -> RotationFunction:
        return RotationFunction(strategy or SingleUser(**NO_TLS), self.client, announce=self.announce)

    def rotation(self, strategy: Strategy | None = None) -> Rotation:
        return Rotation(self.client, self.name, self.function(strategy))

    def credentials(self, label: str = "AWSCURRENT") -> tuple[str, str]:
        answer = self.client.get_secret_value(SecretId=self.name, VersionStage=label)
        value = json.loads(answer["SecretString"])
        return value["username"], value["password"]

    def accepts(self, user: str, password: str) -> bool:
        try:
            self.postgres.connect(user, password).close()
        except psycopg.OperationalError:
            return False
        return True

    def labels(self) -> dict[str, str]:
        return {
            label: version_id
            for version_id, labels in version_stages(self.client, self.name).items()
            for label in labels
        }

    def alternating(self) -> AlternatingUsers:
        """A strategy for two users, with a master who may create roles and grant this one."""
        master = f"master {uuid.uuid4().hex[:8]}"
        self.create_role(master, "of the master only", "CREATEROLE")
        grant = sql.SQL("GRANT {} TO {} WITH ADMIN OPTION")
        self.as_superuser(grant.format(sql.Identifier(self.user), sql.Identifier(master)))
        value = {"username": master, "password": "of the master only"}
        arn = self.client.create_secret(Name=f"master/{uuid.uuid4()}", SecretString=json.dumps(value))["ARN"]
        text = json.dumps({**self.fields(), "masterarn": arn})
        self.client.put_secret_value(SecretId=self.name, SecretString=text)
        return AlternatingUsers(
            SecretsManagerSource(lambda: self.client), host=LOCALHOST, port=self.postgres.port, **NO_TLS
        )


@pytest.fixture
def stage(client: SecretsManagerClient, postgres: EmbeddedPostgres) -> Stage:
    """A secret with one version, accepted by the server."""
    return Stage(client, postgres)
