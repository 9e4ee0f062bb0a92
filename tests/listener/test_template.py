"""The stack's template: which events it sends, what it alarms on, and what may be done."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from typing import cast

import pytest

from keyturn.aws.catalog import Tag
from keyturn.cache.limits import DEFAULTS, REPORT_TTL_S
from keyturn.convergence.counting import Standing
from keyturn.convergence.table import EXPIRES
from keyturn.markers import schema
from keyturn.markers.decisions import LIST_LAG_S
from keyturn.markers.sweeper import Swept
from rotation_listener import counter
from rotation_listener.counting import line_of
from rotation_listener.events import API_CALLS, SERVICE_EVENTS, Sweep, parse
from rotation_listener.handler import handler
from rotation_listener.listener import STACK_VARIABLE, Settings
from tests.listener.test_events import at
from tests.policies.test_stack import Deployed
from tests.templates import read_template
from tools.build_listener import ROOT

PATH = ROOT / "infra" / "template.yaml"
SWEEP_EVERY_S = COUNT_EVERY_S = 300
NAMES = (
    *("Name", "AlarmName", "BucketName", "FilterName", "LogGroupName"),
    *("ManagedPolicyName", "QueueName", "RoleName", "TableName", "TrailName"),
)
"""What names a resource of the template's types; of two stacks with such a name only one could be made."""


@pytest.fixture(scope="module")
def template() -> object:
    """The template as JSON."""
    return read_template(PATH)


def resources(template: object, kind: str) -> dict[str, dict[str, object]]:
    """The properties of the resources of one type, by their logical names."""
    every = at(template, "Resources")
    assert isinstance(every, dict)
    found = {name: one["Properties"] for name, one in every.items() if one["Type"] == kind}
    assert found
    return found


def test_the_rules_send_what_the_listener_understands(template: object) -> None:
    """The names of calls and events in the rule are those that are parsed, no more and no less."""
    pattern = "Resources.CloudTrailEvent.Properties.EventPattern.detail.eventName"
    assert sorted(API_CALLS | SERVICE_EVENTS) == at(template, pattern)


def test_parameters_are_watched_by_their_prefixes_or_not_at_all(template: object) -> None:
    """With prefixes the rule sends their events alone; without them all, or the rule is not there."""
    rule = "Resources.ParameterChange"
    conditions = at(template, "Conditions")
    assert isinstance(conditions, dict)
    assert "WatchesParameters" == at(template, f"{rule}.Condition")
    assert "WatchesParameters" == at(template, f"{rule}Permission.Condition")
    every = {"Fn::Equals": [{"Ref": "ParameterEvents"}, "true"]}
    assert {"Fn::Or": [{"Condition": "SweepsParameters"}, every]} == conditions["WatchesParameters"]
    given = {"ParameterPrefixes": "/prod/,flat"}
    pattern = at(template, f"{rule}.Properties.EventPattern.detail")
    prefixes = [{"prefix": "/prod/"}, {"prefix": "flat"}]
    expiry = {"policy-type": ["Expiration"], "parameter-name": prefixes}
    assert {"$or": [{"name": prefixes}, expiry]} == Deployed(
        chosen={"SweepsParameters": True}, parameters=given
    ).resolved(pattern)
    assert {"Ref": "AWS::NoValue"} == Deployed(parameters=given).resolved(pattern)


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
    """Each has a permission of its own, a retry policy and the queue, whose policy names it. So has Count.

    The permission is for that rule's ARN, which has the account in it, so EventBridge is nobody's deputy. A
    condition on the source's account besides would let EventBridge invoke nothing.
    """
    rules = resources(template, "AWS::Events::Rule")
    permissions = resources(template, "AWS::Lambda::Permission").values()
    of_each = [{"Fn::GetAtt": [name, "Arn"]} for name in rules]
    assert of_each == [one["SourceArn"] for one in permissions]
    functions = {
        name: {"Fn::GetAtt": ["Counter" if name == "Count" else "Listener", "Arn"]} for name in rules
    }
    assert functions == {name: at(rule, "Targets[0].Arn") for name, rule in rules.items()}
    assert [function["Fn::GetAtt"][0] for function in functions.values()] == [
        at(one, "FunctionName.Ref") for one in permissions
    ]
    assert not [one for one in permissions if "SourceAccount" in one]
    statement = "Resources.UndeliveredPolicy.Properties.PolicyDocument.Statement[0]"
    may_send = at(template, f"{statement}.Condition.ArnEquals.aws:SourceArn")
    assert isinstance(may_send, list)
    assert of_each == [one["Fn::If"][1] if "Fn::If" in one else one for one in may_send]
    for rule in rules.values():
        (target,) = cast("list[dict[str, object]]", rule["Targets"])
        assert {"Fn::GetAtt": ["Undelivered", "Arn"]} == at(target, "DeadLetterConfig.Arn")
        assert cast("int", at(target, "RetryPolicy.MaximumRetryAttempts")) > 0


def test_the_code_can_be_of_one_version_of_its_object(template: object) -> None:
    """So that nobody who may write the bucket changes what a deployment deploys."""
    code = at(template, "Resources.Listener.Properties.Code")
    pinned = {"Fn::If": ["HasCodeVersion", {"Ref": "CodeS3ObjectVersion"}, NOTHING]}
    assert {
        "S3Bucket": BUCKET,
        "S3Key": {"Ref": "CodeKey"},
        "S3ObjectVersion": pinned,
    } == code
    is_given = {"Fn::Not": [{"Fn::Equals": [{"Ref": "CodeS3ObjectVersion"}, ""]}]}
    assert is_given == at(template, "Conditions.HasCodeVersion")


def test_two_stacks_can_live_side_by_side(template: object) -> None:
    """No resource has a fixed name, and each stack's metrics have a namespace of its own.

    The parameter that names the table has the name that was asked for, or there is none.
    """
    every = at(template, "Resources")
    assert isinstance(every, dict)
    named = [(name, one) for name, it in every.items() for one in NAMES if one in it["Properties"]]
    parameter = at(template, "Resources.MarkerTableParameter")
    assert ("HasTableParameter", {"Ref": "TableParameter"}) == (
        at(parameter, "Condition"),
        at(parameter, "Properties.Name"),
    )
    assert ("HasConvergenceTableParameter", {"Ref": "ConvergenceTableParameter"}) == (
        at(template, "Resources.ConvergenceTableNameParameter.Condition"),
        at(template, "Resources.ConvergenceTableNameParameter.Properties.Name"),
    )
    assert named == [
        ("MarkerTableParameter", "Name"),
        ("LeaseRenewed", "LogGroupName"),
        ("FoundBySweep", "LogGroupName"),
        ("ConvergenceTableNameParameter", "Name"),
        ("Environments", "LogGroupName"),
        ("Behind", "LogGroupName"),
        ("OldestBehind", "LogGroupName"),
    ]
    for name, one in resources(template, "AWS::Logs::MetricFilter").items():
        log = "ListenerLog" if name in ("LeaseRenewed", "FoundBySweep") else "CounterLog"
        assert {"Ref": log} == one["LogGroupName"]
        (made,) = cast("list[dict[str, object]]", one["MetricTransformations"])
        assert ("keyturn", [{"Key": "Stack", "Value": "$.stack"}]) == (
            made["MetricNamespace"],
            made["Dimensions"],
        )
    alarms = resources(template, "AWS::CloudWatch::Alarm").values()
    own = [one for one in alarms if one["Namespace"] == "keyturn"]
    assert own
    assert all([{"Name": "Stack", "Value": {"Ref": "AWS::StackName"}}] == one["Dimensions"] for one in own)


NOTHING = {"Ref": "AWS::NoValue"}


def of_stack(parameter: str, place: str) -> object:
    """The value of a parameter that may be a name: the ARN of what has this name in the stack's own place."""
    text = f"${{{parameter}}}arn:${{AWS::Partition}}:{place}${{{parameter}}}"
    rest = {"Fn::Select": [1, {"Fn::Split": ["arn:", {"Fn::Sub": text}]}]}
    return {"Fn::Sub": ["arn:${Rest}", {"Rest": rest}]}


BUCKET_TEXT = {"Fn::Sub": "${CodeBucket}|${AWS::Region}"}
BUCKET = {
    "Fn::Select": [
        0,
        {"Fn::Split": ["|", {"Fn::Join": ["", {"Fn::Split": ["{region}|", BUCKET_TEXT]}]}]},
    ]
}
KEY = of_stack("TableKeyArn", "kms:${AWS::Region}:${AWS::AccountId}:key/")
TOPIC = of_stack("AlarmTopicArn", "sns:${AWS::Region}:${AWS::AccountId}:")
BOUNDARY = of_stack("PermissionsBoundary", "iam::${AWS::AccountId}:policy/")


@pytest.mark.parametrize(
    ("value", "given", "meant"),
    [
        (BUCKET, "code", "code"),
        (BUCKET, "code-{region}", "code-eu-west-1"),
        (KEY, "mrk-1", "arn:aws:kms:eu-west-1:111122223333:key/mrk-1"),
        (KEY, "arn:aws:kms:eu-north-1:1:key/mrk-1", "arn:aws:kms:eu-north-1:1:key/mrk-1"),
        (TOPIC, "alarn", "arn:aws:sns:eu-west-1:111122223333:alarn"),
        (TOPIC, "arn:aws:sns:eu-west-1:1:alarms", "arn:aws:sns:eu-west-1:1:alarms"),
        (BOUNDARY, "org/edge", "arn:aws:iam::111122223333:policy/org/edge"),
        (BOUNDARY, "arn:aws:iam::aws:policy/edge", "arn:aws:iam::aws:policy/edge"),
    ],
)
def test_a_name_is_of_the_stacks_own_account_and_region(value: object, given: str, meant: str) -> None:
    """So that one value of a parameter serves all stacks of a stack set; an ARN stays as it is."""
    names = ("CodeBucket", "TableKeyArn", "AlarmTopicArn", "PermissionsBoundary")
    assert meant == Deployed(parameters=dict.fromkeys(names, given)).resolved(value)


@pytest.mark.parametrize("file", ["template.yaml", "rotation.yaml"])
def test_every_role_may_have_a_boundary(file: str) -> None:
    """The organisation's, by its name or its ARN."""
    for role in resources(read_template(PATH.parent / file), "AWS::IAM::Role").values():
        assert {"Fn::If": ["HasBoundary", BOUNDARY, NOTHING]} == role["PermissionsBoundary"]


def test_the_repository_of_serverless_applications_gets_this_version(template: object) -> None:
    """What `sam publish` reads in the template is what the project says of itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    told = at(template, "Metadata.AWS::ServerlessRepo::Application")
    assert (project["name"], project["version"], project["license"], project["authors"][0]["name"]) == (
        at(told, "Name"),
        at(told, "SemanticVersion"),
        at(told, "SpdxLicenseId"),
        at(told, "Author"),
    )


def test_the_marker_table_can_be_restored_and_is_protected(template: object) -> None:
    """On demand, with point-in-time recovery, and refusing to be deleted until it is told otherwise."""
    table = "Resources.MarkerTable.Properties"
    assert "PAY_PER_REQUEST" == at(template, f"{table}.BillingMode")
    assert at(template, f"{table}.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled") is True
    assert {"Ref": "DeletionProtection"} == at(template, f"{table}.DeletionProtectionEnabled")
    assert "true" == at(template, "Parameters.DeletionProtection.Default")


def test_a_key_of_ones_own_encrypts_every_table_and_may_be_used_through_dynamodb(template: object) -> None:
    """The listener and the readers get its use with it, by no other service, and nothing without it."""
    for table in resources(template, "AWS::DynamoDB::Table").values():
        assert {
            "Fn::If": [
                "HasTableKey",
                {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY},
                NOTHING,
            ]
        } == table["SSESpecification"]
    listener = at(template, "Resources.ListenerRole.Properties.Policies[0].PolicyDocument.Statement")
    reader = at(template, "Resources.ReaderPolicy.Properties.PolicyDocument.Statement")
    assert isinstance(listener, list)
    assert isinstance(reader, list)
    conditional = [one["Fn::If"] for one in (*listener, *reader) if "Fn::If" in one]
    of_key = [(chosen, one) for chosen, one, _ in conditional if one["Resource"] == KEY]
    assert ["HasTableKey", "HasTableKey", "ConvergesWithTableKey"] == [chosen for chosen, _ in of_key]
    for _, statement in of_key:
        service = at(statement, "Condition.StringEquals.kms:ViaService")
        assert (KEY, {"Fn::Sub": "dynamodb.${AWS::Region}.amazonaws.com"}) == (
            at(statement, "Resource"),
            service,
        )


def test_what_the_listener_fails_on_goes_to_the_queue(template: object) -> None:
    """After two retries within an hour. The queue keeps it, and with it who called, no longer than a day."""
    failures = "Resources.ListenerFailures.Properties"
    queue = {"Fn::GetAtt": ["Undelivered", "Arn"]}
    assert queue == at(template, f"{failures}.DestinationConfig.OnFailure.Destination")
    assert (2, 3600) == (
        at(template, f"{failures}.MaximumRetryAttempts"),
        at(template, f"{failures}.MaximumEventAgeInSeconds"),
    )
    assert 24 * 3600 == at(template, "Resources.Undelivered.Properties.MessageRetentionPeriod")


def test_the_function_is_on_arm_with_its_own_log_and_reserves_nothing_unasked(template: object) -> None:
    """Its log ends by itself, in a group that the stack owns; reserved concurrency is a choice."""
    function = "Resources.Listener.Properties"
    assert ["arm64"] == at(template, f"{function}.Architectures")
    assert {"Ref": "ListenerLog"} == at(template, f"{function}.LoggingConfig.LogGroup")
    assert {"Ref": "LogRetentionDays"} == at(template, "Resources.ListenerLog.Properties.RetentionInDays")
    assert {"Fn::If": ["HasReservedConcurrency", {"Ref": "ReservedConcurrency"}, NOTHING]} == at(
        template, f"{function}.ReservedConcurrentExecutions"
    )
    assert "-1" == at(template, "Parameters.ReservedConcurrency.Default")


def test_the_runtime_is_the_newest_that_is_tested(template: object) -> None:
    """By pyproject.toml, which names the versions of Python that keyturn is tested with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    tested = [one.rpartition(" ")[2] for one in project["classifiers"] if "Python :: 3." in one]
    assert {"Ref": "Runtime"} == at(template, "Resources.Listener.Properties.Runtime")
    assert f"python{tested[-1]}" == at(template, "Parameters.Runtime.Default")
    choice = at(template, "Parameters.Runtime.AllowedValues")
    assert isinstance(choice, list)
    assert {f"python{one}" for one in tested} <= set(choice)


def test_a_trail_is_made_only_if_asked_for(template: object) -> None:
    """With its bucket, which outlives the stack (`policies/test_stack.py` has the bucket's policy)."""
    every = at(template, "Resources")
    assert isinstance(every, dict)
    own = {name for name, one in every.items() if one.get("Condition") == "HasOwnTrail"}
    assert {"Trail", "TrailBucket", "TrailBucketPolicy"} == own
    assert "Retain" == at(template, "Resources.TrailBucket.DeletionPolicy")
    blocked = at(template, "Resources.TrailBucket.Properties.PublicAccessBlockConfiguration")
    assert isinstance(blocked, dict)
    assert (4, True) == (len(blocked), all(blocked.values()))
    assert "of-your-trail" == at(template, "Parameters.CloudTrailEvents.Default")


def test_markers_of_deleted_secrets_end_by_the_attribute_that_they_have(template: object) -> None:
    """DynamoDB removes them; no role needs a right to delete."""
    table = at(template, "Resources.MarkerTable.Properties")
    assert {"AttributeName": schema.EXPIRES, "Enabled": True} == at(table, "TimeToLiveSpecification")


def test_reports_end_by_the_attribute_that_they_have(template: object) -> None:
    """The convergence table is there by choice, and DynamoDB deletes from it what is over."""
    table = at(template, "Resources.ConvergenceTable")
    assert "Converges" == at(table, "Condition")
    assert {"AttributeName": EXPIRES, "Enabled": True} == at(table, "Properties.TimeToLiveSpecification")
    assert "false" == at(template, "Parameters.Convergence.Default")


TAGGED = ([{"Key": "application", "Value": "keyturn"}], {"application": "keyturn"})
"""The tag as most types have it, and as parameters have it."""


def test_everything_that_can_be_is_tagged(template: object) -> None:
    """Each resource whose type knows tags has the one by which all of keyturn is found."""
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

    every = at(template, "Resources")
    assert isinstance(every, dict)
    untagged = []
    for name, one in every.items():
        known = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", one["Type"]).schema["properties"]
        tags = one["Properties"].get("Tags")
        if "Tags" in known and tags not in TAGGED:
            untagged.append(name)
    assert [] == untagged


def test_each_alarm_tells_the_topic_and_has_a_metric(template: object) -> None:
    """What an alarm watches is published by a service of AWS, or by a filter of the stack."""
    filters = resources(template, "AWS::Logs::MetricFilter").values()
    published = {at(one, "MetricTransformations[0].MetricName") for one in filters}
    # Of how many there are, and how many are behind, an idle environment may be one.
    published -= {"Environments", "Behind"}
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    watched = {(str(one["Namespace"]), one["MetricName"]) for one in alarms.values()}
    of_aws = {one for one in watched if one[0].startswith("AWS/")}
    assert published == {metric for _, metric in watched - of_aws}
    assert of_aws == PUBLISHED
    told = {"Fn::If": ["HasAlarmTopic", [TOPIC], NOTHING]}
    told_by = {name: (one.get("AlarmActions"), one.get("OKActions")) for name, one in alarms.items()}
    silent = {name for name, actions in told_by.items() if actions == (None, None)}
    assert {"LeaseAlarm", "SweptAlarm"} == silent
    assert all(actions == (told, told) for name, actions in told_by.items() if name not in silent)
    (lost,) = resources(template, "AWS::CloudWatch::CompositeAlarm").values()
    assert ([TOPIC], [TOPIC]) == (lost["AlarmActions"], lost["OKActions"])
    assert {
        "SweptAlarm",
        "UndeliveredAlarm",
        "ErrorsAlarm",
        "ThrottlesAlarm",
        "OldEventsAlarm",
        "DroppedEventsAlarm",
        "DestinationAlarm",
        "DeliveryAlarm",
        "TableReadsAlarm",
        "TableWritesAlarm",
        "LeaseAlarm",
        "EventPathAlarm",
        "BehindAlarm",
    } == alarms.keys()


PUBLISHED = {
    ("AWS/DynamoDB", "ReadThrottleEvents"),
    ("AWS/DynamoDB", "WriteThrottleEvents"),
    ("AWS/Events", "FailedInvocations"),
    ("AWS/Lambda", "AsyncEventAge"),
    ("AWS/Lambda", "AsyncEventsDropped"),
    ("AWS/Lambda", "DestinationDeliveryFailures"),
    ("AWS/Lambda", "Errors"),
    ("AWS/Lambda", "Throttles"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
}
"""The metrics of services that the alarms watch, by the names in the services' documentation."""


def test_each_alarm_says_what_happened_and_where_to_look(template: object) -> None:
    """No sentence takes back another, and the page that it names has a section on each alarm."""
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        said = str(alarm["AlarmDescription"])
        assert said.endswith(". See: keyturn help runbook"), name
        assert " but " not in said, name


def test_an_old_event_is_older_than_its_retries(template: object) -> None:
    """Lambda tries again after one and two minutes, which alone is no alarm; the age is in milliseconds."""
    alarm = resources(template, "AWS::CloudWatch::Alarm")["OldEventsAlarm"]
    assert 60 + 120 < cast("int", alarm["Threshold"]) / 1000 <= SWEEP_EVERY_S


def test_the_lease_alarm_comes_before_the_lease_ends(template: object) -> None:
    """One failed sweep is no alarm; the second is one before copies fall back to the short TTL."""
    alarm = resources(template, "AWS::CloudWatch::Alarm")["LeaseAlarm"]
    lost = at(template, "Resources.LeaseLost.Properties")
    silent_s = cast("int", alarm["Period"]) * cast("int", alarm["EvaluationPeriods"])
    waits_s = cast("int", at(lost, "ActionsSuppressorWaitPeriod"))
    assert "breaching" == alarm["TreatMissingData"]
    assert 2 * SWEEP_EVERY_S < silent_s < silent_s + waits_s < DEFAULTS.lease_s - LIST_LAG_S


def test_a_new_stack_tells_nobody_that_it_has_not_swept(template: object) -> None:
    """Without data LeaseAlarm is on. LeaseLost alone tells, and not before SweptAlarm has had its first data.

    What is missing after that is ignored, so SweptAlarm stays OK: a sweep counts at least 1. It is never on,
    so as a suppressor it only makes LeaseLost wait until both alarms have seen the first sweep.
    """
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    swept, lease = alarms["SweptAlarm"], alarms["LeaseAlarm"]
    same = ("Namespace", "MetricName", "Dimensions", "Statistic", "Threshold", "ComparisonOperator", "Period")
    assert {key: lease[key] for key in same} == {key: swept[key] for key in same}
    assert ("ignore", 1, "LessThanThreshold") == (
        swept["TreatMissingData"],
        swept["Threshold"],
        swept["ComparisonOperator"],
    )
    (lost,) = resources(template, "AWS::CloudWatch::CompositeAlarm").values()
    assert {"Fn::Sub": 'ALARM("${LeaseAlarm}") AND OK("${SweptAlarm}")'} == lost["AlarmRule"]
    assert {"Fn::GetAtt": ["SweptAlarm", "Arn"]} == lost["ActionsSuppressor"]
    assert cast("int", lost["ActionsSuppressorWaitPeriod"]) > cast("int", lease["Period"])
    others = {name: one["TreatMissingData"] for name, one in alarms.items() if "AlarmActions" in one}
    assert "breaching" not in others.values()


def test_the_filters_read_what_a_sweep_logs(template: object) -> None:
    """Their fields are in the line that a good sweep writes."""
    filters = resources(template, "AWS::Logs::MetricFilter")
    assert '{ $.outcome = "swept" }' == filters["LeaseRenewed"]["FilterPattern"]
    assert "$.found_by_sweep" == at(filters["FoundBySweep"], "MetricTransformations[0].MetricValue")
    assert "found_by_sweep" in {field.name for field in fields(Swept)}


def test_an_environment_that_does_not_follow_is_an_alarm_and_a_silent_counting_too(template: object) -> None:
    """By the time since the rotation, longer than the report of an environment that is gone may count.

    Without data the state is none: a new stack pages nobody, and the end of the counting is told. Each period
    has two counts at least.
    """
    alarm = resources(template, "AWS::CloudWatch::Alarm")["BehindAlarm"]
    assert ("OldestBehind", "Maximum", {"Ref": "BehindSeconds"}) == (
        alarm["MetricName"],
        alarm["Statistic"],
        alarm["Threshold"],
    )
    assert ("missing", alarm["AlarmActions"]) == (alarm["TreatMissingData"], alarm["InsufficientDataActions"])
    assert cast("int", alarm["Period"]) >= 2 * COUNT_EVERY_S
    assert "rate(5 minutes)" == at(template, "Resources.Count.Properties.ScheduleExpression")
    default, least = (at(template, f"Parameters.BehindSeconds.{name}") for name in ("Default", "MinValue"))
    assert REPORT_TTL_S <= cast("int", least) < cast("int", default)


def test_the_counter_is_its_handler_and_has_its_settings(template: object) -> None:
    """It is there only where there are reports, with code of the listener's package and a log of its own."""
    function = "Resources.Counter.Properties"
    assert f"{counter.__name__}.handler" == at(template, f"{function}.Handler")
    assert at(template, "Resources.Listener.Properties.Code") == at(template, f"{function}.Code")
    assert {"Ref": "CounterLog"} == at(template, f"{function}.LoggingConfig.LogGroup")
    every = at(template, "Resources")
    assert isinstance(every, dict)
    about = {name for name in every if name.startswith("Count")}
    assert {"Converges"} == {every[name]["Condition"] for name in about}
    values = {
        "KEYTURN_CONVERGENCE_TABLE": "t",
        "KEYTURN_NAME_PREFIXES": "a,b",
        "KEYTURN_SECRET_TAG": "keyturn=yes",
        "KEYTURN_PARAMETER_PREFIXES": "/a/, /b/",
    }
    variables = at(template, f"{function}.Environment.Variables")
    assert isinstance(variables, dict)
    assert {*values, STACK_VARIABLE} == variables.keys()
    read = set[str]()

    class Variables(dict[str, str]):
        def get(self, key: str, default: str = "") -> str:  # type: ignore[override] # a fake
            read.add(key)
            return super().get(key, default)

    counter.counter_of(Variables(values))
    assert values.keys() == read


def test_the_counters_filters_read_what_it_logs(template: object) -> None:
    """Their fields are in the line of a count."""
    line = line_of(Standing(2, 1, 7.5, ()))
    filters = resources(template, "AWS::Logs::MetricFilter")
    for name, field in {
        "Environments": "environments",
        "Behind": "behind",
        "OldestBehind": "oldest_behind_s",
    }.items():
        assert f"$.{field}" == at(filters[name], "MetricTransformations[0].MetricValue")
        assert f"{{ $.{field} >= 0 }}" == filters[name]["FilterPattern"]
        assert isinstance(line[field], int | float)


def test_the_function_is_the_handler_and_has_its_settings(template: object) -> None:
    """The entry point exists, and every variable of the environment is one that is read."""
    function = "Resources.Listener.Properties"
    assert f"{handler.__module__}.{handler.__qualname__}" == at(template, f"{function}.Handler")
    values = {
        "KEYTURN_MARKER_TABLE": "t",
        "KEYTURN_STACK": "keyturn",
        "KEYTURN_NAME_PREFIXES": "a,b",
        "KEYTURN_SECRET_TAG": "keyturn=yes",
        "KEYTURN_PARAMETER_PREFIXES": "/a/, /b/",
        "KEYTURN_SETTLE_S": "3",
        "KEYTURN_HEAD_COPIES": "4",
        "KEYTURN_PACE_S": "12.5",
    }
    variables = at(template, f"{function}.Environment.Variables")
    assert isinstance(variables, dict)
    assert variables.keys() == {*values, STACK_VARIABLE}
    expected = Settings("t", ("a", "b"), 3.0, ("/a/", "/b/"), Tag("keyturn", "yes"), 4, 12.5)
    assert expected == Settings.of(values)


def test_the_listener_may_do_what_it_does_and_cannot_read_a_value(template: object) -> None:
    """Its one policy has these actions and no other, and what is on every resource only lists."""
    (policy,) = cast("list[object]", at(template, "Resources.ListenerRole.Properties.Policies"))
    statements = at(policy, "PolicyDocument.Statement")
    assert isinstance(statements, list)
    statements = [one["Fn::If"][1] if "Fn::If" in one else one for one in statements]
    actions = [[one["Action"]] if isinstance(one["Action"], str) else one["Action"] for one in statements]
    assert [
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey*",
        "kms:ReEncrypt*",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecrets",
        "sqs:SendMessage",
        "ssm:DescribeParameters",
    ] == sorted(action for some in actions for action in some)
    everywhere = [one["Action"] for one in statements if one["Resource"] == "*"]
    assert ["secretsmanager:ListSecrets", "ssm:DescribeParameters"] == everywhere
