"""Whoever may write the convergence table: what `status` counts can be wrong, what is served cannot."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from keyturn import Peers, SecretCache
from keyturn.convergence.counting import counted, living
from keyturn.convergence.table import ConvergenceTable
from keyturn.model.markers import Report
from keyturn.testing.fakes import FakeClock

TABLE, NAME, CANARY = "fleet", "prod/db", "c4n4ry-Pa55w0rd"


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """An account with the table and one secret; every call to DynamoDB that is made after that."""
    calls: list[str] = []
    with mock_aws():
        boto3.setup_default_session(region_name="eu-west-1")
        client = boto3.client("dynamodb")
        client.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        boto3.client("secretsmanager").create_secret(Name=NAME, SecretString=CANARY)
        yield calls
        boto3.DEFAULT_SESSION = None


def warm(calls: list[str], clock: FakeClock) -> SecretCache:
    """A process that has reported once; its calls to DynamoDB are noted."""
    client = boto3.client("dynamodb")
    client.meta.events.register(
        "before-call.dynamodb", lambda model, **_: calls.append(getattr(model, "name", "?"))
    )
    cache = SecretCache(
        boto3.client("secretsmanager"),
        convergence_table=TABLE,
        dynamodb_client=client,
        peers=Peers(clock=clock),
    )
    read_on(cache, clock)
    return cache


def read_on(cache: SecretCache, clock: FakeClock) -> None:
    """Get the secret before and after a check."""
    for _ in range(2):
        assert CANARY == cache.get_secret_string(NAME)
        clock.advance(5)


def test_a_process_only_ever_writes_the_table(asked: list[str]) -> None:
    """It believes nothing of it, since it reads nothing: an hour of use is PutItem and no other call."""
    clock = FakeClock()
    cache = warm(asked, clock)
    for _ in range(720):
        read_on(cache, clock)
    assert {"PutItem"} == set(asked)


def test_forged_reports_change_the_count_and_nothing_that_is_served(asked: list[str]) -> None:
    """In the process's own name and in others': each `get` gives what Secrets Manager says."""
    clock = FakeClock()
    cache = warm(asked, clock)
    table = ConvergenceTable(boto3.client("dynamodb"), TABLE)
    (own,) = table.read().reports
    (key,) = own.held
    forged = {key: "forged", "arn:aws:secretsmanager:eu-west-1:1:secret:x": "v"}
    table.write(own._replace(held=forged))
    for number in range(3):
        table.write(Report(f"forged{number}", forged, clock.wall_s, clock.wall_s + 900))
    told = {one.key: one for one in counted(living(table.read().reports, clock.wall_s), own.held)}
    assert (0, 4) == (told[key].on_current, told[key].environments)
    read_on(cache, clock)
    assert own.held[key] == cache.get(NAME).version_id


def test_what_is_written_holds_no_value(asked: list[str]) -> None:
    """The whole table as it stands in DynamoDB."""
    warm(asked, FakeClock())
    items = boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
    assert 1 == len(items)
    assert CANARY not in str(items)
    assert {"pk", "schema", "held", "reported_at_s", "expires_at_s"} == items[0].keys()
