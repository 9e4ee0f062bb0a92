"""keyturn.cdk: the construct is the template, `cdk synth` needs no network, and what it refuses it says.

`make cdk` runs these tests; they need an environment of their own, since the CDK is large.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import boto3
import pytest

from keyturn.testing.embedded import EmbeddedAws
from tests.infra.cdk import Template, plain_stack, read_stack, run, synthesised
from tests.infra.test_parameters import VALUES, parameters_of
from tests.listener.test_deployed import OFTEN, stack_of
from tests.listener.test_events import at
from tests.servers.fixtures import use
from tests.templates import read_template
from tools.build_listener import ROOT, build

pytestmark = pytest.mark.e2e

REFUSED = """
import enum, json
from aws_cdk import App, Stack, aws_kms, aws_lambda, aws_sns
from keyturn import ConfigurationError
from keyturn.cdk import Keyturn

stack = Stack(App(), "refused")
topic = aws_sns.Topic(stack, "Topic")
said = []

class Days(str, enum.Enum):
    MONTH = "30"

def refuse(does):
    try:
        does()
    except ConfigurationError as error:
        said.append(str(error))
    else:
        said.append("nothing was refused")

for number, parameters in enumerate([
    {"ReservedConcurrency": 0},
    {"HeadCopies": 33},
    {"Convergence": "yes"},
    {"TableKeyArn": "alias/x"},
    {"NamePrefixes": topic.topic_name},
    {"Prefixes": "orders/"},
    {"LogRetentionDays": 31},
    {"CodeBucket": "code"},
    {"CodeS3ObjectVersion": "3"},
    {"NamePrefixes": ["orders/"]},
    {"NamePrefixes": b"orders/"},
    {"BehindSeconds": 1800.5},
    {"CodeBucket": "code", "CodeKey": None},
]):
    refuse(lambda: Keyturn(stack, f"K{number}", parameters))
for number, alias in enumerate([
    aws_kms.Alias.from_alias_name(stack, "Known", "alias/x"),
    aws_kms.Key(stack, "Key").add_alias("alias/y"),
]):
    refuse(lambda: Keyturn(stack, f"A{number}", table_key=alias))
app = App(context={"@aws-cdk/core:validateAgainstDefaultRules": True})
Keyturn(Stack(app, "all"), "Taken", TAKEN)
Keyturn(Stack(app, "defaults"), "Defaults", DEFAULTS)
Keyturn(Stack(app, "none"), "None", {"NamePrefixes": None, "HeadCopies": None, "CodeKey": None})
plain = {"CodeBucket": "code", "CodeKey": "key"}
own = Stack(app, "references")
Keyturn(own, "References", plain | {
    "AlarmTopicArn": aws_sns.CfnTopic(own, "Topic").get_att("TopicArn"), "LogRetentionDays": Days.MONTH,
})
references = app.synth().get_stack_by_name("references").template["Resources"].values()
taken = Keyturn(stack, "Taken", {"ReservedConcurrency": 5, "HeadCopies": 32, "Convergence": True})
refuse(lambda: Keyturn(stack, "Second"))
arn = "arn:aws:lambda:eu-west-1:111122223333:function:f"
refuse(lambda: taken.grant_read(aws_lambda.Function.from_function_arn(stack, "F", arn)))
made = aws_lambda.Function(
    stack, "Made", runtime=aws_lambda.Runtime.PYTHON_3_13, handler="a.b",
    code=aws_lambda.Code.from_inline("pass"),
)
alias = aws_lambda.Alias(stack, "Alias", alias_name="live", version=made.current_version)
imported = aws_lambda.Function.from_function_attributes(stack, "I", function_arn=arn, role=made.role)
for one in (alias, made.current_version, imported):
    refuse(lambda: taken.grant_read(one))
attached = len(stack.resolve(made.role.node.default_child.managed_policy_arns))
arns = [stack.resolve(arn) for arn in (taken.marker_table_arn, taken.listener_arn)]
print(json.dumps({"said": said, "arns": arns, "attached": attached, "references": [*references]}))
"""

ARNS = ("MarkerTable", "Listener")

SAID = (
    "ReservedConcurrency is '0': it is -1, or a whole number from 1",
    "HeadCopies is '33': it is a whole number from 1 to 32",
    "Convergence is 'yes': it is true or false",
    "TableKeyArn is 'alias/x': it is the ARN of a KMS key",
    "NamePrefixes is made by the deployment itself",
    "Prefixes: keyturn's template has no such parameter",
    "LogRetentionDays is '31': it is 1, 3, 5",
    "CodeKey is missing",
    "CodeBucket, CodeKey is missing",
    "NamePrefixes is a list: give a text, a whole number or a bool",
    "NamePrefixes is a bytes: give",
    "BehindSeconds is a float: give",
    "CodeKey is missing",
    "table_key is an alias",
    "table_key is an alias",
    "a stack has one Keyturn at most",
    "the CDK does not know the role of this function",
    *["the CDK cannot change the environment of this function"] * 3,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `cdk synth` makes of infra/cdk."""
    return synthesised(tmp_path_factory.mktemp("cdk"))


@pytest.fixture(scope="module")
def orders(made: Path) -> Template:
    """The stack of infra/cdk."""
    return read_stack(made, "orders")


def filled(node: object, values: Mapping[str, str]) -> object:
    """A part of the template in which these parameters have their values."""
    match node:
        case {"Ref": str(name)} if name in values:
            return values[name]
        case dict():
            return {key: filled(value, values) for key, value in node.items()}
        case list():
            return [filled(value, values) for value in node]
        case str():
            return re.sub(r"\$\{(\w+)\}", lambda name: values.get(name[1], name[0]), node)
    return node


def without_metadata(resources: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Resources without what the CDK notes of each, and without its own."""
    return {
        name: {key: value for key, value in one.items() if key != "Metadata"}
        for name, one in resources.items()
        if one["Type"] != "AWS::CDK::Metadata"
    }


def test_the_construct_is_the_template(tmp_path: Path) -> None:
    """Every resource, condition, output and parameter, but for those parameters that were given.

    The construct gives the defaults of two, which the CDK's rules would misunderstand.
    """
    plain = plain_stack(tmp_path)
    given = {"CodeBucket": "code", "CodeKey": "key.zip"}
    given |= {"CodeS3ObjectVersion": "", "ReservedConcurrency": "-1"}
    template = cast("Template", filled(read_template(ROOT / "infra" / "template.yaml"), given))
    assert without_metadata(plain["Resources"]) == template["Resources"]
    for part in ("Conditions", "Outputs"):
        assert {name: plain[part][name] for name in template[part]} == template[part]
    parameters = {name: one for name, one in template["Parameters"].items() if name not in given}
    assert {name: plain["Parameters"][name] for name in parameters} == parameters


def test_a_function_may_read_and_is_told_the_table(orders: Template) -> None:
    """`grant_read` gives the role the readers' policy, and the function the table's name."""
    (reader,) = (one for name, one in orders["Resources"].items() if re.fullmatch(r"Reader[0-9A-F]{8}", name))
    role = str(at(reader, "Properties.Role.Fn::GetAtt[0]"))
    policies = at(orders["Resources"][role], "Properties.ManagedPolicyArns")
    assert {"Ref": "ReaderPolicy"} in cast("list[object]", policies)
    variables = at(reader, "Properties.Environment.Variables")
    assert {"Ref": "MarkerTable"} == cast("Mapping[str, object]", variables)["KEYTURN_MARKER_TABLE"]


def test_the_code_is_an_asset_of_this_version(made: Path, orders: Template, tmp_path: Path) -> None:
    """The bytes that `keyturn stack --listener-zip` writes; the topic of the app is what the alarms tell."""
    key = at(orders, "Resources.Listener.Properties.Code.S3Key")
    assert (made / f"asset.{key}").read_bytes() == build(tmp_path / "listener.zip")
    (topic,) = (name for name, one in orders["Resources"].items() if one["Type"] == "AWS::SNS::Topic")
    assert topic in json.dumps(at(orders, "Resources.ErrorsAlarm.Properties.AlarmActions"))
    assert {"Fn::Equals": [1, 1]} == orders["Conditions"]["HasAlarmTopic"]


def taken() -> dict[str, str]:
    """A value that the template takes for each of its parameters."""
    values = {"NamePrefixes": "orders/,db", "SecretTag": "team=orders", "Runtime": "python3.13"}
    values["ConvergenceTableParameter"] = "/keyturn/reports"
    for name, one in parameters_of("template.yaml").items():
        match one:
            case {"AllowedValues": [*_, last]}:
                values[name] = str(last)
            case {"MaxValue": highest}:
                values[name] = str(highest)
            case _ if name not in values:
                values[name] = VALUES[name][0][-1]
    return values


def defaults() -> dict[str, str]:
    """The default of each parameter, as a text."""
    known = parameters_of("template.yaml").items()
    return {name: str(one["Default"]) for name, one in known if "Default" in one}


def test_what_cannot_work_is_refused_with_its_reason(tmp_path: Path) -> None:
    """By the constraints of the template, before anything is synthesised. What is made tells its ARNs.

    Every parameter can be given, also with the value that is its default or with None, and the CDK's rules
    have no error. A function that cannot be told the table gets no policy.
    """
    code = {name: taken()[name] for name in ("CodeBucket", "CodeKey")}
    values = f"TAKEN = {taken()!r}\nDEFAULTS = {defaults() | code!r}\n"
    (tmp_path / "refused.py").write_text(values + REFUSED)
    told = json.loads(run(tmp_path, "python3", "refused.py").splitlines()[-1])
    names = [at(arn, "Fn::GetAtt[0]") for arn in told["arns"]]
    assert all(part in str(name) for part, name in zip(ARNS, names, strict=True))
    assert {"Arn"} == {at(arn, "Fn::GetAtt[1]") for arn in told["arns"]}
    # A function's own policy for its log, and nothing else.
    assert 1 == told["attached"]
    made = json.dumps(told["references"])
    assert '"Fn::GetAtt": ["Topic", "TopicArn"]' in made
    assert '"RetentionInDays": 30' in made
    said = told["said"]
    assert len(SAID) == len(said)
    assert [] == [one for one, begins in zip(said, SAID, strict=True) if not one.startswith(begins)]


def test_the_app_is_deployed_and_works(made: Path, orders: Template) -> None:
    """On an account with IAM: as `cdk deploy` does it, assets first. A moved label becomes a marker."""
    text = json.loads((made / "orders.template.json").read_text("utf-8"))
    # The emulator's stacks have neither composite alarms nor what the CDK counts its use by.
    unknown = ("AWS::CloudWatch::CompositeAlarm", "AWS::CDK::Metadata")
    text["Resources"] = {name: one for name, one in text["Resources"].items() if one["Type"] not in unknown}
    with EmbeddedAws({"AUTH": "true"}) as aws, pytest.MonkeyPatch.context() as patch:
        use(aws, patch)
        session = boto3.Session()
        session.client("ssm").put_parameter(
            Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String"
        )
        account = session.client("sts").get_caller_identity()["Account"]
        bucket = f"cdk-hnb659fds-assets-{account}-{session.region_name}"
        session.client("s3").create_bucket(Bucket=bucket)
        upload(made, bucket)
        stacks = session.client("cloudformation")
        session.client("s3").put_object(Bucket=bucket, Key="orders.json", Body=json.dumps(text).encode())
        url = f"https://s3.{session.region_name}.amazonaws.com/{bucket}/orders.json"
        stacks.create_stack(StackName="orders", TemplateURL=url, Capabilities=["CAPABILITY_IAM"])
        stacks.get_waiter("stack_create_complete").wait(StackName="orders", WaiterConfig=OFTEN)
        (deployed,) = stacks.describe_stacks(StackName="orders")["Stacks"]
        exported = {
            one["ExportName"]: one["OutputValue"] for one in deployed["Outputs"] if "ExportName" in one
        }
        stack = stack_of(session, {name.rpartition("-")[2]: value for name, value in exported.items()})
        arn = stack.secrets.describe_secret(SecretId="orders/database")["ARN"]
        version_id = stack.secrets.put_secret_value(SecretId=arn, SecretString="two")["VersionId"]
        assert arn == stack.marker_with(arn[:-7], version_id).arn


def upload(made: Path, bucket: str) -> None:
    """Put the zips of an app into the bucket, and zips of its folders, as `cdk deploy` does."""
    storage = boto3.client("s3")
    for asset in made.glob("asset.*"):
        packed = Path(shutil.make_archive(str(asset), "zip", asset)) if asset.is_dir() else asset
        key = asset.name.removeprefix("asset.").removesuffix(".zip") + ".zip"
        storage.put_object(Bucket=bucket, Key=key, Body=packed.read_bytes())
