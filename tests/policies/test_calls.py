"""Each role may make the calls that its code makes and no other: they are recorded on moto and compared."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

import boto3
import botocore.handlers
import pytest
from click.testing import CliRunner
from moto import mock_aws

from keyturn import Limits, SecretCache, SecretVersion, announce
from keyturn.cli.account import Account
from keyturn.cli.root import root
from keyturn.cli.watch.command import follower
from keyturn.convergence.table import ConvergenceTable
from keyturn.model.markers import Report
from keyturn.policies import roles, stack
from keyturn.policies.resources import Place
from keyturn.policies.statements import Statement
from keyturn.rotation import RotationFunction, Strategy
from keyturn.rotation.apikeys import ApiKeys, IssuedKey
from keyturn.rotation.issuing import Issuer
from keyturn.testing import Rotation
from keyturn.testing.moto import mend_moto
from rotation_listener.counter import counter_of

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import EnvironmentTypeDef

PLACE = Place("eu-west-1", "123456789012")
TABLE, FLEET = "markers", "fleet"
DONE_BY_SERVICES: Final = ("kms:", "logs:", "sqs:")
"""Lambda writes the log and sends failures with the function's role; Secrets Manager, Parameter Store and
DynamoDB use the keys of whoever calls them."""


@dataclass
class Record:
    """The IAM actions of all calls of botocore while it is on, each with how often it was needed."""

    actions: dict[str, int] = field(default_factory=dict)
    is_on: bool = False

    def note(self, *, params: Mapping[str, object], model: object, **_call: object) -> None:
        service = str(model.service_model.service_name)  # type: ignore[attr-defined] # botocore's model
        for action in self._needed(str(getattr(model, "name", "?")), params) if self.is_on else ():
            named = f"{service}:{action}"
            self.actions[named] = self.actions.get(named, 0) + 1

    @staticmethod
    def _needed(operation: str, params: Mapping[str, object]) -> Iterator[str]:
        """The actions that IAM asks for: of a transaction those of its parts (DynamoDB's developer guide)."""
        if operation != "TransactWriteItems":
            yield operation
            return
        parts = {"ConditionCheck": "ConditionCheckItem"}
        for item in cast("Sequence[Mapping[str, object]]", params["TransactItems"]):
            for part in item:
                yield parts.get(part, f"{part}Item")

    @contextmanager
    def on(self) -> Iterator[None]:
        """Record the calls of this block too."""
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    """Every client that is made from now on, whoever makes it, tells this record what it is asked for."""
    record = Record()
    told = ("provide-client-params.*.*", record.note)
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", [*botocore.handlers.BUILTIN_HANDLERS, told])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in {"KEYTURN_MARKER_TABLE": TABLE, "KEYTURN_SETTLE_S": "0"}.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        for table in (TABLE, FLEET):
            boto3.client("dynamodb").create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
        for name in ("prod/db", "prod/api"):
            boto3.client("secretsmanager").create_secret(Name=name, SecretString="one")
        for name in ("/prod/host", "/prod/port"):
            boto3.client("ssm").put_parameter(Name=name, Value="one", Type="String")
        yield record


def allowed(statements: Sequence[Statement]) -> set[str]:
    """The actions that a role's own code needs, of all that it may do."""
    actions = {action for statement in statements for action in statement.actions}
    return {action for action in actions if not action.startswith(DONE_BY_SERVICES)}


def refused(error: Exception) -> bool:
    """Whether the server below refused."""
    return isinstance(error, PermissionError)


def connect(version: SecretVersion) -> str:
    """A server that takes the pending version alone, as between setSecret and finishSecret."""
    if version.text() == "one":
        raise PermissionError
    return version.text()


@pytest.mark.parametrize("reports", [False, True])
def test_a_reader(record: Record, *, reports: bool) -> None:
    """Reads, parameters, checks of one marker and of several, a login in a rotation's window, and reports."""
    cache = SecretCache(
        marker_table=TABLE,
        convergence_table=FLEET if reports else False,
        check_interval_s=1e-6,
        limits=Limits(settle_s=0.0),
    )
    with record.on():
        cache.get("prod/db")
    announce("prod/db", marker_table=TABLE)
    with record.on():
        cache.get("prod/db")
        cache.get("prod/api")
        cache.get_parameter("/prod/host")
        cache.get_parameters(["/prod/host", "/prod/port"])
        cache.get_parameters_by_path("/prod")
    boto3.client("secretsmanager").put_secret_value(
        SecretId="prod/db", SecretString="two", VersionStages=["AWSPENDING"]
    )
    announce("prod/db", marker_table=TABLE)
    # As a writer moves the head that knows no slots: then all markers are read, in batches.
    boto3.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": "head"}},
        UpdateExpression="ADD #counter :one",
        ExpressionAttributeNames={"#counter": "counter"},
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    with record.on():
        assert "two" == cache.login("prod/db", connect, is_refused=refused)
        cache.get("prod/api")
        cache.close()
    role = roles.reader(
        PLACE,
        secrets=["prod/*"],
        parameters=["/prod/*"],
        paths=["/prod"],
        marker_table=TABLE,
        convergence_table=FLEET if reports else None,
    )
    assert allowed(role) == record.actions.keys()
    of_stack = roles.marker_reader(PLACE, marker_table=TABLE, convergence_table=FLEET if reports else None)
    assert allowed(of_stack) == {action for action in record.actions if action.startswith("dynamodb:")}


def test_a_reader_that_finds_its_table_by_a_parameter(record: Record) -> None:
    """One GetParameter more, which the printed policy and the stack's have for that parameter alone."""
    boto3.client("ssm").put_parameter(Name="/keyturn/marker-table", Value=TABLE, Type="String")
    cache = SecretCache(marker_table="ssm:/keyturn/marker-table", check_interval_s=1e-6)
    with record.on():
        for _ in range(2):
            cache.get("prod/db")
    names = {"marker_table": TABLE, "table_parameters": ["/keyturn/marker-table"]}
    found = {"ssm:GetParameter"}
    assert found <= record.actions.keys()
    for role in (roles.reader(PLACE, secrets=["prod/db"], **names), roles.marker_reader(PLACE, **names)):  # type: ignore[arg-type] # by their names
        assert found == {action for action in allowed(role) if action.startswith("ssm:")}


def test_an_announcer(record: Record) -> None:
    """The first announcement of a secret, and one of a secret that has a marker."""
    with record.on():
        for step in ("createSecret", "finishSecret"):
            announce("prod/db", step=step, marker_table=TABLE)
    assert allowed(roles.announcer(PLACE, secrets=["prod/db"], marker_table=TABLE)) == record.actions.keys()


@pytest.mark.parametrize("parameters", ["", "/prod/"])
def test_the_listener(record: Record, monkeypatch: pytest.MonkeyPatch, parameters: str) -> None:
    """Events of secrets and of parameters, a sweep that finds news, and one that finds a lost event."""
    monkeypatch.setenv("KEYTURN_PARAMETER_PREFIXES", parameters)
    monkeypatch.setenv("KEYTURN_NAME_PREFIXES", "prod/")
    monkeypatch.delitem(sys.modules, "rotation_listener.handler", raising=False)
    handler: Callable[[object, object], Mapping[str, object]] = importlib.import_module(
        "rotation_listener.handler"
    ).handler
    client = boto3.client("secretsmanager")
    arn = client.describe_secret(SecretId="prod/db")["ARN"]
    moved = {
        "id": "1",
        "detail-type": "Secret Label Updated",
        "resources": [arn],
        "detail": {"name": "prod/db", "labelUpdated": "AWSCURRENT"},
    }
    changed = {
        "id": "2",
        "detail-type": "Parameter Store Change",
        "source": "aws.ssm",
        "region": "eu-west-1",
        "account": "123456789012",
        "resources": ["arn:aws:ssm:eu-west-1:123456789012:parameter/prod/host"],
        "detail": {"name": "/prod/host", "operation": "Update", "type": "String"},
    }
    outside = client.create_secret(Name="dev/db", SecretString="one")["ARN"]
    announce(outside, marker_table=TABLE)
    with record.on():
        outcomes = [handler(event, None)["outcome"] for event in (moved, changed, {"keyturn": "sweep"})]
        assert ["written", "written", "swept"] == outcomes
    client.put_secret_value(SecretId="prod/db", SecretString="two")
    client.delete_secret(SecretId="prod/api", ForceDeleteWithoutRecovery=True)
    with record.on():
        assert "swept" == handler({"keyturn": "sweep"}, None)["outcome"]
    role = roles.listener(PLACE, marker_table=TABLE, prefixes=["prod/"], parameters=bool(parameters))
    assert allowed(role) == record.actions.keys()
    of_stack = [
        one.statement for one in stack.policies()["listener"] if parameters or one.when != "SweepsParameters"
    ]
    assert allowed(of_stack) == record.actions.keys()


@pytest.mark.parametrize("parameters", ["", "/prod/"])
def test_the_counter(record: Record, parameters: str) -> None:
    """Counts with an environment that is behind, whose secret is described."""
    arn = boto3.client("secretsmanager").describe_secret(SecretId="prod/db")["ARN"]
    table = ConvergenceTable(boto3.client("dynamodb"), FLEET)
    now_s = table.read().answered_at_s
    assert now_s is not None
    table.write(Report("e1", {arn[:-7]: "before"}, now_s, now_s + 900))
    variables = {
        "KEYTURN_CONVERGENCE_TABLE": FLEET,
        "KEYTURN_NAME_PREFIXES": "prod/",
        "KEYTURN_PARAMETER_PREFIXES": parameters,
    }
    with record.on():
        assert 1 == counter_of(variables).count().behind
    role = roles.counter(PLACE, convergence_table=FLEET, parameters=bool(parameters))
    assert allowed(role) == record.actions.keys()
    of_stack = [
        one.statement for one in stack.policies()["counter"] if parameters or one.when != "SweepsParameters"
    ]
    assert allowed(of_stack) == record.actions.keys()


@dataclass(frozen=True)
class Nowhere:
    """A strategy for a secret that no server knows, and whose master is another secret."""

    def renew(self, current: SecretVersion, password: str) -> str:
        return current.text() + password

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None: ...

    def test(self, pending: SecretVersion) -> None: ...


class Issuing:
    """An API that issues keys, in memory."""

    def issue(self, token: str) -> IssuedKey:
        return IssuedKey(token, f"value of {token}")

    def test(self, value: str) -> str | None:
        return value.removeprefix("value of ")

    def revoke(self, key_id: str) -> None: ...


STRATEGIES: Final[Mapping[str, Strategy | Issuer]] = {"a password": Nowhere(), "a key": ApiKeys(Issuing())}


@pytest.mark.parametrize("what", STRATEGIES)
def test_a_rotation_function(record: Record, what: str) -> None:
    """All four steps of two rotations, each announced, with clients of its own."""
    admin = boto3.client("secretsmanager")
    mend_moto(admin)
    admin.create_secret(Name="prod/rotated", SecretString='{"id": "one", "value": "value of one"}')
    admin.rotate_secret(
        SecretId="prod/rotated", RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
    )
    client = boto3.client("secretsmanager")
    told = functools.partial(announce, marker_table=TABLE)
    function = RotationFunction(STRATEGIES[what], client, announce=told)

    def step(event: Mapping[str, str], context: object) -> None:
        with record.on():
            function(event, context)

    for _ in range(2):
        Rotation(admin, "prod/rotated", step).run()
    issues = what == "a key"
    role = roles.rotation(PLACE, secrets=["prod/db"], marker_table=TABLE, lists_versions=issues)
    # A server issues the key, and no password is made.
    needed = allowed(role) - ({"secretsmanager:GetRandomPassword"} if issues else set())
    assert needed == record.actions.keys()
    left_out = {
        "AttachToNetwork",
        "RefuseNetworkToCode",
        "CountReports",
        *([] if issues else ["ListVersions"]),
    }
    of_stack = [
        one.statement for one in stack.rotation_policies()["rotation"] if one.statement.sid not in left_out
    ]
    assert allowed(of_stack) == allowed(role)


def test_a_rotation_function_that_counts_who_holds_a_version(record: Record) -> None:
    """One read of the convergence table, as `keyturn status` does it."""
    counting = ConvergenceTable(boto3.client("dynamodb"), FLEET)
    with record.on():
        counting.read()
    alone = roles.rotation(PLACE, secrets=["prod/db"], marker_table=TABLE)
    role = roles.rotation(PLACE, secrets=["prod/db"], marker_table=TABLE, convergence_table=FLEET)
    assert allowed(role) - allowed(alone) == record.actions.keys()


def test_an_operator(record: Record) -> None:
    """`keyturn status`, `watch` and `doctor`, without and with a listener, its rules and a trail."""
    with record.on():
        CliRunner().invoke(root, ["doctor"])
    deploy()
    announce("prod/db", marker_table=TABLE)
    lines = ("status", "status prod/db", "doctor", f"status --convergence-table {FLEET}")
    for name, table in (("marker-table", TABLE), ("convergence-table", FLEET)):
        boto3.client("ssm").put_parameter(Name=f"/keyturn/{name}", Value=table, Type="String")
    with record.on():
        for line in (*lines, f"doctor --convergence-table {FLEET}", "status --regions eu-west-1"):
            result = CliRunner().invoke(root, [*line.split(), "--json"])
            assert json.loads(result.stdout), result.output
        for secrets in ([], ["prod/db", "prod/api"]):
            assert 1 == len(list(islice(follower(Account(TABLE), secrets, 5.0).glances(), 1)))
    role = roles.operator(PLACE, marker_table=TABLE, convergence_table=FLEET)
    assert allowed(role) == record.actions.keys() - TRIED_FOR_READERS - OF_EVERYBODY


TRIED_FOR_READERS: Final = {"dynamodb:PutItem"}
"""What `keyturn doctor` tries in order to tell whether a reader may report. It writes nothing."""

OF_EVERYBODY: Final = {"sts:GetCallerIdentity"}
"""What needs no permission (STS's API reference)."""


def deploy() -> None:
    """Make a listener of the table, a rule and a schedule that may invoke it, and a trail."""
    trust = {"Version": "2012-10-17", "Statement": []}
    role = boto3.client("iam").create_role(RoleName="x", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    functions, events = boto3.client("lambda"), boto3.client("events")
    environment: EnvironmentTypeDef = {"Variables": {"KEYTURN_MARKER_TABLE": TABLE}}
    arn = functions.create_function(
        FunctionName="listener",
        Runtime="python3.13",
        Role=role["Arn"],
        Handler="x.x",
        Code={"ZipFile": b"x"},
        Environment=environment,
    )["FunctionArn"]
    pattern = json.dumps({"source": ["aws.secretsmanager"], "detail-type": ["Secret Label Updated"]})
    for name, chosen in (
        ("moved", {"EventPattern": pattern}),
        ("sweep", {"ScheduleExpression": "rate(5 minutes)"}),
    ):
        rule = events.put_rule(Name=name, **chosen)["RuleArn"]  # type: ignore[arg-type] # one of two
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn, "Input": '{"keyturn": "sweep"}'}])
        functions.add_permission(
            FunctionName="listener",
            StatementId=name,
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=rule,
        )
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="trails")
    trails = boto3.client("cloudtrail")
    trails.create_trail(Name="all", S3BucketName="trails")
    trails.start_logging(Name="all")
