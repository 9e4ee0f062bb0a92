"""One account on moto: a marker table, Secrets Manager, and the command run in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from keyturn.cli.root import root
from keyturn.testing.moto import mend_moto

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

TABLE = "markers"
CANARY = "canary-value-never-shown"


@dataclass(frozen=True)
class World:
    """The account, and `keyturn` run in it."""

    secrets: SecretsManagerClient
    dynamodb: DynamoDBClient

    def make_table(self, key: str = "pk", kind: str = "S") -> None:
        self.dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S" if kind == "S" else "N"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def create(self, name: str) -> str:
        """A secret; its ARN."""
        return self.secrets.create_secret(Name=name, SecretString=CANARY)["ARN"]

    def rotate(self, name: str) -> str:
        """Put a new current version, of which nothing tells; its id."""
        return self.secrets.put_secret_value(SecretId=name, SecretString=CANARY)["VersionId"]

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> Result:
        """What `keyturn ...` does; no output of any command ever holds a value."""
        result = CliRunner().invoke(
            root, arguments, env={"KEYTURN_MARKER_TABLE": TABLE, **(environment or {})}
        )
        assert CANARY not in result.output
        assert "Traceback" not in result.output
        return result

    def asked(self, *arguments: str) -> Mapping[str, object]:
        """The one JSON document that it answers."""
        answer: object = json.loads(self.run(*arguments, "--json").stdout)
        assert isinstance(answer, dict)
        return answer


@pytest.fixture
def world() -> Iterator[World]:
    """An account with an empty marker table and the secret `prod/db`."""
    with mock_aws():
        world = World(
            boto3.client("secretsmanager", region_name="eu-west-1"),
            boto3.client("dynamodb", region_name="eu-west-1"),
        )
        mend_moto(world.secrets)
        world.make_table()
        world.create("prod/db")
        yield world
