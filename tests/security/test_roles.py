"""Whoever holds a role of the stack: what an account that enforces IAM lets them do, and what not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from keyturn import SecretCache
from keyturn.demo.stage import STACK, Stack, deploy
from keyturn.testing.embedded import EmbeddedAws
from tools.build_listener import ROOT, build_listener

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.e2e

NAME, OUTSIDE = "prod/db", "dev/db"
KEY = {"pk": {"S": "head"}}


@dataclass(frozen=True)
class Holder:
    """Somebody with the temporary credentials of a role."""

    session: boto3.Session
    table: str

    @property
    def secrets(self) -> SecretsManagerClient:
        return self.session.client("secretsmanager")

    @property
    def dynamodb(self) -> DynamoDBClient:
        return self.session.client("dynamodb")


@pytest.fixture(scope="module")
def stack(guarded_aws: EmbeddedAws) -> Stack:
    """The template, deployed into an account that enforces IAM, and two secrets, of which it watches one."""
    stack = deploy(build_listener(), ROOT / "infra" / "template.yaml", {"NamePrefixes": "prod/"})
    for name in (NAME, OUTSIDE):
        boto3.client("secretsmanager").create_secret(Name=name, SecretString="one")
    stack.sweep()
    return stack


def assumed(role_arn: str, stack: Stack) -> Holder:
    """The holder of this role."""
    lent = boto3.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="somebody")["Credentials"]
    session = boto3.Session(lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"])
    return Holder(session, stack.marker_table)


@pytest.fixture(scope="module")
def listener(stack: Stack) -> Holder:
    """Whoever holds the listener's role."""
    function = boto3.client("lambda").get_function_configuration(FunctionName=stack.listener)
    return assumed(function["Role"], stack)


@pytest.fixture(scope="module")
def reader(stack: Stack) -> Holder:
    """Whoever holds a role with the stack's reader policy and the right to read the one secret."""
    outputs = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    (policy_arn,) = (one["OutputValue"] for one in outputs if one["OutputKey"] == "ReaderPolicyArn")
    roles = boto3.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
    role = roles.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    roles.attach_role_policy(RoleName="reader", PolicyArn=policy_arn)
    arn = boto3.client("secretsmanager").describe_secret(SecretId=NAME)["ARN"]
    may_read = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn}
    document = {"Version": "2012-10-17", "Statement": [may_read]}
    roles.put_role_policy(RoleName="reader", PolicyName="one", PolicyDocument=json.dumps(document))
    return assumed(role["Arn"], stack)


def is_denied(call: Callable[[], object]) -> bool:
    """Whether a policy refuses this call."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"].startswith("AccessDenied")
    return False


def test_the_listeners_role_cannot_read_or_change_a_secret(listener: Holder) -> None:
    """It sees ids and labels; every call that gives or changes a value is denied."""
    assert listener.secrets.describe_secret(SecretId=NAME)["VersionIdsToStages"]
    secrets = listener.secrets
    assert is_denied(lambda: secrets.get_secret_value(SecretId=NAME))
    assert is_denied(lambda: secrets.batch_get_secret_value(SecretIdList=[NAME]))
    assert is_denied(lambda: secrets.put_secret_value(SecretId=NAME, SecretString="x"))
    assert is_denied(lambda: secrets.delete_secret(SecretId=NAME))


def test_the_listeners_role_sees_what_it_watches_and_nothing_else(listener: Holder) -> None:
    """A secret outside of NamePrefixes cannot even be described, and several items are never read at once."""
    assert is_denied(lambda: listener.secrets.describe_secret(SecretId=OUTSIDE))
    request = {listener.table: {"Keys": [KEY]}}
    assert is_denied(lambda: listener.dynamodb.batch_get_item(RequestItems=request))  # type: ignore[arg-type] # a key


def test_the_queue_refuses_whoever_comes_without_tls(stack: Stack) -> None:
    """Also the account's root, whom no policy of a role limits."""
    outputs = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    (url,) = (one["OutputValue"] for one in outputs if one["OutputKey"] == "UndeliveredUrl")
    queue = boto3.client("sqs")
    assert not is_denied(lambda: queue.receive_message(QueueUrl=url))
    queue.meta.events.register("before-send.sqs.*", without_tls)
    assert is_denied(lambda: queue.receive_message(QueueUrl=url))
    assert is_denied(lambda: queue.send_message(QueueUrl=url, MessageBody="forged"))


def without_tls(request: AWSPreparedRequest, **_call: object) -> None:
    """Say what a proxy that ends TLS says of a request that came to it without."""
    request.headers["X-Forwarded-Proto"] = "http"


def test_the_listeners_role_cannot_remove_the_table(listener: Holder) -> None:
    """It writes items; it can neither delete one nor the table."""
    table = listener.table
    assert listener.dynamodb.get_item(TableName=table, Key=KEY)["Item"]
    assert is_denied(lambda: listener.dynamodb.delete_item(TableName=table, Key=KEY))
    assert is_denied(lambda: listener.dynamodb.delete_table(TableName=table))


def test_a_readers_role_cannot_write_the_table(reader: Holder) -> None:
    """It reads head, markers and its own secret; it can forge nothing and list nobody else's."""
    table = reader.table
    assert "one" == reader.secrets.get_secret_value(SecretId=NAME)["SecretString"]
    assert reader.dynamodb.get_item(TableName=table, Key=KEY)["Item"]
    assert is_denied(lambda: reader.dynamodb.put_item(TableName=table, Item=KEY))
    assert is_denied(lambda: reader.dynamodb.scan(TableName=table))
    assert is_denied(lambda: reader.secrets.describe_secret(SecretId=NAME))


def test_a_readers_role_finds_its_table_by_the_stacks_parameter(reader: Holder) -> None:
    """With the stack's policy alone: the secret is covered. No other parameter may be read."""
    store = reader.session.client("ssm")
    boto3.client("ssm").put_parameter(Name="/other", Value="one", Type="String")
    cache = SecretCache(
        reader.secrets,
        marker_table="ssm:/keyturn/marker-table",
        dynamodb_client=reader.dynamodb,
        ssm_client=store,
        check_interval_s=1e-6,
    )
    assert ["one", "one"] == [cache.get_secret_string(NAME) for _ in range(2)]
    assert (None, True) == (cache.status().table.trouble, cache.status().secrets[0].covered)
    assert is_denied(lambda: store.get_parameter(Name="/other"))
