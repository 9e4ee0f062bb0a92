"""An AWS account in this process, made by moto: its clients, their calls, and keyturn's marker table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import cache
from typing import TYPE_CHECKING, Final, cast

import boto3
import yaml

from keyturn.stack.files import template
from keyturn.testing.moto import mend_moto

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

REGION: Final = "us-east-1"
ENVIRONMENT: Final[Mapping[str, str]] = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    # moto answers only the plain addresses; requests to other addresses would leave this host.
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "false",
    "AWS_USE_FIPS_ENDPOINT": "false",
}
"""The environment variables that keep every SDK of this process away from a real account."""

TABLE_ARGUMENTS: Final = ("AttributeDefinitions", "KeySchema", "BillingMode")


class Account:
    """A moto account while `moto.mock_aws` is active. Its answers have the time of `wall` (epoch seconds).

    `calls` lists the operations that the clients of `client` have called, in order, by AWS's names:
    `account.calls.count("GetSecretValue")`. Calls of the test kit itself are not in it.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self.calls: list[str] = []
        self._wall = wall
        self.secretsmanager = cast("SecretsManagerClient", self._made("secretsmanager"))
        self.dynamodb = cast("DynamoDBClient", self._made("dynamodb"))

    def client(self, service: str) -> BaseClient:
        """Return a boto3 client whose calls are counted.

        `service` is "secretsmanager", "dynamodb" or "ssm".
        """
        client = self._made(service)
        client.meta.events.register("before-call.*.*", self._count)
        return client

    def make_table(self, name: str) -> str:
        """Make a marker table as the template defines it, and return its name."""
        definition = table_definition()
        arguments = {argument: definition[argument] for argument in TABLE_ARGUMENTS}
        self.dynamodb.create_table(TableName=name, **arguments)  # type: ignore[arg-type] # the template's
        return name

    def _made(self, service: str) -> BaseClient:
        made: BaseClient = _session().client(service)  # type: ignore[call-overload] # of any service
        if service == "secretsmanager":
            mend_moto(cast("SecretsManagerClient", made))
        made.meta.events.register("after-call.dynamodb.*", self._date)
        return made

    def _count(self, *, model: object, **_call: object) -> None:
        self.calls.append(str(getattr(model, "name", "?")))

    def _date(self, *, parsed: Mapping[str, object], **_call: object) -> None:
        """Give DynamoDB's answers the test clock's Date, since keyturn measures ages by that header."""
        metadata = parsed.get("ResponseMetadata")
        headers = metadata.get("HTTPHeaders") if isinstance(metadata, dict) else None
        if isinstance(headers, dict):
            headers["date"] = formatdate(self._wall(), usegmt=True)


@cache
def _session() -> boto3.session.Session:
    """Return the session of all accounts. Each further session would parse the services' models again."""
    return boto3.session.Session(
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


class _Template(yaml.SafeLoader):
    """Reads a template without resolving CloudFormation's short functions (`!Ref`, `!Sub`, ...)."""


_Template.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


@cache
def table_definition() -> Mapping[str, object]:
    """Return the properties of the marker table in the template that is deployed."""
    read = yaml.load(template().read_text("utf-8"), Loader=_Template)  # noqa: S506 # a SafeLoader
    properties: Mapping[str, object] = read["Resources"]["MarkerTable"]["Properties"]
    return properties
