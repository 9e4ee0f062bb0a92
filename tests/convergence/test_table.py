"""The convergence table behind a client: its contract, its schema, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from keyturn import ConvergenceTableError, Reporting, SecretCache
from keyturn.convergence.table import ConvergenceTable, item_of, report_of
from keyturn.model.markers import Report
from keyturn.testing.fakes import FakeClock, FakeReports
from tests.convergence.reports_contract import KEY, REPORT, ReportsContract, Table
from tests.markers.test_schema import attributes

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE = "fleet"


def make_table(client: DynamoDBClient, key: str = "pk") -> None:
    """The table as the stack makes it."""
    client.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def client() -> Iterator[DynamoDBClient]:
    """DynamoDB on moto, without a table."""
    with mock_aws():
        yield boto3.client("dynamodb", region_name="eu-west-1")


class TestFake(ReportsContract):
    """The fake that the tests of reporting rest on."""

    @pytest.fixture
    def table(self) -> Table:
        return FakeReports(FakeClock())


class TestMoto(ReportsContract):
    """A boto3 client on moto."""

    @pytest.fixture
    def table(self, client: DynamoDBClient) -> Table:
        make_table(client)
        return ConvergenceTable(client, TABLE)


# Schema

ITEM: Mapping[str, object] = item_of(REPORT._replace(left_out=3))
names = st.one_of(st.sampled_from([*ITEM]), st.text(max_size=8))


@given(st.dictionaries(names, attributes, max_size=8) | attributes | st.text() | st.none())
def test_any_item_is_a_report_or_none(item: object) -> None:
    """Decoding never raises, whatever somebody put into the table."""
    assert report_of(item) is None or isinstance(item, Mapping)


@given(st.sampled_from([*ITEM]), attributes)
def test_one_wrong_attribute_makes_it_no_report(name: str, attribute: object) -> None:
    """Or it is one within the schema's bounds: nothing half-read is counted."""
    report = report_of({**ITEM, name: attribute})
    assert report is None or 0 <= report.expires_at_s - report.reported_at_s <= 86_401


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema": {"N": "2"}},
        {"expires_at_s": {"N": "9999999999"}},
        {"expires_at_s": {"N": "1789999999"}},
        {"expires_at_s": {"N": "1790000900.5"}},
        {"held": {"M": {KEY: {"S": ""}}}},
        {"held": {"M": {KEY: {"S": "v" * 65}}}},
        {"held": {"M": {"": {"S": "v1"}}}},
        {"held": {"M": {KEY: {"N": "1"}}}},
        {"pk": {"S": "e" * 65}},
        {"label": {"S": "l" * 129}},
        {"left_out": {"N": "-1"}},
    ],
)
def test_what_breaks_the_schema_is_no_report(wrong: Mapping[str, object]) -> None:
    """A report that would count for ever, one that ends before it begins, ids of no version."""
    assert report_of(ITEM) is not None
    assert report_of({**ITEM, **wrong}) is None


def test_the_moment_of_its_end_is_whole_as_time_to_live_takes_it() -> None:
    """Rounded up; DynamoDB leaves items alone whose number has a fraction."""
    assert {"N": "1790000002"} == item_of(REPORT._replace(expires_at_s=1_790_000_001.2))["expires_at_s"]


def test_a_label_is_cut_to_what_the_schema_allows() -> None:
    """A long one is no reason not to be counted."""
    report = report_of(item_of(REPORT._replace(label="l" * 500)))
    assert report is not None
    assert "l" * 128 == report.label


def test_items_that_are_no_reports_are_counted(client: DynamoDBClient) -> None:
    """Whoever reads is told how much of the table it could not use."""
    make_table(client)
    client.put_item(TableName=TABLE, Item={"pk": {"S": "x"}, "schema": {"N": "9"}})
    read = ConvergenceTable(client, TABLE).read()
    assert ((), 1) == (read.reports, read.unusable)


# Trouble


class Failing:
    """A client all of whose calls fail in the same way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def put_item(self, **_: object) -> Mapping[str, object]:
        raise self.error

    def scan(self, **_: object) -> Mapping[str, object]:
        raise self.error


def refused(code: str) -> ClientError:
    """AWS's error of that code."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (refused("AccessDeniedException"), "environments need dynamodb:PutItem"),
        (refused("ExpiredTokenException"), "no valid credentials"),
        (refused("ThrottlingException"), "capacity mode to on-demand"),
        (EndpointConnectionError(endpoint_url="https://x"), "check the network path"),
        (refused("ResourceNotFoundException"), "deploy the stack with Convergence=true"),
        (refused("ValidationException"), "primary key must be the String pk"),
        (refused("Else"), "DynamoDB rejected the request"),
    ],
)
def test_every_fault_says_what_to_do(error: Exception, said: str) -> None:
    """With the table's name, AWS's own word, and the cause."""
    with pytest.raises(ConvergenceTableError, match=TABLE) as raised:
        ConvergenceTable(Failing(error), TABLE).write(REPORT)
    assert said in str(raised.value)
    assert error is raised.value.__cause__
    assert ("AccessDenied" in str(error)) == raised.value.denied


def test_reading_needs_another_right() -> None:
    """It is named."""
    with pytest.raises(ConvergenceTableError, match="keyturn status dynamodb:Scan"):
        ConvergenceTable(Failing(refused("AccessDeniedException")), TABLE).read()


def test_whatever_the_client_raises_is_trouble_with_the_table() -> None:
    """Also an error that is not botocore's."""
    with pytest.raises(ConvergenceTableError, match="ZeroDivisionError"):
        ConvergenceTable(Failing(ZeroDivisionError()), TABLE).write(REPORT)


# From a process


def test_a_process_reports_through_its_clients(client: DynamoDBClient) -> None:
    """One client serves both tables; what is read back is what is held."""
    make_table(client)
    secrets = boto3.client("secretsmanager", region_name="eu-west-1")
    made = secrets.create_secret(Name="prod/db", SecretString="one")
    cache = SecretCache(
        secrets,
        convergence_table=Reporting(TABLE, label="orders"),
        dynamodb_client=client,
        check_interval_s=1e-6,
    )
    for _ in range(2):
        cache.get("prod/db")
    (report,) = ConvergenceTable(client, TABLE).read().reports
    expected = Report(
        str(cache.status().reports.environment),
        {made["ARN"][:-7]: made["VersionId"]},
        report.reported_at_s,
        report.expires_at_s,
        "orders",
    )
    assert expected == report
    assert 899 <= report.expires_at_s - report.reported_at_s <= 902


def test_a_lambda_function_is_its_label(client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a label of one's own it is the function's name, which Lambda puts into the environment."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "checkout")
    make_table(client)
    secrets = boto3.client("secretsmanager", region_name="eu-west-1")
    secrets.create_secret(Name="prod/db", SecretString="one")
    cache = SecretCache(secrets, convergence_table=TABLE, dynamodb_client=client, check_interval_s=1e-6)
    for _ in range(2):
        cache.get("prod/db")
    assert ["checkout"] == [one.label for one in ConvergenceTable(client, TABLE).read().reports]


COLD = """
import sys
from keyturn import Peers, Reporting, SecretCache
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
secrets = FakeSecretsManager(FakeClock())
secrets.create("prod/db", "one")
before = set(sys.modules)
cache = SecretCache(peers=Peers(source=secrets, clock=secrets.clock), {arguments})
for _ in range(3):
    cache.get("prod/db")
    secrets.clock.advance(1)
print(*sorted(set(sys.modules) - before))
"""


def loaded_by(arguments: str) -> set[str]:
    """The modules that the first second of a process loads, beyond those of the fakes."""
    script = COLD.format(arguments=arguments)
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


def test_who_does_not_report_loads_nothing_for_it() -> None:
    """Off by default, at no cost."""
    assert not [name for name in loaded_by("") if name.startswith(("keyturn.re", "keyturn.con", "botocore"))]


def test_a_cold_start_makes_no_client_to_report() -> None:
    """With the table on, the first reads load what decides and nothing of AWS."""
    loaded = loaded_by("convergence_table='fleet'")
    assert {"keyturn.convergence.counting", "keyturn.convergence.reporter"} <= loaded
    assert not [name for name in loaded if name.startswith("botocore")]
