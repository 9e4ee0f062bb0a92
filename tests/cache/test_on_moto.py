"""The cache through real clients, against moto: what users meet on their first day."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from functools import partial
from typing import cast

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_secretsmanager import SecretsManagerClient

from keyturn import (
    AccessDeniedError,
    Peers,
    SecretCache,
    SecretDeletedError,
    SecretError,
    SecretFormatError,
    SecretKindError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.assembly import marker_table
from keyturn.model.markers import Marker
from keyturn.testing.fakes import FakeClock
from tests.world import held

NAME = "prod/db"
TABLE = "markers"


@pytest.fixture
def secrets() -> Iterator[SecretsManagerClient]:
    """moto's Secrets Manager with one secret."""
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        client.create_secret(Name=NAME, SecretString="one")
        yield client


@pytest.fixture
def dynamodb(secrets: SecretsManagerClient) -> DynamoDBClient:
    """moto's DynamoDB with a marker table."""
    client = boto3.client("dynamodb", region_name="eu-west-1")
    make_table(client, "pk")
    return client


def make_table(client: DynamoDBClient, key: str) -> None:
    """A table with this one String key."""
    client.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_with_a_boto3_client_a_botocore_client_and_none(secrets: SecretsManagerClient) -> None:
    """Any client does; without one, one is made from the environment at the first read."""
    botocores = botocore.session.get_session().create_client("secretsmanager", region_name="eu-west-1")
    for client in (secrets, cast("SecretsManagerClient", botocores), None):
        assert "one" == SecretCache(client).get_secret_string(NAME)


def test_a_version_as_secrets_manager_tells_it(secrets: SecretsManagerClient) -> None:
    """Id, ARN, name, version, stages and creation date are those of the answer."""
    answer = secrets.get_secret_value(SecretId=NAME, VersionStage="AWSCURRENT")
    version = SecretCache(secrets).get(answer["ARN"])
    assert (answer["ARN"], NAME, answer["VersionId"]) == (version.secret_id, version.name, version.version_id)
    assert frozenset({"AWSCURRENT"}) == version.stages
    assert answer["CreatedDate"].timestamp() == version.created_s


@pytest.mark.parametrize(
    ("wrong", "error", "advice"),
    [
        ("prod/typo", SecretNotFoundError, "Region"),
        ("doomed", SecretDeletedError, "RestoreSecret"),
    ],
)
def test_a_secret_that_is_not_there(
    secrets: SecretsManagerClient, wrong: str, error: type[SecretError], advice: str
) -> None:
    """A wrong name and a deleted secret are errors of their own, with what to do and botocore's cause."""
    secrets.create_secret(Name="doomed", SecretString="x")
    secrets.delete_secret(SecretId="doomed")
    with pytest.raises(error, match=f"{wrong}.*{advice}") as caught:
        SecretCache(secrets).get(wrong)
    assert isinstance(caught.value.__cause__, Exception)


def test_a_stage_that_is_not_there(secrets: SecretsManagerClient) -> None:
    """AWSPENDING outside a rotation is absent, and said to be normal."""
    with pytest.raises(StageNotFoundError, match="AWSPENDING exists only during a rotation"):
        SecretCache(secrets).get(NAME, stage="AWSPENDING")


def test_the_wrong_kind_and_no_json(secrets: SecretsManagerClient) -> None:
    """Binary asked as text and text that is no JSON: typed, told, and the entry is kept."""
    secrets.create_secret(Name="blob", SecretBinary=b"\x00\xff")
    cache = SecretCache(secrets)
    with pytest.raises(SecretKindError, match="get_secret_binary"):
        cache.get_secret_string("blob")
    with pytest.raises(SecretFormatError, match="not JSON at character 0"):
        cache.get(NAME).json()
    assert b"\x00\xff" == cache.get_secret_binary("blob")
    assert 2 == len(cache.status().secrets)


@pytest.mark.parametrize(
    ("code", "message", "status", "error"),
    [
        ("AccessDeniedException", "User is not authorized to perform", 400, AccessDeniedError),
        ("ThrottlingException", "Rate exceeded", 400, UnavailableError),
        ("InternalServiceError", "An error occurred", 500, UnavailableError),
        (
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
            400,
            StageNotFoundError,
        ),
    ],
)
def test_what_aws_refuses(
    secrets: SecretsManagerClient, code: str, message: str, status: int, error: type[SecretError]
) -> None:
    """AWS's error codes become the typed errors of the tree."""
    client = boto3.client(
        "secretsmanager", region_name="eu-west-1", config=Config(retries={"total_max_attempts": 1})
    )
    with Stubber(client) as stub:
        stub.add_client_error("get_secret_value", code, message, status)
        with pytest.raises(error, match=NAME):
            SecretCache(client).get(NAME)


def test_a_rotation_through_the_table(secrets: SecretsManagerClient, dynamodb: DynamoDBClient) -> None:
    """A marker written to a real table makes a covered cache read the new version, once."""
    clock = FakeClock()
    cache = SecretCache(secrets, marker_table=TABLE, dynamodb_client=dynamodb, peers=Peers(clock=clock))
    first = cache.get(NAME)
    second = secrets.put_secret_value(SecretId=NAME, SecretString="two")["VersionId"]
    table = marker_table(TABLE, dynamodb)
    seen = table.look(first.arn[:-7])
    table.write([(seen, Marker(seen.key, first.arn, {"AWSCURRENT": second}))])
    table.renew(table.now_s() - 300)
    clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    clock.advance(5)
    cache.get(NAME)
    assert held(cache).covered
    assert second == held(cache).version_id


def closed_port() -> int:
    """A port of this host on which nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.parametrize("trouble", ["missing", "misshapen", "empty", "unreachable"])
def test_a_table_in_trouble(
    secrets: SecretsManagerClient, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Missing, misshapen, empty or unreachable: served, told in status(), logged once, nothing lost."""
    options = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    make = partial(boto3.client, "dynamodb", region_name="eu-west-1", config=options)
    dynamodb = make(endpoint_url=f"http://127.0.0.1:{closed_port()}") if trouble == "unreachable" else make()
    if trouble in ("misshapen", "empty"):
        make_table(dynamodb, "pk" if trouble == "empty" else "id")
    clock = FakeClock()
    cache = SecretCache(secrets, marker_table=TABLE, dynamodb_client=dynamodb, peers=Peers(clock=clock))
    with caplog.at_level(logging.WARNING, "keyturn"):
        for _ in range(30):
            assert "one" == cache.get_secret_string(NAME)
            clock.advance(10)
    assert held(cache).last_error is None
    assert not held(cache).covered
    assert cache.status().table.trouble is not None
    assert 1 == len([record for record in caplog.records if record.name == "keyturn"])
