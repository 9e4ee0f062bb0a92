"""The `keyturn` command against a deployed listener, and what doctor finds when that breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import boto3
import pytest
from click.testing import CliRunner, Result

from keyturn.cli.root import root
from keyturn.demo.stage import Stack
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import Statement, document
from keyturn.testing.embedded import REGION, EmbeddedAws

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.e2e

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
CANARY = "canary-value-never-shown"


def run(*arguments: str, **environment: str) -> Result:
    """What `keyturn ...` does; no output ever holds a value."""
    result = CliRunner().invoke(root, arguments, env=environment)
    assert CANARY not in result.output
    return result


def found(*arguments: str, **environment: str) -> dict[str, tuple[str, str]]:
    """What doctor finds: check -> level and finding."""
    answer = json.loads(run("doctor", "--json", *arguments, **environment).stdout)
    findings = cast("list[dict[str, str]]", answer["findings"])
    return {one["check"]: (one["level"], one["what"]) for one in findings}


@pytest.fixture
def table(stack: Stack, client: SecretsManagerClient, monkeypatch: pytest.MonkeyPatch) -> str:
    """The deployed and swept table, with a marker of `prod/db`."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", stack.marker_table)
    client.create_secret(Name="prod/db", SecretString=CANARY)
    assert run("sweep").exit_code == 0
    return stack.marker_table


def test_a_deployed_listener_is_well(table: str) -> None:
    """Doctor and status end with 0 on what the template deploys; a trail is not part of it."""
    findings = found("--secret", "prod/db")
    assert findings.pop("trail")[0] == "note"
    assert {"ok"} == {level for level, _ in findings.values()}, findings
    assert (0, 0) == (run("doctor").exit_code, run("status").exit_code)


def test_each_break_of_the_event_path_is_named(table: str, stack: Stack) -> None:
    """Disabled, without targets, without a function, without rules: one after the other."""
    events = boto3.client("events")
    names = [one["Name"] for one in events.list_rules()["Rules"]]
    for name in names:
        events.disable_rule(Name=name)
    findings = found()
    assert "is disabled" in findings["rule"][1]
    assert "is disabled" in findings["schedule"][1]
    for name in names:
        events.enable_rule(Name=name)
    boto3.client("lambda").delete_function(FunctionName=stack.listener)
    assert "which is not there" in found()["rule"][1]
    for name in names:
        targets = events.list_targets_by_rule(Rule=name)["Targets"]
        events.remove_targets(Rule=name, Ids=[one["Id"] for one in targets])
    assert "has no function as its target" in found()["rule"][1]
    for name in names:
        events.delete_rule(Name=name)
    findings = found()
    assert "there is no rule" in findings["rule"][1]
    assert "there is no schedule" in findings["schedule"][1]
    assert "there is no table" in found("--marker-table", table + "-x")["table"][1]


def test_a_trail_that_logs_is_found(table: str) -> None:
    """And one that was stopped is not."""
    boto3.client("s3").create_bucket(Bucket="trails")
    trails = boto3.client("cloudtrail")
    trails.create_trail(Name="all", S3BucketName="trails")
    assert found()["trail"][0] == "note"
    trails.start_logging(Name="all")
    assert found()["trail"][0] == "ok"


def test_a_sweep_of_parameters_makes_their_markers(table: str) -> None:
    """`--parameter-prefix` is the listener's own."""
    boto3.client("ssm").put_parameter(Name="/prod/host", Value=CANARY, Type="String")
    assert "2 listed, 1 new" in run("sweep", "--parameter-prefix", "/prod/").stdout
    assert "not compared: a parameter" in run("status").stdout


def test_status_sees_a_rotation_arrive(table: str, client: SecretsManagerClient) -> None:
    """After an announcement the new version stands on both sides."""
    version_id = client.put_secret_value(SecretId="prod/db", SecretString=CANARY)["VersionId"]
    announced = run("announce", "prod/db", "--version-id", version_id, "--step", "finishSecret")
    assert announced.exit_code == 0
    assert run("status", "prod/db").stdout.count(version_id) == 2


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account that enforces IAM, with a marker table and a secret."""
    with EmbeddedAws({"AUTH": "true"}) as aws:
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KEYTURN_MARKER_TABLE", "markers")
        boto3.client("dynamodb").create_table(
            TableName="markers",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        boto3.client("secretsmanager").create_secret(Name="prod/db", SecretString=CANARY)
        yield


def holder(statements: Sequence[Statement], role: str) -> dict[str, str]:
    """The environment of somebody with a new role that allows this and nothing else."""
    iam = boto3.client("iam")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    policy = json.dumps(document(statements))
    iam.put_role_policy(RoleName=role, PolicyName="keyturn", PolicyDocument=policy)
    lent = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="somebody")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": lent["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": lent["SecretAccessKey"],
        "AWS_SESSION_TOKEN": lent["SessionToken"],
    }


@pytest.mark.usefixtures("guarded")
def test_denials_are_named_by_their_action() -> None:
    """What a reader needs is wrong when denied; what only the doctor wants is unknown."""
    nobody = holder([Statement("Nothing", ("sts:GetCallerIdentity",), ("*",))], "nobody")
    findings = found("--secret", "prod/db", **nobody)
    for check, action in (
        ("head", "dynamodb:GetItem"),
        ("markers", "dynamodb:BatchGetItem"),
        ("secret prod/db", "secretsmanager:GetSecretValue"),
    ):
        assert findings[check] == ("wrong", f"this role may not call {action}")
    place = Place(REGION, "000000000000")
    reader = holder(roles.reader(place, secrets=["prod/db"], marker_table="markers"), "reader")
    findings = found("--secret", "prod/db", **reader)
    assert ("ok", "ok") == (findings["markers"][0], findings["secret prod/db"][0])
    assert findings["rule"] == ("unknown", "this role may not call events:ListRules")
