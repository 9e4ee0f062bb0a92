"""The examples as they are deployed: in an account that enforces IAM, with the library as a layer."""

from __future__ import annotations

import io
import json
import re
import time
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from keyturn.demo.stage import BUCKET, Stack, deploy
from keyturn.testing.embedded import EmbeddedAws
from tests.examples.test_template import EXAMPLES
from tools.build_layer import build
from tools.build_listener import ROOT, build_listener

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

STACK = "examples"
API_KEY = "/my-frontend-app/production/api-key"
SECRET_ID = "/my-frontend-app/production/stripe-key"
CANARY = "canary-of-the-examples"
PATIENCE_S = 20.0
EXTENSION_LAYER = "/test/extension-layer"
"""Stands for the public parameter: the emulator publishes none."""


@dataclass(frozen=True)
class Account:
    """The two deployed stacks: keyturn's own, and that of the examples."""

    keyturn: Stack
    functions: dict[str, str]

    def answer(self, function: str) -> tuple[int, dict[str, object]]:
        """Status and body of what a function of the template answers."""
        called = boto3.client("lambda").invoke(FunctionName=self.functions[function], Payload=b"{}")
        said = called["Payload"].read().decode()
        assert called.get("FunctionError") is None, said
        assert CANARY not in said
        answered = json.loads(said)
        return answered["statusCode"], json.loads(answered["body"])

    def change_parameter(self) -> int:
        """Change the API key, and deliver the event that Parameter Store would send; its new version."""
        version = boto3.client("ssm").put_parameter(Name=API_KEY, Value=CANARY + "2", Overwrite=True)[
            "Version"
        ]
        arn = boto3.client("ssm").get_parameter(Name=API_KEY)["Parameter"]["ARN"]
        event = {
            "id": str(uuid.uuid4()),
            "source": "aws.ssm",
            "detail-type": "Parameter Store Change",
            "resources": [arn],
            "detail": {"name": API_KEY, "type": "SecureString", "operation": "Update"},
        }
        told = boto3.client("lambda").invoke(
            FunctionName=self.keyturn.listener, Payload=json.dumps(event).encode()
        )
        assert told.get("FunctionError") is None, told["Payload"].read()
        return version


@pytest.fixture(scope="module")
def account(guarded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """Both templates, deployed; one secret and one parameter, which a sweep has seen."""
    keyturn = deploy(build_listener(), ROOT / "infra" / "template.yaml")
    boto3.client("secretsmanager").create_secret(Name=SECRET_ID, SecretString=stripe())
    boto3.client("ssm").put_parameter(Name=API_KEY, Value=CANARY, Type="SecureString")
    keyturn.sweep()
    return Account(keyturn, deployed(keyturn, tmp_path_factory.mktemp("layer") / "layer.zip"))


def stripe() -> str:
    """A new value of the secret."""
    return json.dumps({"apiKey": CANARY, "webhookSecret": str(uuid.uuid4())})


def deployed(keyturn: Stack, layer: Path) -> dict[str, str]:
    """Deploy the examples as `sam deploy` does: each local path becomes a key of the bucket."""
    packages = {f"{file.parent.name}/": packed(file) for file in EXAMPLES.glob("*/app.py")}
    packages["../build/keyturn_layer.zip"] = build(layer)
    text = (EXAMPLES / "template.yaml").read_text("utf-8")
    for number, (path, package) in enumerate(packages.items()):
        boto3.client("s3").put_object(Bucket=BUCKET, Key=f"{number}.zip", Body=package)
        text, found = re.subn(
            rf"(CodeUri|ContentUri): {re.escape(path)}$",
            rf"\1: {{Bucket: {BUCKET}, Key: {number}.zip}}",
            text,
            flags=re.MULTILINE,
        )
        assert found == 1
    extension = boto3.client("lambda").publish_layer_version(
        LayerName="stand-in", Content={"ZipFile": packages["extension/"]}
    )["LayerVersionArn"]
    boto3.client("ssm").put_parameter(Name=EXTENSION_LAYER, Value=extension, Type="String")
    formation = boto3.client("cloudformation")
    given = {"MarkerTable": keyturn.marker_table, "ExtensionLayer": EXTENSION_LAYER, "TtlSeconds": "1"}
    formation.create_stack(
        StackName=STACK,
        TemplateBody=text,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    formation.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    resources = formation.describe_stack_resources(StackName=STACK)["StackResources"]
    return {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in resources}


def packed(file: Path) -> bytes:
    """A zip with this one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.write(file, file.name)
    return archive.getvalue()


def version_after(account: Account, function: str, before: object, field: str = "version") -> object:
    """The version that a function answers with once it is another one."""
    late_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < late_s:
        version = account.answer(function)[1][field]
        if version != before:
            return version
        time.sleep(0.2)
    raise AssertionError(f"{function} still has {before} after {PATIENCE_S} s")


def test_a_secret_is_read_and_its_rotation_noticed(account: Account) -> None:
    """The printed policy is enough to read secret and markers; the move of the label does the rest."""
    status, before = account.answer("SecretAtInit")
    assert (200, "Stripe configuration loaded") == (status, before["message"])
    moved = boto3.client("secretsmanager").put_secret_value(SecretId=SECRET_ID, SecretString=stripe())
    assert moved["VersionId"] == version_after(account, "SecretAtInit", before["version"])


@pytest.mark.parametrize("function", ["ParameterAtInit", "WithTtl"])
def test_a_parameter_is_read_and_its_change_noticed(account: Account, function: str) -> None:
    """By the event where there is a table, by the TTL where there is none."""
    status, before = account.answer(function)
    assert (200, "Configuration loaded") == (status, before["message"])
    assert account.change_parameter() == version_after(account, function, before["version"])


def test_all_together_notices_both(account: Account) -> None:
    """A name from the environment, a parameter and a secret, each change noticed."""
    status, before = account.answer("AllTogether")
    assert (200, "orders") == (status, before["table"])
    secret = boto3.client("secretsmanager").put_secret_value(SecretId=SECRET_ID, SecretString=stripe())
    after = {"api_key": account.change_parameter(), "stripe": secret["VersionId"]}
    late_s = time.monotonic() + PATIENCE_S
    while (versions := account.answer("AllTogether")[1]["versions"]) != after and time.monotonic() < late_s:
        time.sleep(0.2)
    assert after == versions


def test_the_layer_of_the_extension_is_found_by_the_parameter(account: Account) -> None:
    """The template asks Parameter Store for the layer's ARN; the function has it beside the library's."""
    function = boto3.client("lambda").get_function_configuration(FunctionName=account.functions["Extension"])
    layers = [layer["Arn"].split(":")[6] for layer in function["Layers"]]
    assert 2 == len(layers)
    assert "stand-in" in layers
    status, answered = account.answer("Extension")
    assert (500, {"error": "Failed to load Stripe configuration"}) == (status, answered)
