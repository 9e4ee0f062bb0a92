"""The stack's template: what it lints as, which events it sends, what it alarms on, and what may be done."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import cast

import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped] # it knows CloudFormation's tags
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from keyturn.freshness import DEFAULTS
from keyturn.recording import LIST_LAG_S, Swept
from keyturn.reports import EXPIRES
from keyturn.sources.catalog import Tag
from rotation_listener.events import API_CALLS, SERVICE_EVENTS, Sweep, parse
from rotation_listener.handler import handler
from rotation_listener.listener import Settings
from tests.listener.test_events import at
from tools.build_listener import ROOT

PATH = ROOT / "infra" / "template.yaml"
SWEEP_EVERY_S = 300
NAMES = (
    *("Name", "AlarmName", "BucketName", "FilterName", "LogGroupName"),
    *("ManagedPolicyName", "QueueName", "RoleName", "TableName", "TrailName"),
)
"""What names a resource of the template's types; of two stacks with such a name only one could be made."""


@pytest.fixture(scope="module")
def template() -> object:
    """The template as JSON."""
    decoded, problems = decode(str(PATH))
    assert not problems
    plain: object = json.loads(json.dumps(decoded))
    return plain


def resources(template: object, kind: str) -> dict[str, dict[str, object]]:
    """The properties of the resources of one type, by their logical names."""
    every = at(template, "Resources")
    assert isinstance(every, dict)
    found = {name: one["Properties"] for name, one in every.items() if one["Type"] == kind}
    assert found
    return found


def test_the_template_has_no_fault() -> None:
    """cfn-lint finds nothing, warnings included."""
    lint = Path(sys.executable).with_name("cfn-lint")
    answer = subprocess.run([lint, PATH], capture_output=True, text=True, check=False)
    assert (0, "", "") == (answer.returncode, answer.stdout, answer.stderr)


def test_the_rules_send_what_the_listener_understands(template: object) -> None:
    """The names of calls and events in the rule are those that are parsed, no more and no less."""
    pattern = "Resources.CloudTrailEvent.Properties.EventPattern.detail.eventName"
    assert sorted(API_CALLS | SERVICE_EVENTS) == at(template, pattern)


def test_the_native_rule_sends_every_label(template: object) -> None:
    """Custom labels too: the rule filters by the kind of event alone."""
    pattern = at(template, "Resources.SecretLabelUpdated.Properties.EventPattern")
    assert {"source": ["aws.secretsmanager"], "detail-type": ["Secret Label Updated"]} == pattern


def test_the_schedule_asks_for_a_sweep(template: object) -> None:
    """The schedule's input is the sweep's request, every five minutes."""
    schedule = "Resources.Sweep.Properties"
    assert "rate(5 minutes)" == at(template, f"{schedule}.ScheduleExpression")
    assert Sweep() == parse(json.loads(str(at(template, f"{schedule}.Targets[0].Input"))))


def test_every_rule_may_invoke_the_listener_and_set_its_events_aside(template: object) -> None:
    """Each has a permission, a retry policy and the queue, whose policy names it."""
    rules = resources(template, "AWS::Events::Rule")
    permissions = resources(template, "AWS::Lambda::Permission").values()
    of_each = [{"Fn::GetAtt": [name, "Arn"]} for name in rules]
    assert of_each == [one["SourceArn"] for one in permissions]
    statement = "Resources.UndeliveredPolicy.Properties.PolicyDocument.Statement[0]"
    may_send = at(template, f"{statement}.Condition.ArnEquals.aws:SourceArn")
    assert isinstance(may_send, list)
    assert of_each == [one["Fn::If"][1] if "Fn::If" in one else one for one in may_send]
    for rule in rules.values():
        (target,) = cast("list[dict[str, object]]", rule["Targets"])
        assert {"Fn::GetAtt": ["Undelivered", "Arn"]} == at(target, "DeadLetterConfig.Arn")
        assert cast("int", at(target, "RetryPolicy.MaximumRetryAttempts")) > 0


def test_two_stacks_can_live_side_by_side(template: object) -> None:
    """No resource has a name of its own, and each stack's metrics have a namespace of its own."""
    every = at(template, "Resources")
    assert isinstance(every, dict)
    named = [(name, one) for name, it in every.items() for one in NAMES if one in it["Properties"]]
    assert [("LeaseRenewed", "LogGroupName"), ("FoundBySweep", "LogGroupName")] == named
    for one in resources(template, "AWS::Logs::MetricFilter").values():
        assert {"Ref": "ListenerLog"} == one["LogGroupName"]
        assert {"Fn::Sub": "keyturn/${AWS::StackName}"} == at(one, "MetricTransformations[0].MetricNamespace")


def test_reports_end_by_the_attribute_that_they_have(template: object) -> None:
    """The convergence table is there by choice, and DynamoDB deletes from it what is over."""
    table = at(template, "Resources.ConvergenceTable")
    assert "Converges" == at(table, "Condition")
    assert {"AttributeName": EXPIRES, "Enabled": True} == at(table, "Properties.TimeToLiveSpecification")
    assert "false" == at(template, "Parameters.Convergence.Default")


def test_everything_that_can_be_is_tagged(template: object) -> None:
    """Each resource whose type knows tags has the one by which all of keyturn is found."""
    every = at(template, "Resources")
    assert isinstance(every, dict)
    untagged = []
    for name, one in every.items():
        known = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", one["Type"]).schema["properties"]
        if "Tags" in known and one["Properties"].get("Tags") != [{"Key": "application", "Value": "keyturn"}]:
            untagged.append(name)
    assert [] == untagged


def test_each_alarm_tells_the_topic_and_has_a_metric(template: object) -> None:
    """What an alarm watches is published by Lambda or SQS, or by a filter of the stack."""
    filters = resources(template, "AWS::Logs::MetricFilter").values()
    published = {at(one, "MetricTransformations[0].MetricName") for one in filters}
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    own = {one["MetricName"] for one in alarms.values() if one["Namespace"] not in ("AWS/SQS", "AWS/Lambda")}
    assert published == own
    told = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    assert all(told == one["AlarmActions"] == one["OKActions"] for one in alarms.values())
    assert {
        "UndeliveredAlarm",
        "ErrorsAlarm",
        "ThrottlesAlarm",
        "LeaseAlarm",
        "EventPathAlarm",
    } == alarms.keys()


def test_the_lease_alarm_comes_before_the_lease_ends(template: object) -> None:
    """One failed sweep is no alarm; the second is one before copies fall back to the short TTL."""
    alarm = resources(template, "AWS::CloudWatch::Alarm")["LeaseAlarm"]
    silent_s = cast("int", alarm["Period"]) * cast("int", alarm["EvaluationPeriods"])
    assert "breaching" == alarm["TreatMissingData"]
    assert 2 * SWEEP_EVERY_S < silent_s < DEFAULTS.lease_s - LIST_LAG_S


def test_the_filters_read_what_a_sweep_logs(template: object) -> None:
    """Their fields are in the line that a good sweep writes."""
    filters = resources(template, "AWS::Logs::MetricFilter")
    assert '{ $.outcome = "swept" }' == filters["LeaseRenewed"]["FilterPattern"]
    assert "$.found_by_sweep" == at(filters["FoundBySweep"], "MetricTransformations[0].MetricValue")
    assert "found_by_sweep" in {field.name for field in fields(Swept)}


def test_the_function_is_the_handler_and_has_its_settings(template: object) -> None:
    """The entry point exists, and every variable of the environment is one that is read."""
    function = "Resources.Listener.Properties"
    assert f"{handler.__module__}.{handler.__qualname__}" == at(template, f"{function}.Handler")
    values = {
        "KEYTURN_MARKER_TABLE": "t",
        "KEYTURN_NAME_PREFIXES": "a,b",
        "KEYTURN_SECRET_TAG": "keyturn=yes",
        "KEYTURN_PARAMETER_PREFIXES": "/a/, /b/",
        "KEYTURN_SETTLE_S": "3",
    }
    variables = at(template, f"{function}.Environment.Variables")
    assert isinstance(variables, dict)
    assert values.keys() == variables.keys()
    assert Settings("t", ("a", "b"), 3.0, ("/a/", "/b/"), Tag("keyturn", "yes")) == Settings.of(values)


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
