"""The `keyturn` command against a deployed listener, and what doctor finds when that breaks."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

import boto3
import pytest
from click.testing import CliRunner, Result

from keyturn.cli.doctor.command import Clients, diagnose
from keyturn.cli.doctor.finding import Level, Subject
from keyturn.cli.root import root
from keyturn.demo.stage import Stack
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import Statement, document
from keyturn.testing.embedded import LOCALHOST, REGION, EmbeddedAws, free_port
from tests.faults.proxy import FaultProxy

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
CANARY = "canary-value-never-shown"
HEAD = {"pk": {"S": "head"}}


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
    assert "which does not exist" in found()["rule"][1]
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


def test_a_function_that_eventbridge_may_not_invoke_is_named(table: str, stack: Stack) -> None:
    """One rule's permission is taken away: the finding names the rule, and its fix puts it right."""
    functions, events = boto3.client("lambda"), boto3.client("events")
    (sweep,) = (one for one in events.list_rules()["Rules"] if one.get("ScheduleExpression"))
    policy = json.loads(functions.get_policy(FunctionName=stack.listener)["Policy"])
    (sid,) = (one["Sid"] for one in policy["Statement"] if sweep["Arn"] in json.dumps(one))
    functions.remove_permission(FunctionName=stack.listener, StatementId=sid)
    level, what = found()["permission"]
    assert ("wrong", True) == (level, f"by rule {sweep['Name']}" in what)
    functions.add_permission(
        FunctionName=stack.listener,
        StatementId="again",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=sweep["Arn"],
    )
    assert "ok" == found()["permission"][0]


def test_a_listener_of_another_table_is_named(table: str, stack: Stack) -> None:
    """Events and sweeps arrive, but for a table that nobody here reads."""
    boto3.client("lambda").update_function_configuration(
        FunctionName=stack.listener, Environment={"Variables": {"KEYTURN_MARKER_TABLE": "another"}}
    )
    findings = found()
    assert "writes table another" in findings["rule"][1]
    assert "writes table another" in findings["schedule"][1]
    assert "unknown" == findings["permission"][0]


@pytest.mark.parametrize(
    ("swept_age_s", "says"),
    [(2000.0, "the sweep stopped"), (-10.0, "swept in the future"), (None, "never swept")],
)
def test_a_head_that_counts_for_nothing_is_named(table: str, swept_age_s: float | None, says: str) -> None:
    """As a sweep leaves it that has died, or a writer whose clock is wrong."""
    client = boto3.client("dynamodb")
    head = client.get_item(TableName=table, Key=HEAD)["Item"]
    del head["swept_as_of_s"]
    if swept_age_s is not None:
        head["swept_as_of_s"] = {"N": str(time.time() - swept_age_s)}
    client.put_item(TableName=table, Item=head)
    level, what = found()["head"]
    assert ("wrong", True) == (level, says in what), what
    assert run("sweep").exit_code == 0
    assert "ok" == found()["head"][0]


def test_a_table_without_a_head_is_named(table: str) -> None:
    """Emptied, or never swept: the next sweep fills it."""
    boto3.client("dynamodb").delete_item(TableName=table, Key=HEAD)
    assert "no head" in found()["head"][1]


@pytest.mark.parametrize(("key", "kind"), [("id", "S"), ("pk", "N")])
def test_a_table_of_another_shape_is_named(aws: EmbeddedAws, key: str, kind: Literal["S", "N"]) -> None:
    """Somebody else's table: by the name of its key, or by its type."""
    boto3.client("dynamodb").create_table(
        TableName="other",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    assert f"its key is {key} ({kind}, HASH)" in found("--marker-table", "other")["table"][1]


def test_what_a_reader_names_wrongly_is_named(table: str) -> None:
    """A secret and a convergence table that are not there, and a table of another Region."""
    arn = f"arn:aws:dynamodb:eu-west-1:000000000000:table/{table}"
    findings = found("--secret", "prod/other", "--marker-table", arn)
    assert "there is no such secret" in findings["secret prod/other"][1]
    assert ("wrong", f"{arn} is in eu-west-1, and these clients are in {REGION}") == findings["region"]
    findings = found("--convergence-table", "nowhere")
    assert ("wrong", f"there is no table nowhere in {REGION}") == findings["convergence"]
    assert ("unknown", "unknown") == (findings["report"][0], findings["count"][0])


def test_an_endpoint_that_does_not_answer_is_named(table: str) -> None:
    """By its address, in every check that needs it; a closed port stands for a missing VPC endpoint."""
    nobody = f"http://{LOCALHOST}:{free_port()}"
    findings = found(AWS_ENDPOINT_URL=nobody)
    assert f"{nobody} does not answer" in findings["head"][1]
    assert f"{nobody} does not answer" in findings["secrets"][1]


@pytest.mark.parametrize(("off_s", "way"), [(120.0, "ahead of"), (-120.0, "behind")])
def test_a_clock_that_is_off_is_named(table: str, off_s: float, way: str) -> None:
    """Against the Date of the table's own answer."""
    subject = Subject(Clients(None), table, REGION, lambda: time.time() + off_s)
    (clock,) = (one for one in diagnose(subject) if one.check == "clock")
    assert (Level.WRONG, True) == (clock.level, f"s {way} AWS's" in clock.what), clock


@pytest.mark.parametrize(
    ("code", "status", "level", "says"),
    [
        ("RequestTimeTooSkewed", 403, "wrong", "this host's clock is wrong"),
        ("ExpiredTokenException", 403, "wrong", "no valid credentials"),
        ("ThrottlingException", 400, "unknown", "was throttled"),
        ("InternalServerError", 500, "unknown", "failed"),
    ],
)
def test_what_aws_refuses_is_named(table: str, *, code: str, status: int, level: str, says: str) -> None:
    """As DynamoDB answers it; a proxy gives the answers that the emulator itself never gives."""
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        # Its first call loads models, which takes seconds.
        boto3.client("dynamodb", endpoint_url=proxy.url).list_tables()
        proxy.break_by({"service": "dynamodb", "error": {"code": code, "status": status}})
        finding = found(AWS_ENDPOINT_URL_DYNAMODB=proxy.url)["head"]
    assert (level, True) == (finding[0], says in finding[1]), finding


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
def guarded(guarded_aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that enforces IAM, with a marker table and a secret."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", "markers")
    boto3.client("dynamodb").create_table(
        TableName="markers",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    boto3.client("secretsmanager").create_secret(Name="prod/db", SecretString=CANARY)


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
    findings = found("--secret", "prod/db", "--convergence-table", "markers", **nobody)
    for check, action in (
        ("head", "dynamodb:GetItem"),
        ("markers", "dynamodb:BatchGetItem"),
        ("secret prod/db", "secretsmanager:GetSecretValue"),
        ("report", "dynamodb:PutItem"),
    ):
        assert findings[check] == ("wrong", f"this role may not call {action}")
    for check, action in (
        ("table", "dynamodb:DescribeTable"),
        ("secrets", "secretsmanager:ListSecrets"),
        ("count", "dynamodb:Scan"),
        ("trail", "cloudtrail:DescribeTrails"),
    ):
        assert findings[check] == ("unknown", f"this role may not call {action}")
    place = Place(REGION, "000000000000")
    reader = holder(roles.reader(place, secrets=["prod/db"], marker_table="markers"), "reader")
    findings = found("--secret", "prod/db", **reader)
    assert ("ok", "ok") == (findings["markers"][0], findings["secret prod/db"][0])
    assert findings["rule"] == ("unknown", "this role may not call events:ListRules")
