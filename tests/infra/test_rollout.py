"""The template as a stack set rolls it out: with the same values in two accounts and two Regions.

CloudFormation's stack sets do no more than that, in each account and Region that they are told. The emulator
has no stack sets, so the test creates, updates and deletes the stacks itself.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from keyturn.testing.embedded import EmbeddedAws
from tests.listener.test_deployed import (
    BUCKET,
    OFTEN,
    STACK,
    TEMPLATE,
    TEMPLATE_URL,
    Stack,
    code_of,
    deploy,
    everything,
    stack_of,
)
from tools.build_listener import build

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

ACCOUNTS = ("111111111111", "222222222222")
REGIONS = ("eu-west-1", "ap-southeast-2")
VALUES = {
    "CodeBucket": "keyturn-code-{region}",
    "AlarmTopicArn": "alarms",
    "PermissionsBoundary": "org/boundary",
    "Convergence": "true",
    "ParameterPrefixes": "/prod/",
}
READERS = {"ReaderAccounts": ",".join(ACCOUNTS), "ReaderOrganization": "o-a1b2c3d4e5"}
"""Given by the upgrade. The emulator drops a table's policy; `policies/test_stack.py` resolves it."""
OLD, NEW = "1.zip", "2.zip"


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[boto3.Session]]:
    """Sessions of each account in each Region: with a topic, and a bucket that has the code."""
    build(tmp_path / OLD)
    build(tmp_path / NEW)
    with zipfile.ZipFile(tmp_path / NEW, "a") as archive:
        archive.writestr("newer.py", "")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        profiles, made = [], []
        for account, region in product(ACCOUNTS, REGIONS):
            # One emulator each: of one with stacks in two Regions the events go astray.
            aws = stack.enter_context(EmbeddedAws({"AUTH": "true", "MINISTACK_ACCOUNT_ID": account}))
            profiles.append(profile_of(f"{account}-{region}", aws))
            (tmp_path / "config").write_text("\n".join(profiles))
            patch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
            made.append(boto3.Session(profile_name=f"{account}-{region}", region_name=region))
        for session in made:
            prepare(session, tmp_path)
        yield made


def profile_of(name: str, aws: EmbeddedAws) -> str:
    """An account as a profile of the SDK's configuration."""
    given = aws.client_arguments
    return "\n".join(
        (
            f"[profile {name}]",
            f"endpoint_url = {given['endpoint_url']}",
            f"aws_access_key_id = {given['aws_access_key_id']}",
            f"aws_secret_access_key = {given['aws_secret_access_key']}",
            f"aws_session_token = {given['aws_session_token']}",
        )
    )


def prepare(session: boto3.Session, folder: Path) -> None:
    """Make what the organisation has in each account and Region before the roll-out."""
    session.client("sns").create_topic(Name="alarms")
    storage = session.client("s3")
    storage.create_bucket(
        Bucket=BUCKET,
        CreateBucketConfiguration={"LocationConstraint": session.region_name},  # type: ignore[typeddict-item]
    )
    storage.put_object(Bucket=BUCKET, Key="template.yaml", Body=TEMPLATE)
    bucket = f"keyturn-code-{session.region_name}"
    storage.create_bucket(
        Bucket=bucket,
        CreateBucketConfiguration={"LocationConstraint": session.region_name},  # type: ignore[typeddict-item]
    )
    for key in (OLD, NEW):
        storage.put_object(Bucket=bucket, Key=key, Body=(folder / key).read_bytes())


def update(session: boto3.Session, **changed: str) -> None:
    """Update the stack with these values, and all others as before."""
    stacks = session.client("cloudformation")
    kept: list[ParameterTypeDef] = [
        {"ParameterKey": name, "UsePreviousValue": True}
        for name in ({"CodeKey", "DeletionProtection"} | VALUES.keys()) - changed.keys()
    ]
    given: list[ParameterTypeDef] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in changed.items()
    ]
    stacks.update_stack(
        StackName=STACK,
        TemplateURL=TEMPLATE_URL,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[*kept, *given],
    )
    stacks.get_waiter("stack_update_complete").wait(StackName=STACK, WaiterConfig=OFTEN)


def place_of(session: boto3.Session) -> tuple[str, str]:
    """The account and Region of a session."""
    return session.profile_name.partition("-")[0], session.region_name


def check_names(stack: Stack) -> None:
    """What the stack was given by a name is of its own account and Region.

    The emulator drops a role's boundary; `listener/test_template.py` resolves it.
    """
    account, region = place_of(stack.session)
    alarms = stack.session.client("cloudwatch").describe_alarms()["MetricAlarms"]
    told = {arn for one in alarms for arn in (*one["AlarmActions"], *one["OKActions"])}
    assert {f"arn:aws:sns:{region}:{account}:alarms"} == told
    own = [one for one in alarms if one.get("Namespace") == "keyturn"]
    assert all([{"Name": "Stack", "Value": STACK}] == one["Dimensions"] for one in own)
    assert own
    assert f":{region}:{account}:" in stack.outputs["ListenerArn"]


def check_work(stacks: list[Stack]) -> None:
    """A label that moves in one account and Region makes a marker there, and nowhere else."""
    for stack in stacks:
        account, region = place_of(stack.session)
        name = f"prod/{account}-{region}"
        arn = stack.secrets.create_secret(Name=name, SecretString="one")["ARN"]
        version_id = stack.secrets.put_secret_value(SecretId=arn, SecretString="two")["VersionId"]
        assert f":{region}:{account}:" in arn
        assert arn == stack.marker_with(arn[:-7], version_id).arn
        assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]
        stack.wait_for_log(f'"stack": "{STACK}"')
        assert [stack] == [one for one in stacks if one.table.look(arn[:-7]).marker is not None]


def test_a_roll_out_over_accounts_and_regions(places: list[boto3.Session]) -> None:
    """Made, used, upgraded and removed everywhere by the same values; nothing is left anywhere."""
    before = [everything(session) for session in places]
    stacks = [stack_of(session, deploy(session, **VALUES, CodeKey=OLD)) for session in places]
    for stack in stacks:
        check_names(stack)
    check_work(stacks)
    old = {code_of(stack) for stack in stacks}
    for stack in stacks:
        update(stack.session, CodeKey=NEW, DeletionProtection="false", **READERS)
        assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]
    new = {code_of(stack) for stack in stacks}
    assert (1, 1, True) == (len(old), len(new), old != new)
    for session in places:
        stacks_of = session.client("cloudformation")
        stacks_of.delete_stack(StackName=STACK)
        stacks_of.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig=OFTEN)
    assert before == [everything(session) for session in places]
