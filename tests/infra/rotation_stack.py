"""infra/rotation.yaml on an emulated account: packages, stacks, and secrets that the function rotates."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import boto3
import psycopg
from psycopg import sql

from keyturn import SecretCache
from keyturn.assembly import marker_table
from keyturn.markers.table import MarkerTable
from keyturn.stack import function
from keyturn.testing import Rotation, RotationFunction, RotationSubject, deployed
from keyturn.testing.embedded import LOCALHOST, EmbeddedPostgres
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import WaiterConfigTypeDef
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

ACCOUNT, BUCKET, TABLE, PREFIX = "000000000000", "rotation-code", "markers", "prod/orders"
TEMPLATE = (ROOT / "infra" / "rotation.yaml").read_text("utf-8")
OFTEN: WaiterConfigTypeDef = {"Delay": 1, "MaxAttempts": 30}


def without_tls(page: str) -> str:
    """The handler of a page, for a server that has no TLS."""
    head, opening, rest = page.partition("SingleUser(")
    return head + opening + 'sslmode="disable"' + rest[rest.index(")") :]


def package(folder: Path, code: Mapping[str, str]) -> bytes:
    """The package of these files and the library, as `keyturn stack --rotation-zip` writes it."""
    source = folder / "package"
    source.mkdir()
    for name, text in code.items():
        (source / name).write_text(text)
    return function.build(folder / "function.zip", source)


def make_table() -> MarkerTable:
    """A marker table whose lease has just been renewed, as by the listener."""
    client = boto3.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table = marker_table(TABLE, client)
    table.renew(table.now_s())
    return table


@dataclass(frozen=True)
class RotationStack:
    """A deployed rotation function, and the account that it is in."""

    name: str
    outputs: Mapping[str, str]

    @property
    def secrets(self) -> SecretsManagerClient:
        return boto3.client("secretsmanager")

    @property
    def function(self) -> RotationFunction:
        return deployed(boto3.client("lambda"), self.outputs["FunctionArn"])

    def policy(self) -> object:
        """The only policy of the function's role."""
        roles, role = boto3.client("iam"), self.outputs["FunctionRoleArn"].rpartition("/")[2]
        assert [] == roles.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        (name,) = roles.list_role_policies(RoleName=role)["PolicyNames"]
        return cast("object", roles.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])

    def turn_on(self, secret_id: str) -> None:
        """What RotateSecret writes down; an emulator invokes nothing."""
        self.secrets.rotate_secret(
            SecretId=secret_id,
            RotationLambdaARN=self.outputs["FunctionArn"],
            RotationRules={"AutomaticallyAfterDays": 30},
            RotateImmediately=False,
        )

    def rotation(self, secret_id: str) -> Rotation:
        """A rotation as Secrets Manager does it, by the deployed function."""
        return Rotation(self.secrets, secret_id, self.function)

    def cache(self) -> SecretCache:
        """A process's cache that checks the table twice a second."""
        tables: DynamoDBClient = boto3.client("dynamodb")
        return SecretCache(self.secrets, marker_table=TABLE, dynamodb_client=tables, check_interval_s=0.5)


@contextmanager
def deploying(code: bytes, **parameters: str) -> Iterator[RotationStack]:
    """A stack of the template with this code; deleted at the end."""
    name, key = f"rotate-{uuid.uuid4().hex[:8]}", f"{uuid.uuid4().hex}.zip"
    storage, stacks = boto3.client("s3"), boto3.client("cloudformation")
    storage.create_bucket(Bucket=BUCKET)
    storage.put_object(Bucket=BUCKET, Key=key, Body=code)
    given = {"CodeBucket": BUCKET, "CodeKey": key, "MarkerTable": TABLE, **parameters}
    stacks.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": one, "ParameterValue": value} for one, value in given.items()],
    )
    try:
        stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=OFTEN)
        outputs = stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
        yield RotationStack(name, {one["OutputKey"]: one["OutputValue"] for one in outputs})
    finally:
        stacks.delete_stack(StackName=name)
        stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=OFTEN)


def made(name: str, fields: Mapping[str, object]) -> str:
    """Make a secret with these fields. Returns its ARN."""
    return boto3.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(fields))["ARN"]


class User:
    """A user of the server, and a secret that is rotated by the function of a stack."""

    def __init__(self, stack: RotationStack, postgres: EmbeddedPostgres, prefix: str = PREFIX) -> None:
        self.stack = stack
        self.postgres = postgres
        self.user = f"orders_{uuid.uuid4().hex[:8]}"
        self.name = f"{prefix}-{self.user}"
        with postgres.connect() as connection:
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'one'").format(sql.Identifier(self.user))
            connection.execute(statement)
        where = {"host": LOCALHOST, "port": postgres.port, "dbname": postgres.database, "ssl": False}
        self.arn = made(self.name, {"engine": "postgres", "username": self.user, "password": "one", **where})
        stack.turn_on(self.name)

    def accepts(self, value: str) -> bool:
        fields: dict[str, str] = json.loads(value)
        try:
            self.postgres.connect(fields["username"], fields["password"]).close()
        except psycopg.OperationalError:
            return False
        return True

    def subject(self) -> RotationSubject:
        return RotationSubject(self.stack.secrets, self.name, self.stack.function, self.accepts)

    def current(self) -> str:
        """The value of AWSCURRENT."""
        return self.stack.secrets.get_secret_value(SecretId=self.name)["SecretString"]
