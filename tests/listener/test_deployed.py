"""The stack as it is deployed, with IAM enforced: from a move of a label to a marker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.response import StreamingBody

from keyturn import SecretCache
from keyturn.markers import MarkerTable
from keyturn.testing.embedded import EmbeddedAws
from keyturn.values import Marker
from tests.listener.test_events import sample
from tools.build_listener import ROOT, build

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

pytestmark = pytest.mark.e2e

STACK, BUCKET, KEY = "keyturn", "code", "listener.zip"
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

    def invoke(self, event: object) -> dict[str, object]:
        """What the listener, run as a Lambda function, answers."""
        answer: Mapping[str, object] = self.session.client("lambda").invoke(
            FunctionName=self.outputs["ListenerArn"], Payload=json.dumps(event).encode()
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


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The template, deployed through CloudFormation into an account that enforces IAM."""
    with EmbeddedAws({"AUTH": "true"}) as aws, pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment.items():
            patch.setenv(name, value)
        session = boto3.Session(region_name=aws.environment["AWS_REGION"])
        package = build(Path(tmp_path_factory.mktemp("package")) / KEY)
        storage = session.client("s3")
        storage.create_bucket(Bucket=BUCKET)
        storage.put_object(Bucket=BUCKET, Key=KEY, Body=package)
        outputs = deploy(session)
        table = MarkerTable(
            session.client("dynamodb"),
            outputs["MarkerTableName"],
            new_epoch=lambda: "a-test",
            sleep=time.sleep,
            random=lambda: 0.5,
        )
        yield Stack(session, outputs, table)


def deploy(session: boto3.Session) -> dict[str, str]:
    """Create the stack; its outputs."""
    stacks = session.client("cloudformation")
    stacks.create_stack(
        StackName=STACK,
        TemplateBody=(ROOT / "infra" / "template.yaml").read_text("utf-8"),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": "CodeBucket", "ParameterValue": BUCKET},
            {"ParameterKey": "CodeKey", "ParameterValue": KEY},
            {"ParameterKey": "ParameterPrefixes", "ParameterValue": "/prod/, /shared/"},
        ],
    )
    stacks.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    outputs = stacks.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    return {one["OutputKey"]: one["OutputValue"] for one in outputs}


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
