"""The template, the Terraform module and the CDK's construct describe the same resources.

`make cdk` runs it. Where terraform is not installed, the module is left out and the test says so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from keyturn.testing.embedded import EmbeddedAws
from tests.infra.cdk import Template, plain_stack
from tests.infra.test_terraform import COUNTERPARTS, PARTS, by_default, module, of_type, terraform, values_of
from tests.listener.test_events import at
from tests.servers.fixtures import use
from tests.templates import read_template
from tools.build_listener import ROOT, build

__all__ = ["module"]

pytestmark = pytest.mark.e2e

CHOSEN = {
    "listener_zip": "listener.zip",
    "parameter_prefixes": ["/prod/"],
    "convergence": True,
    "dashboard": True,
}
"""What makes the module have every resource that the template has under a condition, but for the trail."""

ALARM = {
    "AlarmDescription": "alarm_description",
    "MetricName": "metric_name",
    "Statistic": "statistic",
    "Period": "period",
    "EvaluationPeriods": "evaluation_periods",
    "Threshold": "threshold",
    "ComparisonOperator": "comparison_operator",
    "TreatMissingData": "treat_missing_data",
}
FUNCTION = {
    "Handler": "handler",
    "MemorySize": "memory_size",
    "Timeout": "timeout",
    "Description": "description",
}


def of_stack(template: Template) -> dict[str, object]:
    """What a template describes, in words that the three have in common."""
    every = template["Resources"].values()
    function = of_type(template, "AWS::Lambda::Function")["Listener"]
    variables = cast("Mapping[str, object]", at(function, "Environment.Variables"))
    return {
        "kinds": Counter(
            COUNTERPARTS[str(one["Type"])] for one in every if one.get("Condition") != "HasOwnTrail"
        ),
        "rules": {
            name: (rule["Description"], rule.get("ScheduleExpression"))
            for name, rule in of_type(template, "AWS::Events::Rule").items()
        },
        "alarms": {
            name: [by_default(template, alarm[field]) for field in ALARM]
            for name, alarm in of_type(template, "AWS::CloudWatch::Alarm").items()
        },
        "metrics": {
            name: one["FilterPattern"] for name, one in of_type(template, "AWS::Logs::MetricFilter").items()
        },
        "function": [function[field] for field in FUNCTION],
        "variables": sorted(variables),
        "outputs": sorted(name.lower() for name in template["Outputs"]),
    }


def of_module(planned: Mapping[str, object]) -> dict[str, object]:
    """What terraform plans, in the same words."""
    resources = cast("list[dict[str, object]]", at(planned, "root_module.resources"))
    function = values_of(resources, "aws_lambda_function")["listener"]
    variables = cast("Mapping[str, object]", at(function, "environment[0].variables"))
    made = Counter(str(one["type"]) for one in resources if one["mode"] == "managed")
    return {
        "kinds": {kind: number for kind, number in made.items() if kind not in PARTS},
        "rules": {
            name: (rule["description"], rule["schedule_expression"])
            for name, rule in values_of(resources, "aws_cloudwatch_event_rule").items()
        },
        "alarms": {
            name: [alarm[field] for field in ALARM.values()]
            for name, alarm in values_of(resources, "aws_cloudwatch_metric_alarm").items()
        },
        "metrics": {
            name: one["pattern"]
            for name, one in values_of(resources, "aws_cloudwatch_log_metric_filter").items()
        },
        "function": [function[field] for field in FUNCTION.values()],
        "variables": sorted(variables),
        "outputs": sorted(name.replace("_", "") for name in cast("Mapping[str, object]", planned["outputs"])),
    }


def test_the_construct_describes_what_the_template_describes(tmp_path: Path) -> None:
    """The same kinds, rules, alarms, metrics, function, variables and outputs."""
    template = cast("Template", read_template(ROOT / "infra" / "template.yaml"))
    assert of_stack(template) == of_stack(plain_stack(tmp_path))


def test_the_module_describes_what_the_template_describes(module: Path) -> None:
    """As planned, with what the template has under a condition."""
    template = cast("Template", read_template(ROOT / "infra" / "template.yaml"))
    build(module / "listener.zip")
    (module / "terraform.tfvars.json").write_text(json.dumps(CHOSEN))
    with EmbeddedAws() as aws, pytest.MonkeyPatch.context() as patch:
        use(aws, patch)
        terraform(module, "plan", "-no-color", "-out=planned")
    planned = json.loads(terraform(module, "show", "-json", "planned"))["planned_values"]
    assert of_stack(template) == of_module(planned)
