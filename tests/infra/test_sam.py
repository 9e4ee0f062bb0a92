"""The templates by the real SAM CLI: validated, deployed to the emulator, changed, and deleted again.

Without `sam` on the PATH these tests are skipped, with KEYTURN_TEST_SAM set
they fail. `make sam` installs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from tests.listener.test_deployed import BUCKET, KEY, everything, stack_of
from tools import build_layer
from tools.build_listener import ROOT, build

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

TEMPLATE = ROOT / "infra" / "template.yaml"
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Sam:
    """The SAM CLI with a home folder of its own, in an account."""

    environment: Mapping[str, str]

    def run(self, *arguments: str) -> str:
        """What a command prints; it must succeed."""
        answer = subprocess.run(
            [program(), *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    def deploy(self, template: Path, name: str, **parameters: str) -> None:
        """Create or update a stack from this template."""
        given = [f"{key}={value}" for key, value in parameters.items()]
        self.run(
            *("deploy", "--template-file", str(template), "--stack-name", name, "--s3-bucket", BUCKET),
            *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--tags", "team=orders"),
            *("--parameter-overrides", *given),
        )

    def delete(self, name: str) -> None:
        """Delete a stack and what was uploaded for it."""
        region = self.environment["AWS_REGION"]
        self.run("delete", "--stack-name", name, "--no-prompts", "--region", region, "--s3-bucket", BUCKET)


def program() -> str:
    """Where `sam` is; without it the test is skipped, or fails where it is required."""
    found = shutil.which("sam")
    if found is None:
        reason = "sam is not on the PATH: nobody tried the templates with the SAM CLI"
        if os.environ.get("KEYTURN_TEST_SAM"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def sam(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sam:
    """The CLI in an account that enforces IAM, with the listener's code in a bucket."""
    program()
    home = str(tmp_path_factory.mktemp("home"))
    request.getfixturevalue("guarded_aws")
    storage = boto3.client("s3")
    storage.create_bucket(Bucket=BUCKET)
    package = build(tmp_path_factory.mktemp("package") / KEY)
    storage.put_object(Bucket=BUCKET, Key=KEY, Body=package)
    return Sam({**os.environ, "HOME": home, "SAM_CLI_TELEMETRY": "0"})


@pytest.mark.parametrize("template", [TEMPLATE, EXAMPLES / "template.yaml"], ids=["stack", "examples"])
def test_a_template_is_valid(sam: Sam, template: Path) -> None:
    """By `sam validate --lint`."""
    assert "is a valid SAM Template" in sam.run("validate", "--lint", "--template-file", str(template))


def test_the_stack_is_deployed_changed_and_deleted(sam: Sam) -> None:
    """Events become markers, its own tags stand beside ours, and nothing is left."""
    session = boto3.Session()
    before = everything(session)
    sam.deploy(TEMPLATE, "keyturn", CodeBucket=BUCKET, CodeKey=KEY, DeletionProtection="true")
    (made,) = session.client("cloudformation").describe_stacks(StackName="keyturn")["Stacks"]
    assert [{"Key": "team", "Value": "orders"}] == made["Tags"]
    stack = stack_of(session, {one["OutputKey"]: one["OutputValue"] for one in made["Outputs"]})
    assert "swept" == stack.invoke({"keyturn": "sweep"})["outcome"]
    arn = stack.secrets.create_secret(Name="prod/db", SecretString="one")["ARN"]
    version_id = stack.secrets.put_secret_value(SecretId=arn, SecretString="two")["VersionId"]
    assert arn == stack.marker_with(arn[:-7], version_id).arn
    # The emulator makes a log group anew for an invocation that ends after its deletion.
    stack.wait_for_log(arn)
    sam.deploy(
        *(TEMPLATE, "keyturn"),
        CodeBucket=BUCKET,
        CodeKey=KEY,
        DeletionProtection="false",
        CloudTrailEvents="ignored",
    )
    assert 3 == len(session.client("events").list_rules()["Rules"])
    sam.delete("keyturn")
    assert before == everything(session)


def test_the_examples_are_deployed_with_their_layer(sam: Sam) -> None:
    """As examples/README.md says it: the layer is built, packed and uploaded by `sam deploy`."""
    build_layer.OUTPUT.parent.mkdir(exist_ok=True)
    build_layer.build(build_layer.OUTPUT)
    boto3.client("ssm").put_parameter(
        Name="/test/layer", Value="arn:aws:lambda:us-east-1:111122223333:layer:extension:1", Type="String"
    )
    chosen = {"MarkerTable": "markers", "ExtensionLayer": "/test/layer"}
    sam.deploy(EXAMPLES / "template.yaml", "examples", **chosen)
    functions = boto3.client("lambda").list_functions()["Functions"]
    assert len(list(EXAMPLES.glob("*/app.py"))) == len(functions)
    sam.delete("examples")
    assert [] == boto3.client("lambda").list_functions()["Functions"]
