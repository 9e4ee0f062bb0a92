"""infra/terraform/modules/rotation: it is valid, makes what infra/rotation.yaml makes, and rotates.

Without terraform these tests are skipped, as those of tests/infra/test_terraform.py are.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import document
from keyturn.testing.embedded import REGION, EmbeddedAws, EmbeddedPostgres
from tests.docs.pages import python_blocks
from tests.infra.rotation_stack import ACCOUNT, TABLE, RotationStack, User, make_table, package, without_tls
from tests.infra.test_terraform import COUNTERPARTS, camel, of_type, terraform, unwrapped, values_of
from tests.listener.test_events import at
from tests.servers.fixtures import use
from tests.templates import read_template
from tools.build_listener import ROOT

pytestmark = pytest.mark.e2e

MODULE = ROOT / "infra" / "terraform" / "modules" / "rotation"
TEMPLATE = cast("Mapping[str, object]", read_template(ROOT / "infra" / "rotation.yaml"))
OWN_VARIABLES = {"name", "tags", "functionzip", "codebucket", "codekey", "environment"}
OWN_PARAMETERS = {"CodeBucket", "CodeKey"}
"""Where the code is, what a stack has anyway, and variables, for which CloudFormation has no type."""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the module, ready to be used."""
    folder = tmp_path_factory.mktemp("terraform") / "rotation"
    shutil.copytree(MODULE, folder, ignore=shutil.ignore_patterns(".terraform*"))
    terraform(folder, "init", "-no-color", "-backend=false")
    return folder


def test_it_is_valid_and_its_own_tests_pass(module: Path) -> None:
    """Every combination that tests/module.tftest.hcl plans, on a provider that makes nothing."""
    assert json.loads(terraform(module, "validate", "-json"))["diagnostics"] == []
    assert "0 failed" in terraform(module, "test", "-no-color")


def test_it_has_the_settings_of_the_template() -> None:
    """By the same names and with the same defaults. Where a list is the default, the template has no text."""
    text = (MODULE / "variables.tf").read_text("utf-8")
    found = {
        name.replace("_", ""): re.search(r"^  default += (.*)$", body, re.MULTILINE)
        for name, body in re.findall(r'^variable "(\w+)" {$(.*?)^}$', text, re.MULTILINE | re.DOTALL)
    }
    parameters = cast("Mapping[str, Mapping[str, object]]", TEMPLATE["Parameters"])
    assert found.keys() - OWN_VARIABLES == {name.lower() for name in parameters.keys() - OWN_PARAMETERS}
    empty = {"[]": "", "null": "", "{}": ""}
    defaults = {name: one[1].strip('"') for name, one in found.items() if one and name not in OWN_VARIABLES}
    assert {name: empty.get(default, default) for name, default in defaults.items()} == {
        name.lower(): str(one["Default"]) for name, one in parameters.items() if "Default" in one
    }


@dataclass(frozen=True)
class Applied:
    """What terraform planned and made."""

    stack: RotationStack
    planned: list[dict[str, object]]
    made: list[dict[str, object]]

    def only(self, kind: str, *, made: bool = False) -> Mapping[str, object]:
        """The one resource of this type."""
        (one,) = values_of(self.made if made else self.planned, kind).values()
        return one


@pytest.fixture(scope="module")
def applied(module: Path) -> Iterator[Applied]:
    """The module with the page's handler, applied to an account that enforces IAM; destroyed at the end."""
    with EmbeddedAws({"AUTH": "true"}) as aws, pytest.MonkeyPatch.context() as patch:
        use(aws, patch)
        make_table()
        package(module, {"app.py": without_tls(python_blocks("docs/deploying-rotation.md")[0])})
        settings = {
            "name": "rotate-orders",
            "function_zip": "function.zip",
            "secret_name": "prod/orders*",
            "marker_table": TABLE,
        }
        (module / "terraform.tfvars.json").write_text(json.dumps(settings))
        terraform(module, "plan", "-no-color", "-out=planned")
        planned = json.loads(terraform(module, "show", "-json", "planned"))["planned_values"]
        try:
            terraform(module, "apply", "-no-color", "-parallelism=30", "planned")
            made = json.loads(terraform(module, "show", "-json"))["values"]
            outputs = {camel(name): str(one["value"]) for name, one in made["outputs"].items()}
            resources = (one["root_module"]["resources"] for one in (planned, made))
            yield Applied(RotationStack("rotate-orders", outputs), *resources)
        finally:
            terraform(module, "destroy", "-no-color", "-auto-approve", "-parallelism=30")


def test_it_makes_the_resources_and_outputs_of_the_template(applied: Applied) -> None:
    """As many of each kind, and nothing besides; a role's policy is a resource of its own in Terraform."""
    every = cast("Mapping[str, Mapping[str, object]]", TEMPLATE["Resources"])
    expected = Counter(COUNTERPARTS[str(one["Type"])] for one in every.values())
    made = Counter(str(one["type"]) for one in applied.made if one["mode"] == "managed")
    assert expected + Counter(["aws_iam_role_policy"]) == made
    assert cast("Mapping[str, object]", TEMPLATE["Outputs"]).keys() == applied.stack.outputs.keys()


def test_its_function_and_alarm_are_those_of_the_template(applied: Applied) -> None:
    """The same size, description and variables; the same metric, threshold and periods."""
    (expected,) = of_type(TEMPLATE, "AWS::Lambda::Function").values()
    function = applied.only("aws_lambda_function")
    assert expected["MemorySize"] == function["memory_size"]
    assert "Rotates a secret, and announces each step." == expected["Description"] == function["description"]
    assert {"KEYTURN_MARKER_TABLE": TABLE} == at(function, "environment[0].variables")
    (alarm,) = of_type(TEMPLATE, "AWS::CloudWatch::Alarm").values()
    planned = applied.only("aws_cloudwatch_metric_alarm")
    names = {
        "AlarmDescription": "alarm_description",
        "MetricName": "metric_name",
        "Statistic": "statistic",
        "Period": "period",
        "EvaluationPeriods": "evaluation_periods",
        "Threshold": "threshold",
        "ComparisonOperator": "comparison_operator",
        "TreatMissingData": "treat_missing_data",
    }
    assert {name: alarm[name] for name in names} == {name: planned[own] for name, own in names.items()}


def test_its_role_has_the_policy_that_keyturn_prints(applied: Applied) -> None:
    """The four steps, the announcements and the log, for the secrets that were named."""
    log = applied.only("aws_cloudwatch_log_group", made=True)
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/orders*-??????"
    rotation = roles.rotation(Place(REGION, ACCOUNT), secrets=[secret], marker_table=TABLE)
    made = json.loads(str(applied.only("aws_iam_role_policy", made=True)["policy"]))
    assert document((*rotation, *roles.function(log_group=f"{log['arn']}:*"))) == {
        **made,
        "Statement": [unwrapped(one) for one in made["Statement"]],
    }


def test_it_rotates(applied: Applied, postgres: EmbeddedPostgres) -> None:
    """With the role that terraform made, on a real server."""
    user = User(applied.stack, postgres)
    before = user.current()
    rotation = applied.stack.rotation(user.name)
    rotation.run()
    assert user.accepts(user.current())
    assert not user.accepts(before)
