"""A rotation function's own word reaches warm readers at their next check."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_secretsmanager import SecretsManagerClient

from keyturn import ConfigurationError, InvalidSecretIdError, MarkerTableError, Peers, SecretCache, announce
from keyturn.announcing import CLIENTS_S, DEADLINE_S
from keyturn.markers.recorder import Outcome
from keyturn.testing.fakes import FakeClock

NAME, TABLE = "prod/db", "markers"


@pytest.fixture
def clients() -> Iterator[tuple[SecretsManagerClient, DynamoDBClient]]:
    """moto with one secret and a marker table."""
    with mock_aws():
        secrets = boto3.client("secretsmanager", region_name="eu-west-1")
        secrets.create_secret(Name=NAME, SecretString="one")
        dynamodb = boto3.client("dynamodb", region_name="eu-west-1")
        dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield secrets, dynamodb


def test_an_announcement_is_noticed_at_the_next_check(
    clients: tuple[SecretsManagerClient, DynamoDBClient],
) -> None:
    """After finishSecret was announced, a reader that knew the marker reads the new version once."""
    secrets, dynamodb = clients
    announce(NAME, marker_table=TABLE, client=secrets, dynamodb_client=dynamodb)
    clock = FakeClock()
    cache = SecretCache(secrets, marker_table=TABLE, dynamodb_client=dynamodb, peers=Peers(clock=clock))
    arn = cache.get(NAME).arn
    clock.advance(5)
    cache.get(NAME)
    version_id = secrets.put_secret_value(SecretId=NAME, SecretString="two")["VersionId"]
    done = announce(
        arn,
        version_id=version_id,
        step="finishSecret",
        marker_table=TABLE,
        client=secrets,
        dynamodb_client=dynamodb,
    )
    assert Outcome.WRITTEN == done.outcome
    clock.advance(5)
    assert version_id == cache.get(NAME).version_id


def test_a_deleted_secrets_marker_that_has_ended_is_no_news_and_its_successor_is(
    clients: tuple[SecretsManagerClient, DynamoDBClient],
) -> None:
    """DynamoDB removes the item and no head moves. A secret made again under the name is read at once."""
    secrets, dynamodb = clients
    told = functools.partial(announce, marker_table=TABLE, client=secrets, dynamodb_client=dynamodb)
    told(NAME)
    clock = FakeClock()
    cache = SecretCache(secrets, marker_table=TABLE, dynamodb_client=dynamodb, peers=Peers(clock=clock))
    old = cache.get(NAME)
    secrets.delete_secret(SecretId=old.arn, ForceDeleteWithoutRecovery=True)
    buried = told(old.arn).marker
    assert buried is not None
    assert buried.deleted
    item = dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": buried.key}}, ReturnValues="ALL_OLD")
    assert "expires_at_s" in item["Attributes"]
    clock.advance(5)
    assert old == cache.get(NAME)
    assert not cache.status().secrets[0].covered
    new = secrets.create_secret(Name=NAME, SecretString="two")["VersionId"]
    told(NAME)
    clock.advance(5)
    assert new == cache.get(NAME).version_id


def test_announcing_twice_writes_once(
    clients: tuple[SecretsManagerClient, DynamoDBClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table may come from the environment, clients too; a doubled call changes nothing."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", TABLE)
    assert [Outcome.WRITTEN, Outcome.UNCHANGED] == [announce(NAME).outcome, announce(NAME).outcome]


@pytest.mark.usefixtures("clients")
def test_the_table_may_be_named_by_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere; a missing parameter is an error of the table, and is read again by the next call."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", "ssm:/keyturn/marker-table")
    with pytest.raises(MarkerTableError, match="its name was not read"):
        announce(NAME)
    store = boto3.client("ssm", region_name="eu-west-1")
    store.put_parameter(Name="/keyturn/marker-table", Value=TABLE, Type="String")
    assert [Outcome.WRITTEN, Outcome.UNCHANGED] == [announce(NAME).outcome, announce(NAME).outcome]


def test_announcing_nonsense_is_told_before_any_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """No table, an unknown step, an impossible id: a typed error each."""
    with pytest.raises(ConfigurationError, match="KEYTURN_MARKER_TABLE"):
        announce(NAME)
    with pytest.raises(ConfigurationError, match="createSecret, setSecret"):
        announce(NAME, step="doneSecret", marker_table=TABLE)
    with pytest.raises(InvalidSecretIdError):
        announce("", marker_table=TABLE)


@pytest.mark.proof
def test_an_endpoint_that_hangs_holds_a_rotation_up_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are taken and nothing is answered: an error after 1 s. It was after 16 s."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr("keyturn.announcing.DEADLINE_S", DEADLINE_S)
        # A margin for a busy machine: it takes 1.0 s and the making of two clients.
        begun_s = time.monotonic()
        with pytest.raises(MarkerTableError, match="the announcement got no answer within 1 s"):
            announce(NAME, step="setSecret", marker_table=TABLE)
        assert 5 > time.monotonic() - begun_s


@pytest.mark.proof
def test_credentials_that_hang_hold_a_rotation_up_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore asks for them while it makes a client. Only the first call waits longer for that: 4 s."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        monkeypatch.setattr("keyturn.announcing.DEADLINE_S", DEADLINE_S)
        for client, within_s in ((None, CLIENTS_S), (object(), DEADLINE_S), (None, DEADLINE_S)):
            begun_s = time.monotonic()
            with pytest.raises(
                MarkerTableError, match=f"the announcement got no answer within {within_s:.0f} s"
            ):
                announce(NAME, marker_table="no-credentials", dynamodb_client=client)
            # A margin for a busy machine.
            assert within_s + 2 > time.monotonic() - begun_s


@pytest.mark.proof
def test_a_name_that_is_not_resolved_holds_a_rotation_up_for_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client has no time-out for that: its call does not return, and the announcement ends all the same."""
    resolved = threading.Event()

    class Unresolved:
        """A client whose calls wait for a name server that does not answer."""

        def describe_secret(self, **_: str) -> object:
            resolved.wait(60)
            raise ConnectionError

        get_item = put_item = update_item = describe_secret

    monkeypatch.setattr("keyturn.announcing.DEADLINE_S", DEADLINE_S)
    begun_s = time.monotonic()
    with pytest.raises(MarkerTableError, match="the announcement got no answer within 1 s"):
        announce(NAME, marker_table=TABLE, client=Unresolved(), dynamodb_client=Unresolved())
    assert 5 > time.monotonic() - begun_s
    resolved.set()


@pytest.mark.proof
def test_a_version_that_is_not_visible_yet_is_left_to_the_listener(
    clients: tuple[SecretsManagerClient, DynamoDBClient],
) -> None:
    """DescribeSecret is asked again for half a second, then the announcement ends. It was after 6 s."""
    secrets, dynamodb = clients
    announce(NAME, marker_table=TABLE, client=secrets, dynamodb_client=dynamodb)
    unknown = "1f5c9a2e-0000-4000-8000-000000000000"
    begun_s = time.monotonic()
    told = announce(
        NAME,
        version_id=unknown,
        step="createSecret",
        marker_table=TABLE,
        client=secrets,
        dynamodb_client=dynamodb,
    )
    assert (Outcome.DEFERRED, 5) == (told.outcome, told.looks)
    assert 4 > time.monotonic() - begun_s
