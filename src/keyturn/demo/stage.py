"""The set-up of the demonstration: the deployed listener, a database role, and the secret for it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3
from botocore.exceptions import WaiterError
from psycopg import sql

from keyturn.testing.embedded import LOCALHOST, EmbeddedPostgres
from keyturn.testing.rotation import Rotation, StepFunctions

NAME: Final = "demo/orders-database"
ROLE: Final = "orders"
BUCKET: Final = "keyturn-demo"
STACK: Final = "keyturn"


class DeploymentError(RuntimeError):
    """The listener could not be built, deployed or run. The message says why."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The outputs of the deployed stack."""

    marker_table: str
    listener: str

    def sweep(self) -> None:
        """Run the listener's sweep now, as its schedule would in a few minutes."""
        answer = boto3.client("lambda").invoke(
            FunctionName=self.listener, Payload=json.dumps({"keyturn": "sweep"})
        )
        if "FunctionError" in answer:
            raise DeploymentError(f"the sweep failed: {answer['Payload'].read().decode()[:500]}")


def deploy(listener_zip: Path, template: Path, settings: Mapping[str, str] | None = None) -> Stack:
    """Deploy the listener as a user does: the zip to S3, the template through CloudFormation.

    `settings` are further parameters of the template.
    """
    given = {"CodeBucket": BUCKET, "CodeKey": listener_zip.name, **(settings or {})}
    storage, formation = boto3.client("s3"), boto3.client("cloudformation")
    storage.create_bucket(Bucket=BUCKET)
    storage.upload_file(str(listener_zip), BUCKET, listener_zip.name)
    # A request holds 51,200 bytes of a template, an object 1 MB.
    storage.upload_file(str(template), BUCKET, template.name)
    formation.create_stack(
        StackName=STACK,
        TemplateURL=f"https://s3.{storage.meta.region_name}.amazonaws.com/{BUCKET}/{template.name}",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    try:
        formation.get_waiter("stack_create_complete").wait(
            StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    except WaiterError as error:
        events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
        reasons = [event["ResourceStatusReason"] for event in events if "ResourceStatusReason" in event]
        raise DeploymentError("; ".join(reasons) or "the stack was not created") from error
    stack = formation.describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {one.get("OutputKey"): one.get("OutputValue", "") for one in stack.get("Outputs", [])}
    return Stack(outputs["MarkerTableName"], outputs["ListenerArn"])


@dataclass(frozen=True, slots=True)
class DatabaseSecret:
    """The database role `orders` and the secret with its password. `rotation` changes both."""

    postgres: EmbeddedPostgres

    def create(self) -> None:
        """Make the role and the secret. Its value has AWS's fields, and a label for the demonstration."""
        password = secrets.token_urlsafe()
        self._alter("CREATE ROLE {} LOGIN PASSWORD {}", password)
        value = {
            "engine": "postgres",
            "host": LOCALHOST,
            "port": self.postgres.port,
            "dbname": self.postgres.database,
            "username": ROLE,
            "password": password,
            "label": "v1",
        }
        boto3.client("secretsmanager").create_secret(Name=NAME, SecretString=json.dumps(value))

    def rotation(self, label: str) -> Rotation:
        """Return a rotation of the password to the version `label`."""
        client = boto3.client("secretsmanager")

        def new_value(current: str) -> str:
            return json.dumps(json.loads(current) | {"password": secrets.token_urlsafe(), "label": label})

        def set_value(_current: str, pending: str) -> None:
            self._alter("ALTER ROLE {} PASSWORD {}", json.loads(pending)["password"])

        def test_value(pending: str) -> None:
            self.postgres.connect(ROLE, json.loads(pending)["password"]).close()

        return Rotation(client, NAME, StepFunctions(client, new_value, set_value, test_value))

    def _alter(self, statement: str, password: str) -> None:
        with self.postgres.connect() as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(ROLE), sql.Literal(password)))
