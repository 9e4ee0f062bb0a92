"""A database user whose password rotates, on real servers: the role, its secret, the marker table."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from psycopg import sql

import keyturn
from keyturn import Limits, SecretCache
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.rotation import RotationFunction, Strategy
from keyturn.rotation.postgresql import AlternatingUsers, SingleUser
from keyturn.testing import Rotation
from keyturn.testing.embedded import LOCALHOST, REGION, EmbeddedPostgres, free_port

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

HOLD_S = 0.6
"""Between two moves of a story: time for some logins of every process."""

CHECK_INTERVAL_S = 0.5
SETTLE_S = 1.0


@dataclass
class Scene:
    """One user and all that belongs to it. `announces`: whether anybody writes markers."""

    secrets: SecretsManagerClient
    tables: DynamoDBClient
    postgres: EmbeddedPostgres
    announces: bool = True
    table_is_reachable: bool = True
    password: str = "one"
    user: str = field(default_factory=lambda: f"orders_{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.name = f"app/{self.user}"
        self.table = f"markers-{self.user}"
        self.strategy: Strategy = SingleUser(sslmode="disable")
        self.tables.create_table(
            TableName=self.table,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.on_server("CREATE ROLE {} LOGIN PASSWORD {}", self.user, self.password)
        self.secrets.create_secret(Name=self.name, SecretString=json.dumps(self.fields()))
        # On the emulator this enables rotation and leaves the value as it is.
        self.secrets.rotate_secret(SecretId=self.name)
        self.announce(self.name)

    def fields(self) -> dict[str, str | int]:
        """The first version, of the shape that AWS gives it."""
        return {
            "engine": "postgres",
            "host": LOCALHOST,
            "port": self.postgres.port,
            "dbname": self.postgres.database,
            "username": self.user,
            "password": self.password,
        }

    def on_server(self, statement: str, user: str, password: str) -> None:
        """Create or alter a role, as the superuser."""
        names = sql.Identifier(user), sql.Literal(password)
        with self.postgres.connect() as connection:
            connection.execute(sql.SQL(statement).format(*names))

    def announce(self, secret_id: str, *, version_id: str | None = None, step: str | None = None) -> None:
        """`keyturn.announce`, as long as somebody does."""
        if self.announces:
            keyturn.announce(
                secret_id,
                version_id=version_id,
                step=step,
                marker_table=self.table,
                client=self.secrets,
                dynamodb_client=self.tables,
            )

    def alternate(self) -> None:
        """Let two users take turns from now on."""
        master = f"master_{self.user}"
        self.on_server("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}", master, "the master's")
        value = json.dumps({"username": master, "password": "the master's"})
        arn = self.secrets.create_secret(Name=f"master/{self.user}", SecretString=value)["ARN"]
        self.secrets.put_secret_value(
            SecretId=self.name, SecretString=json.dumps({**self.fields(), "masterarn": arn})
        )
        self.announce(self.name)
        source = SecretsManagerSource(lambda: self.secrets)
        self.strategy = AlternatingUsers(source, host=LOCALHOST, port=self.postgres.port, sslmode="disable")

    def rotation(self) -> Rotation:
        """A rotation as Secrets Manager does it."""
        function = RotationFunction(self.strategy, self.secrets, announce=self.announce)
        return Rotation(self.secrets, self.name, function)

    def cache(self) -> SecretCache:
        """A cache, as every process has its own."""
        return SecretCache(
            self.secrets,
            marker_table=self.table,
            dynamodb_client=self.tables if self.table_is_reachable else _nowhere(),
            check_interval_s=CHECK_INTERVAL_S,
            limits=Limits(settle_s=SETTLE_S),
        )

    def hold(self, seconds: float = HOLD_S) -> None:
        """Let the fleet go on in this state."""
        time.sleep(seconds)


def _nowhere() -> DynamoDBClient:
    """A client for a table that nobody can reach."""
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    return boto3.client(
        "dynamodb", endpoint_url=f"http://{LOCALHOST}:{free_port()}", region_name=REGION, config=config
    )
