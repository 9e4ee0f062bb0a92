"""The stack's template: what it lints as, which events it sends, and what the listener may do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped] # it knows CloudFormation's tags

from rotation_listener.events import API_CALLS, SERVICE_EVENTS, Sweep, parse
from rotation_listener.handler import handler
from rotation_listener.listener import Settings
from tests.listener.test_events import at
from tools.build_listener import ROOT

PATH = ROOT / "infra" / "template.yaml"
EVENTS = "Resources.Listener.Properties.Events"


@pytest.fixture(scope="module")
def template() -> object:
    """The template as JSON."""
    decoded, problems = decode(str(PATH))
    assert not problems
    plain: object = json.loads(json.dumps(decoded))
    return plain


def test_the_template_has_no_fault() -> None:
    """cfn-lint finds nothing, warnings included."""
    lint = Path(sys.executable).with_name("cfn-lint")
    answer = subprocess.run([lint, PATH], capture_output=True, text=True, check=False)
    assert (0, "", "") == (answer.returncode, answer.stdout, answer.stderr)


def test_the_rules_send_what_the_listener_understands(template: object) -> None:
    """The names of calls and events in the rules are those that are parsed, no more and no less."""
    pattern = f"{EVENTS}.{{}}.Properties.Pattern.detail.eventName"
    assert sorted(API_CALLS) == at(template, pattern.format("SecretApiCall"))
    assert sorted(SERVICE_EVENTS) == at(template, pattern.format("SecretServiceEvent"))


def test_the_native_rule_sends_every_label(template: object) -> None:
    """Custom labels too: the rule filters by the kind of event alone."""
    pattern = at(template, f"{EVENTS}.SecretLabelUpdated.Properties.Pattern")
    assert {"source": ["aws.secretsmanager"], "detail-type": ["Secret Label Updated"]} == pattern


def test_the_schedule_asks_for_a_sweep(template: object) -> None:
    """The schedule's input is the sweep's request, every five minutes."""
    schedule = f"{EVENTS}.Sweep.Properties"
    assert "rate(5 minutes)" == at(template, f"{schedule}.Schedule")
    assert Sweep() == parse(json.loads(str(at(template, f"{schedule}.Input"))))


def test_the_function_is_the_handler_and_has_its_settings(template: object) -> None:
    """The entry point exists, and every variable of the environment is one that is read."""
    function = "Resources.Listener.Properties"
    assert f"{handler.__module__}.{handler.__qualname__}" == at(template, f"{function}.Handler")
    values = {
        "KEYTURN_MARKER_TABLE": "t",
        "KEYTURN_NAME_PREFIXES": "a,b",
        "KEYTURN_PARAMETER_PREFIXES": "/a/, /b/",
        "KEYTURN_SETTLE_S": "3",
    }
    variables = at(template, f"{function}.Environment.Variables")
    assert isinstance(variables, dict)
    assert values.keys() == variables.keys()
    assert Settings("t", ("a", "b"), 3.0, ("/a/", "/b/")) == Settings.of(values)


def test_the_listener_may_do_what_it_does_and_cannot_read_a_value(template: object) -> None:
    """Its role has these actions and no other, and what is on every resource only lists."""
    statements = at(template, "Resources.ListenerRole.Properties.Policies[0].PolicyDocument.Statement")
    assert isinstance(statements, list)
    statements = [one["Fn::If"][1] if "Fn::If" in one else one for one in statements]
    actions = [[one["Action"]] if isinstance(one["Action"], str) else one["Action"] for one in statements]
    assert [
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecrets",
        "sqs:SendMessage",
        "ssm:DescribeParameters",
    ] == sorted(action for some in actions for action in some)
    everywhere = [one["Action"] for one in statements if one["Resource"] == "*"]
    assert ["secretsmanager:ListSecrets", "ssm:DescribeParameters"] == everywhere
