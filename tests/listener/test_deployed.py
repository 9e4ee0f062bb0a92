"""The stack as it is deployed, with IAM enforced: from a move of a label to a marker."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from click.testing import CliRunner

from keyturn import SecretCache
from keyturn.cli.root import root
from keyturn.convergence.table import ConvergenceTable
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Marker, Report
from keyturn.testing.embedded import REGION, EmbeddedAws
from rotation_listener.events import Ignored, parse
from tests.listener.test_events import INDEX, sample
from tests.templates import for_emulator
from tools.build_listener import ROOT, build

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef, WaiterConfigTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import TagTypeDef
    from mypy_boto3_ssm import SSMClient

pytestmark = pytest.mark.e2e

STACK, BUCKET, KEY = "keyturn", "code", "listener.zip"
TEMPLATE = for_emulator((ROOT / "infra" / "template.yaml").read_text("utf-8")).encode()
TEMPLATE_URL = f"https://s3.{REGION}.amazonaws.com/{BUCKET}/template.yaml"
"""The template is larger than what a request may hold, so it lies beside the code."""

OFTEN: WaiterConfigTypeDef = {"Delay": 1, "MaxAttempts": 30}
PATIENCE_S = 10.0


@dataclass
class Stack:
    """The deployed stack's outputs, and clients of its account."""

    session: boto3.Session
    outputs: dict[str, str]
    table: MarkerTable

    @property
    def secrets(self) -> SecretsManagerClient:
        return self.session.client("secretsmanager")

    @property
    def parameters(self) -> SSMClient:
        return self.session.client("ssm")

    def invoke(self, event: object, function: str = "ListenerArn") -> dict[str, object]:
        """What the listener, run as a Lambda function, answers; or the function of another output."""
        answer: Mapping[str, object] = self.session.client("lambda").invoke(
            FunctionName=self.outputs[function], Payload=json.dumps(event).encode()
        )
        body = answer["Payload"]
        assert isinstance(body, StreamingBody)
        payload: dict[str, object] = json.loads(body.read())
        assert "FunctionError" not in answer, payload
        return payload

    def marker_with(self, key: str, version_id: str) -> Marker:
        """The marker once AWSCURRENT is on this version in it."""
        late_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < late_s:
            marker = self.table.look(key).marker
            if marker is not None and marker.stages.get("AWSCURRENT") == version_id:
                return marker
            time.sleep(0.05)
        raise AssertionError(f"no marker of {version_id} within {PATIENCE_S} s")

    def wait_for_log(self, text: str, group: str = "ListenerLogName") -> None:
        """Return once the listener has logged this, or the function of another log group."""
        logs, late_s = self.session.client("logs"), time.monotonic() + PATIENCE_S
        while time.monotonic() < late_s:
            events = logs.filter_log_events(logGroupName=self.outputs[group])["events"]
            if any(text in event["message"] for event in events):
                return
            time.sleep(0.05)
        raise AssertionError(f"nothing of {text} in the log within {PATIENCE_S} s")


@pytest.fixture(scope="module")
def stack(guarded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The template, deployed through CloudFormation into an account that enforces IAM."""
    session = boto3.Session(region_name=guarded_aws.environment["AWS_REGION"])
    package = build(Path(tmp_path_factory.mktemp("package")) / KEY)
    storage = session.client("s3")
    storage.create_bucket(Bucket=BUCKET)
    storage.put_object(Bucket=BUCKET, Key=KEY, Body=package)
    chosen = {"ParameterPrefixes": "/prod/,/shared/,flat", "Convergence": "true", "Dashboard": "true"}
    return stack_of(session, deploy(session, **chosen))


def stack_of(session: boto3.Session, outputs: dict[str, str]) -> Stack:
    """A deployed stack."""
    table = MarkerTable(session.client("dynamodb"), outputs["MarkerTableName"])
    return Stack(session, outputs, table)


def deploy(session: boto3.Session, name: str = STACK, **parameters: str) -> dict[str, str]:
    """Create the stack with these parameters; its outputs."""
    session.client("s3").put_object(Bucket=BUCKET, Key="template.yaml", Body=TEMPLATE)
    stacks = session.client("cloudformation")
    stacks.create_stack(
        StackName=name,
        TemplateURL=TEMPLATE_URL,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=chosen(**parameters),
    )
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=OFTEN)
    outputs = stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    return {one["OutputKey"]: one["OutputValue"] for one in outputs}


def chosen(**parameters: str) -> list[ParameterTypeDef]:
    """The template's parameters: where the code is, and these."""
    given = {"CodeBucket": BUCKET, "CodeKey": KEY} | parameters
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]


def test_a_moved_label_becomes_a_marker(stack: Stack) -> None:
    """Secrets Manager's own event goes over EventBridge to the function, which writes the marker."""
    arn = stack.secrets.create_secret(Name="prod/db", SecretString="one")["ARN"]
    version_id = stack.secrets.put_secret_value(SecretId="prod/db", SecretString="two")["VersionId"]
    marker = stack.marker_with(arn[:-7], version_id)
    assert (arn, "Secret Label Updated") == (marker.arn, marker.reason)


def test_the_sweep_marks_what_no_event_announced_and_renews_the_lease(stack: Stack) -> None:
    """A created secret emits no event there: the sweep finds it, and the head says until when."""
    arn = stack.secrets.create_secret(Name="quiet", SecretString="one")["ARN"]
    assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]
    assert stack.table.look(arn[:-7]).marker is not None
    head = stack.table.read_head()
    assert head is not None
    assert head.swept_as_of_s is not None


def test_an_announcement_shows_the_step(stack: Stack) -> None:
    """A rotation function may ask the listener to announce for it."""
    arn = stack.secrets.create_secret(Name="announced", SecretString="one")["ARN"]
    version_id = stack.secrets.put_secret_value(
        SecretId=arn, SecretString="two", VersionStages=["AWSPENDING"]
    )["VersionId"]
    asked = {"keyturn": "announce", "secret_id": arn, "version_id": version_id, "step": "setSecret"}
    assert "written" == stack.invoke(asked)["outcome"]
    marker = stack.table.look(arn[:-7]).marker
    assert marker is not None
    assert ("setSecret", version_id) == (marker.step, marker.stages["AWSPENDING"])


def test_a_changed_parameter_is_read_again_and_then_covered(stack: Stack) -> None:
    """An event makes its marker, without a version; the sweep adds the version, and a copy is covered.

    Parameter Store there emits no event, so the listener is given the one that AWS documents.
    """
    stack.parameters.put_parameter(Name="/prod/host", Value="one", Type="String")
    cache = SecretCache(
        marker_table=stack.outputs["MarkerTableName"],
        ssm_client=stack.parameters,
        dynamodb_client=stack.session.client("dynamodb"),
        check_interval_s=1e-6,
    )
    assert "one" == cache.get_parameter("/prod/host").string
    put = stack.parameters.put_parameter(Name="/prod/host", Value="two", Type="String", Overwrite=True)
    key = stack.parameters.get_parameter(Name="/prod/host")["Parameter"]["ARN"]
    assert "written" == stack.invoke(changed(key, "/prod/host"))["outcome"]
    marker = stack.table.look(key).marker
    assert marker is not None
    assert {} == marker.stages
    assert "two" == cache.get_parameter("/prod/host").string
    assert not cache.status().parameters[0].covered
    age(stack, key)
    assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]
    marker = stack.table.look(key).marker
    assert marker is not None
    assert {"AWSCURRENT": str(put["Version"])} == marker.stages
    assert "two" == cache.get_parameter("/prod/host").string
    assert cache.status().parameters[0].covered


def changed(arn: str, name: str) -> dict[str, object]:
    """The event that Parameter Store sends of an update."""
    event = dict(sample("ssm_update.json"))
    detail = event["detail"]
    assert isinstance(detail, dict)
    return event | {"resources": [arn], "detail": detail | {"name": name}}


def age(stack: Stack, key: str) -> None:
    """Make the marker as old as a sweep has to find it: a list may be five minutes behind."""
    seen = stack.table.look(key)
    assert seen.marker is not None
    stack.table.write([(seen, seen.marker._replace(changed_at_s=seen.marker.changed_at_s - 301))])


def test_parameters_outside_the_prefixes_get_no_version(stack: Stack) -> None:
    """The sweep lists those that begin with a prefix, and makes markers of them."""
    names = ("/prod/listed", "/shared/listed", "/other/unlisted")
    for name in names:
        stack.parameters.put_parameter(Name=name, Value="one", Type="String")
    assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]
    arns = [stack.parameters.get_parameter(Name=name)["Parameter"]["ARN"] for name in names]
    assert [True, True, False] == [stack.table.look(arn).marker is not None for arn in arns]


def test_events_of_other_parameters_do_not_reach_the_listener(stack: Stack) -> None:
    """A parameter that nobody watches moves no head: its events are matched by no rule."""
    events = stack.session.client("events")
    patterns = [one["EventPattern"] for one in events.list_rules()["Rules"] if one.get("EventPattern")]
    event = {
        **sample("ssm_update.json"),
        "detail": {"operation": "Update", "name": "/other/db", "type": "String"},
    }
    for pattern in patterns:
        told = json.dumps(event)
        assert events.test_event_pattern(EventPattern=pattern, Event=told)["Result"] is False


def test_the_rules_match_what_the_listener_understands(stack: Stack) -> None:
    """EventBridge matches each sample that parses as a hint with one rule, and every other with none."""
    events = stack.session.client("events")
    patterns = [one["EventPattern"] for one in events.list_rules()["Rules"] if one.get("EventPattern")]
    assert 3 == len(patterns)
    for row in INDEX:
        event = sample(row["file"])
        matched = [
            pattern
            for pattern in patterns
            if events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"]
        ]
        assert (0 if isinstance(parse(event), Ignored) else 1) == len(matched), row["file"]


def test_the_doctor_finds_nothing_wrong_with_the_stack(stack: Stack) -> None:
    """What `keyturn doctor` asks of a deployment, the template has."""
    assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]
    asked = ["doctor", "--marker-table", stack.outputs["MarkerTableName"], "--json"]
    result = CliRunner().invoke(root, asked)
    findings = {one["check"]: one["level"] for one in json.loads(result.stdout)["findings"]}
    assert {"rule", "schedule", "table", "head"} <= findings.keys()
    assert "wrong" not in findings.values(), result.stdout


def test_an_environment_that_stays_behind_raises_the_count_until_it_follows(stack: Stack) -> None:
    """With exactly the counter's role. The line in its log has what the filters make metrics of."""
    secret = stack.secrets.create_secret(Name="prod/fleet", SecretString="one")
    key, before = secret["ARN"][:-7], secret["VersionId"]
    table = ConvergenceTable(stack.session.client("dynamodb"), stack.outputs["ConvergenceTableName"])

    def report(environment: str, version_id: str) -> None:
        now_s = table.read().answered_at_s
        assert now_s is not None
        table.write(Report(environment, {key: version_id}, now_s, now_s + 900, "orders"))

    def count() -> tuple[object, ...]:
        line = stack.invoke({"keyturn": "count"}, "CounterArn")
        oldest_s = line["oldest_behind_s"]
        assert isinstance(oldest_s, float)
        return line["environments"], line["behind"], oldest_s > 0, line["secrets_behind"]

    for name in ("e1", "e2"):
        report(name, before)
    assert (2, 0, False, []) == count()
    after = stack.secrets.put_secret_value(SecretId="prod/fleet", SecretString="two")["VersionId"]
    report("e1", after)
    time.sleep(1.1)  # The dates of the emulator are whole seconds.
    report("e2", before)
    assert (2, 1, True, ["prod/fleet"]) == count()
    report("e2", after)
    assert (2, 0, False, []) == count()
    stack.wait_for_log('"behind": 1', "CounterLogName")
    parameter = stack.parameters.get_parameter(Name="/keyturn/convergence-table")["Parameter"]
    assert stack.outputs["ConvergenceTableName"] == parameter["Value"]


def test_the_dashboard_is_there_with_the_names_of_the_stack(stack: Stack) -> None:
    """Valid JSON, in which every name of the template was filled in."""
    region = stack.session.region_name
    body = stack.session.client("cloudwatch").get_dashboard(DashboardName=f"{STACK}-{region}")[
        "DashboardBody"
    ]
    function = stack.outputs["ListenerArn"].rpartition(":")[2]
    shown = [one["properties"] for one in json.loads(body)["widgets"]]
    assert ["AWS/Lambda", "Errors", "FunctionName", function] in shown[0]["metrics"]
    assert {region} == {one["region"] for one in shown}
    assert "${" not in body


def everything(session: boto3.Session) -> set[str]:
    """What there is in the account of each kind that a stack makes, the code's bucket aside."""
    logs, roles = session.client("logs"), session.client("iam")
    rules = session.client("events").list_rules()["Rules"]
    alarms = session.client("cloudwatch").describe_alarms()["MetricAlarms"]
    parameters = session.client("ssm").describe_parameters()["Parameters"]
    return {
        *session.client("dynamodb").list_tables()["TableNames"],
        *(one["FunctionArn"] for one in session.client("lambda").list_functions()["Functions"]),
        *(one["Arn"] for one in roles.list_roles()["Roles"]),
        *(one["Arn"] for one in roles.list_policies(Scope="Local")["Policies"]),
        *(one["Arn"] for one in rules),
        *session.client("sqs").list_queues().get("QueueUrls", []),
        *(one["Name"] for one in parameters if one["Name"].startswith("/keyturn/")),
        *(one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]),
        *(one["filterName"] for one in logs.describe_metric_filters()["metricFilters"]),
        *(one["AlarmArn"] for one in alarms),
    }


def test_the_table_is_found_by_a_parameter_and_by_an_export(stack: Stack) -> None:
    """At the documented path, and as `Fn::ImportValue` finds it; so is the readers' policy."""
    parameter = stack.parameters.get_parameter(Name="/keyturn/marker-table")["Parameter"]
    assert stack.outputs["MarkerTableName"] == parameter["Value"]
    exports = stack.session.client("cloudformation").list_exports()["Exports"]
    found = {one["Name"]: one["Value"] for one in exports}
    assert {f"{STACK}-{name}": value for name, value in stack.outputs.items()}.items() <= found.items()


@pytest.mark.proof
def test_a_second_stack_lives_beside_the_first_and_leaves_nothing(stack: Stack) -> None:
    """Made with every option that can be tried there, changed, used and removed, while the first works on.

    The emulator has no trails; it drops the settings of a key and of reserved concurrency.
    """
    session, before = stack.session, everything(stack.session)
    key = session.client("kms").create_key()["KeyMetadata"]["Arn"]
    topic = session.client("sns").create_topic(Name="alarms")["TopicArn"]
    path = "/keyturn/second"
    second = stack_of(
        session, deploy(session, "second", TableKeyArn=key, AlarmTopicArn=topic, TableParameter=path)
    )
    assert everything(session) > before
    assert (
        second.outputs["MarkerTableName"] == stack.parameters.get_parameter(Name=path)["Parameter"]["Value"]
    )
    stacks = session.client("cloudformation")
    stacks.update_stack(
        StackName="second",
        TemplateURL=TEMPLATE_URL,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=chosen(
            CloudTrailEvents="ignored",
            ReservedConcurrency="5",
            DeletionProtection="false",
            SecretTag="team=orders",
            TableParameter=path,
        ),
    )
    stacks.get_waiter("stack_update_complete").wait(StackName="second", WaiterConfig=OFTEN)
    bare = stack.secrets.create_secret(Name="prod/bare", SecretString="one")["ARN"]
    tag: TagTypeDef = {"Key": "team", "Value": "orders"}
    arn = stack.secrets.create_secret(Name="prod/both", SecretString="one", Tags=[tag])["ARN"]
    version_id = stack.secrets.put_secret_value(SecretId=arn, SecretString="two")["VersionId"]
    for one in (stack, second):
        assert arn == one.marker_with(arn[:-7], version_id).arn
    asked = {"keyturn": "announce", "secret_id": bare}
    assert ("written", "unchanged") == (stack.invoke(asked)["outcome"], second.invoke(asked)["outcome"])
    assert second.table.look(bare[:-7]).marker is None
    # The emulator makes a log group anew for an invocation that ends after its deletion.
    second.wait_for_log(arn)
    stacks.delete_stack(StackName="second")
    stacks.get_waiter("stack_delete_complete").wait(StackName="second", WaiterConfig=OFTEN)
    assert before == everything(session)
    assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]


@pytest.mark.proof
def test_an_upgrade_and_its_roll_back_change_the_code_alone(stack: Stack, tmp_path: Path) -> None:
    """A new key brings other code, the old key the old code; table and markers stay, and the sweep works."""
    arn = stack.secrets.create_secret(Name="prod/kept", SecretString="one")["ARN"]
    stack.invoke({"keyturn": "sweep"})
    kept = stack.table.look(arn[:-7]).marker
    assert kept is not None
    newer = tmp_path / "newer.zip"
    build(newer)
    with zipfile.ZipFile(newer, "a") as archive:
        archive.writestr("newer.py", "")
    stack.session.client("s3").put_object(Bucket=BUCKET, Key=newer.name, Body=newer.read_bytes())
    old = code_of(stack)
    upgraded = given_code(stack, newer.name)
    assert base64.b64encode(hashlib.sha256(newer.read_bytes()).digest()).decode() == upgraded != old
    assert old == given_code(stack, KEY)
    assert kept == stack.table.look(arn[:-7]).marker


def code_of(stack: Stack) -> str:
    """The hash of the listener's code, as Lambda gives it."""
    functions = stack.session.client("lambda")
    return functions.get_function_configuration(FunctionName=stack.outputs["ListenerArn"])["CodeSha256"]


def given_code(stack: Stack, key: str) -> str:
    """The hash after an update with this CodeKey and all else as before; outputs and sweep are as before."""
    stacks = stack.session.client("cloudformation")
    before = stacks.describe_stacks(StackName=STACK)["Stacks"][0]
    kept: list[ParameterTypeDef] = [
        {"ParameterKey": one["ParameterKey"], "UsePreviousValue": True}
        for one in before["Parameters"]
        if one["ParameterKey"] != "CodeKey"
    ]
    stacks.update_stack(
        StackName=STACK,
        TemplateURL=TEMPLATE_URL,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[*kept, {"ParameterKey": "CodeKey", "ParameterValue": key}],
    )
    stacks.get_waiter("stack_update_complete").wait(StackName=STACK, WaiterConfig=OFTEN)
    after = stacks.describe_stacks(StackName=STACK)["Stacks"][0]
    assert before["Outputs"] == after["Outputs"]
    assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]
    return code_of(stack)


def test_a_protected_table_is_not_deleted(stack: Stack) -> None:
    """As deployed by default. That CloudFormation leaves it alone too, only AWS shows."""
    client = stack.session.client("dynamodb")
    with pytest.raises(ClientError, match="protect"):
        client.delete_table(TableName=stack.outputs["MarkerTableName"])
