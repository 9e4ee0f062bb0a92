"""The entry point: what it answers, logs and raises, with the clients that it makes itself."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import boto3
import pytest
from moto import mock_aws

from keyturn.errors import ConfigurationError, KeyturnError, MarkerTableError
from rotation_listener.listener import Settings, SweepIncompleteError
from tests.listener.test_events import FILES_ABOUT_SECRETS, sample

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import TagTypeDef

TABLE = "markers"
OWN = "arn:aws:lambda:eu-west-1:123456789012:function:keyturn-Listener-AbCd"
Handler = Callable[[object, object], dict[str, object]]


@dataclass
class Deployed:
    """The account that the handler was deployed into, and the handler."""

    handler: Handler
    secrets: SecretsManagerClient
    dynamodb: DynamoDBClient

    def markers(self) -> list[str]:
        """The keys in the table, the head's too."""
        return sorted(item["pk"]["S"] for item in self.dynamodb.scan(TableName=TABLE)["Items"])


@dataclass
class Context:
    """Lambda's, as far as it is used."""

    remaining_ms: int
    invoked_function_arn: str = OWN
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """The handler as in a new execution environment: what it keeps is made anew."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", TABLE)
    monkeypatch.setenv("KEYTURN_SETTLE_S", "0")
    monkeypatch.delitem(sys.modules, "rotation_listener.handler", raising=False)
    logging.getLogger("rotation_listener").handlers.clear()
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        module = importlib.import_module("rotation_listener.handler")
        yield Deployed(cast("Handler", module.handler), boto3.client("secretsmanager"), dynamodb)


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The log, each line of which is one JSON object."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_event_becomes_a_marker(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer and the one log line say what was done to which key."""
    arn = deployed.secrets.create_secret(Name="prod/db", SecretString="hunter2")["ARN"]
    event = {
        "id": "event-1",
        "detail-type": "Secret Label Updated",
        "resources": [arn],
        "detail": {"name": "prod/db", "labelUpdated": "AWSCURRENT"},
    }
    summary = deployed.handler(event, Context(60_000))
    assert ("written", arn[:-7]) == (summary["outcome"], summary["key"])
    assert [arn[:-7], "head"] == deployed.markers()
    (line,) = logged(capsys)
    assert ("INFO", "event-1", "written") == (line["level"], line["event_id"], line["outcome"])
    assert ("written", "prod/db") == (line["keyturn_event"], line["keyturn_secret"])
    assert "hunter2" not in json.dumps(line)


def test_a_log_line_says_where_it_is_from(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its request, account, Region and stack, of a failure too: one query reads the logs of all accounts."""
    monkeypatch.setenv("KEYTURN_STACK", "keyturn-orders")
    deployed.handler({"keyturn": "sweep"}, Context(60_000))
    deployed.dynamodb.delete_table(TableName=TABLE)
    with pytest.raises(KeyturnError):
        deployed.handler({"keyturn": "sweep"}, Context(60_000))
    for line in logged(capsys):
        where = [line[name] for name in ("request_id", "account", "region", "stack")]
        assert ["request-1", "123456789012", "eu-west-1", "keyturn-orders"] == where


ELSEWHERE = (
    "arn:aws:secretsmanager:eu-west-1:999999999999:secret:theirs-AbCdEf",
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:ours-AbCdEf",
)


@pytest.mark.parametrize("arn", ELSEWHERE)
def test_what_is_of_another_account_or_region_is_ignored(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], arn: str
) -> None:
    """CloudTrail tells the caller's account of a call too, which this listener may not look after."""
    event = {
        "detail-type": "AWS API Call via CloudTrail",
        "account": "123456789012",
        "region": "eu-west-1",
        "detail": {"eventName": "PutSecretValue", "responseElements": {"arn": arn}},
    }
    summary = deployed.handler(event, Context(60_000))
    assert ("ignored", arn) == (summary["outcome"], summary["hinted"])
    assert "another account or Region" in str(summary["reason"])
    assert [] == deployed.markers()
    assert ["ignored"] == [line["outcome"] for line in logged(capsys)]


def test_parameters_of_aws_are_of_no_account(deployed: Deployed) -> None:
    """The ARN of a parameter that AWS publishes names none."""
    event = sample("ssm_update.json") | {
        "resources": ["arn:aws:ssm:eu-west-1::parameter/aws/service/x"],
        "detail": {"operation": "Update", "name": "/aws/service/x"},
    }
    assert "written" == deployed.handler(event, Context(60_000))["outcome"]


@pytest.mark.parametrize("file", FILES_ABOUT_SECRETS)
def test_no_log_line_has_personal_data(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    """Nothing of userIdentity, the address or the user agent is logged, whatever the event was."""
    deployed.handler(sample(file), Context(60_000))
    text = json.dumps(logged(capsys))
    assert "outcome" in text
    assert not [word for word in ("userIdentity", "assumed-role", "198.51.100", "aws-sdk") if word in text]


def test_no_field_of_an_event_makes_a_line_too_long(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line of more than 256 KB may be split, and its rest would be a line of the event's own making."""
    long = "\U0001f511" * 250_000
    detail = {"name": long, "labelUpdated": "AWSCURRENT", "versionId": long}
    events: list[dict[str, object]] = [
        {"id": long, "detail-type": long, "time": long},
        {"id": long, "detail-type": "Secret Label Updated", "resources": [long[:2048]], "detail": detail},
        {"id": long, "time": long, "keyturn": "announce", "secret_id": long[:2048], "step": long},
        {"id": long, "time": long, "keyturn": "announce", "secret_id": long[:2048]},
        {"id": long, "time": long, "keyturn": "announce", "secret_id": long},
    ]
    for event in events:
        deployed.handler(event, Context(60_000))
    lines = capsys.readouterr().out.splitlines()
    assert len(events) == len(lines)
    assert max(map(len, lines)) < 256_000


def test_a_sweep_answers_in_numbers(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The alarm's metric is a field of the log line."""
    deployed.secrets.create_secret(Name="prod/db", SecretString="value")
    summary = deployed.handler({"keyturn": "sweep"}, Context(60_000))
    assert ("swept", 1, 0, True) == tuple(
        summary[name] for name in ("outcome", "first", "found_by_sweep", "renewed")
    )
    assert [0] == [line["found_by_sweep"] for line in logged(capsys)]


def test_a_sweep_without_time_is_delivered_again(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shortly before Lambda's time-out it stops, and says so by an error."""
    deployed.secrets.create_secret(Name="prod/db", SecretString="value")
    with pytest.raises(SweepIncompleteError, match="'in_time': False"):
        deployed.handler({"keyturn": "sweep"}, Context(1000))
    assert ["failed"] == [line["outcome"] for line in logged(capsys)]


def test_trouble_with_the_table_is_logged_and_raised(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lambda tries again after an error, and sets the event aside in the end."""
    deployed.dynamodb.delete_table(TableName=TABLE)
    with pytest.raises(MarkerTableError):
        deployed.handler(
            {"keyturn": "announce", "secret_id": "arn:aws:secretsmanager:r:a:secret:x-AbCdEf"}, None
        )
    (line,) = logged(capsys)
    assert ("ERROR", "MarkerTableError") == (line["level"], line["error"])
    assert ("failed", "MarkerTableError") == (line["keyturn_event"], line["keyturn_error"])


@pytest.mark.parametrize(
    ("prefixes", "outcome"), [("", "written"), ("dev/,prod/", "written"), ("dev/ , test/", "ignored")]
)
@pytest.mark.parametrize("by_arn", [True, False])
def test_prefixes_choose_the_secrets(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, prefixes: str, outcome: str, *, by_arn: bool
) -> None:
    """Secrets outside the prefixes get no marker, named by name or by ARN."""
    monkeypatch.setenv("KEYTURN_NAME_PREFIXES", prefixes)
    arn = deployed.secrets.create_secret(Name="prod/db", SecretString="value")["ARN"]
    event = {"keyturn": "announce", "secret_id": arn if by_arn else "prod/db"}
    assert outcome == deployed.handler(event, None)["outcome"]


@pytest.mark.parametrize(
    ("tag", "marked"),
    [("", True), ("keyturn", True), ("keyturn=yes", True), ("keyturn=no", False), ("Keyturn", False)],
)
def test_a_tag_chooses_the_secrets(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tag: str, *, marked: bool
) -> None:
    """A secret without the tag gets no marker, of an event or of the sweep; no call is made more for it."""
    monkeypatch.setenv("KEYTURN_SECRET_TAG", tag)
    tags: list[TagTypeDef] = [{"Key": "team", "Value": "orders"}, {"Key": "keyturn", "Value": "yes"}]
    arn = deployed.secrets.create_secret(Name="prod/db", SecretString="value", Tags=tags)["ARN"]
    told = deployed.handler({"keyturn": "announce", "secret_id": arn}, None)
    assert (("written", arn[:-7]) if marked else ("unchanged", None)) == (told["outcome"], told["key"])
    assert int(marked) == deployed.handler({"keyturn": "sweep"}, None)["listed"]
    assert marked is (arn[:-7] in deployed.markers())


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"KEYTURN_MARKER_TABLE": " "},
        {"KEYTURN_MARKER_TABLE": "t", "KEYTURN_SETTLE_S": "soon"},
        {"KEYTURN_MARKER_TABLE": "t", "KEYTURN_SETTLE_S": "-1"},
        {"KEYTURN_MARKER_TABLE": "t", "KEYTURN_SETTLE_S": "nan"},
        {"KEYTURN_MARKER_TABLE": "t", "KEYTURN_SETTLE_S": "61"},
        *(
            {"KEYTURN_MARKER_TABLE": "t", "KEYTURN_HEAD_COPIES": text}
            for text in ("0", "33", "2.5", "x", "²")
        ),
        *({"KEYTURN_MARKER_TABLE": "t", "KEYTURN_PACE_S": text} for text in ("-1", "601", "nan", "x")),
        {"KEYTURN_MARKER_TABLE": "t", "KEYTURN_SECRET_TAG": "=yes"},
        {"KEYTURN_MARKER_TABLE": "t", "KEYTURN_SECRET_TAG": "keyturn=!yes"},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_told(environment: dict[str, str]) -> None:
    """A missing table, an impossible settle time or tag names the variable."""
    with pytest.raises(ConfigurationError, match="KEYTURN_"):
        Settings.of(environment)


def test_an_empty_setting_is_its_default() -> None:
    """A template passes empty parameters as empty texts."""
    empty = dict.fromkeys(("KEYTURN_NAME_PREFIXES", "KEYTURN_SECRET_TAG", "KEYTURN_SETTLE_S"), "")
    assert Settings("t") == Settings.of({"KEYTURN_MARKER_TABLE": "t", **empty})


def test_a_listener_without_a_table_says_so(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong deployment fails at the first event with one readable line."""
    monkeypatch.delenv("KEYTURN_MARKER_TABLE")
    with pytest.raises(KeyturnError):
        deployed.handler({}, None)
    assert ["ConfigurationError"] == [line["error"] for line in logged(capsys)]
