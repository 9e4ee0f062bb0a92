"""`keyturn doctor`: each thing that can be wrong is produced here, and named with its fix."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner

from benchmarks.hanging import HANGS, resolved
from keyturn.aws.faults import Fault, FaultKind
from keyturn.cache.limits import DEFAULTS
from keyturn.cli.account import Account
from keyturn.cli.doctor.command import diagnose, examine, exit_code
from keyturn.cli.doctor.events import lets_in
from keyturn.cli.doctor.finding import Cause, Finding, Level, RefusedCallError, Subject
from keyturn.cli.doctor.rules import matches
from keyturn.cli.doctor.running import WITHIN_S
from keyturn.cli.ending import EXIT_INTERRUPTED
from keyturn.cli.root import root
from keyturn.testing.fakes import FakeClock
from tests.cli.conftest import CANARY, TABLE, World
from tests.testing.processes import heed_interrupts

REGION = "eu-west-1"
FUNCTION = f"arn:aws:lambda:{REGION}:111122223333:function:listener"
NATIVE = {"source": ["aws.secretsmanager"], "detail-type": ["Secret Label Updated"]}
RULE = f"arn:aws:events:{REGION}:111122223333:rule"
RULES = [
    {"Name": "events", "Arn": f"{RULE}/events", "State": "ENABLED", "EventPattern": json.dumps(NATIVE)},
    {"Name": "sweep", "Arn": f"{RULE}/sweep", "State": "ENABLED", "ScheduleExpression": "rate(5 minutes)"},
    {"Name": "other", "State": "ENABLED", "EventPattern": '{"source": ["aws.ec2"]}'},
]
TARGETS = [{"Id": "1", "Arn": FUNCTION, "Input": '{"keyturn": "sweep"}'}]
QUEUE = [{"Id": "1", "Arn": f"arn:aws:sqs:{REGION}:111122223333:queue"}]
MAY_INVOKE: dict[str, object] = {
    "Effect": "Allow",
    "Principal": {"Service": "events.amazonaws.com"},
    "Action": "lambda:InvokeFunction",
    "Resource": FUNCTION,
}
NOT_FOUND = Fault(FaultKind.REFUSED, "ResourceNotFoundException", "not there", 400)
DENIED = Fault(FaultKind.DENIED, "AccessDeniedException", "not authorized", 400)
UNREACHABLE = Fault(FaultKind.UNAVAILABLE, "EndpointConnectionError")
SKEWED = Fault(FaultKind.CREDENTIALS_EXPIRED, "RequestTimeTooSkewed", "too far apart", 403)
EXPIRED = Fault(FaultKind.CREDENTIALS_EXPIRED, "ExpiredTokenException", "expired", 400)
THROTTLED = Fault(FaultKind.THROTTLED, "ThrottlingException", "Rate exceeded", 400)
BROKEN = Fault(FaultKind.UNAVAILABLE, "InternalServerError", "oh", 500)

Answers = dict[str, Mapping[str, object] | Fault]


def allowing(*statements: Mapping[str, object]) -> Mapping[str, object]:
    """Lambda's answer of a function's policy with these statements."""
    return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": statements})}


def by(rule: str) -> dict[str, object]:
    """The permission that the stack gives for a rule of this name."""
    return {**MAY_INVOKE, "Condition": {"ArnLike": {"AWS:SourceArn": f"{RULE}/{rule}"}}}


@dataclass
class Clinic:
    """A healthy installation whose answers a test changes: `operation` -> answer or fault."""

    clock: FakeClock = field(default_factory=FakeClock)
    answers: Answers = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers |= {
            "DescribeTable": self.described(),
            "GetItem": self.head(),
            "BatchGetItem": {},
            "ListSecrets": {},
            "ListRules": {"Rules": RULES},
            "ListTargetsByRule": {"Targets": TARGETS},
            "ListRuleNamesByTarget": {"RuleNames": ["events", "sweep"]},
            "ListFunctions": {},
            "GetCallerIdentity": {"Account": "111122223333"},
            "GetFunctionConfiguration": {"Environment": {"Variables": {"KEYTURN_MARKER_TABLE": TABLE}}},
            "GetPolicy": allowing(by("events"), by("sweep")),
            "DescribeTrails": {"trailList": [{"Name": "all", "TrailARN": "arn:trail"}]},
            "GetTrailStatus": {"IsLogging": True},
            "GetSecretValue": NOT_FOUND,
            "DescribeSecret": {},
        }

    def described(self, key: str = "pk", kind: str = "S", status: str = "ACTIVE") -> Mapping[str, object]:
        table = {
            "TableStatus": status,
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind}],
        }
        return {"Table": table}

    def head(self, swept_age_s: float | None = 301.0, **more: object) -> Mapping[str, object]:
        """The answer of a GetItem of the head, dated now."""
        swept = {} if swept_age_s is None else {"swept_as_of_s": {"N": str(self.clock.wall() - swept_age_s)}}
        item = {"pk": {"S": "head"}, "schema": {"N": "1"}, "epoch": {"S": "e"}, "counter": {"N": "7"}}
        return {"Item": {**item, **swept, **more}, **self.dated()}

    def dated(self, off_s: float = 0.0) -> Mapping[str, object]:
        from email.utils import formatdate

        date = formatdate(self.clock.wall() + off_s, usegmt=True)
        return {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
        self.calls.append(f"{service}:{operation}")
        answer = self.answers[operation]
        if isinstance(answer, Fault):
            raise RefusedCallError(f"{service}:{operation}", answer, f"https://{service}.test")
        return answer

    def findings(self, *secrets: str, table: str = TABLE) -> dict[str, Finding]:
        found = diagnose(Subject(self, table, REGION, self.clock.wall, secrets))
        return {one.check: one for one in found}


@pytest.fixture
def clinic() -> Clinic:
    """All is well in it."""
    return Clinic()


def test_a_writer_of_an_earlier_version_is_found(clinic: Clinic) -> None:
    """The sweep noted that the counter moved and no slot did; a day later that is forgotten."""
    for ago_s, level in ((600.0, Level.WRONG), (90_000.0, Level.OK)):
        noted = {"N": str(clinic.clock.wall() - ago_s)}
        clinic.answers |= {"GetItem": clinic.head(untracked={"N": "7"}, untracked_at_s=noted)}
        assert level == clinic.findings()["writers"].level


def test_each_copy_of_the_head_is_looked_at(clinic: Clinic) -> None:
    """All have the same age here; of four heads each is read."""
    clinic.findings()
    reads = clinic.calls.count("dynamodb:GetItem")
    clinic.answers |= {"GetItem": clinic.head(copies={"N": "4"})}
    clinic.calls.clear()
    assert "4 copies" in clinic.findings()["head"].what
    assert reads + 3 == clinic.calls.count("dynamodb:GetItem")
    clinic.answers |= {"GetItem": clinic.head(2000.0, copies={"N": "4"})}
    assert Level.WRONG == clinic.findings()["head"].level


def test_nothing_is_found_where_all_is_well(clinic: Clinic) -> None:
    """Every check has looked, and none complains."""
    findings = clinic.findings("prod/db")
    assert dict.fromkeys(findings, Level.OK) == {name: one.level for name, one in findings.items()}
    assert {"region", "table", "head", "markers", "clock", "rule", "schedule"} < set(findings)
    assert {"permission", "trail"} < set(findings)
    assert exit_code(findings.values()) == 0


WRONG: Sequence[tuple[str, str, Mapping[str, object] | Fault, str, str]] = (
    ("table", "DescribeTable", NOT_FOUND, "there is no table", f"create-table --table-name {TABLE} "),
    ("markers", "BatchGetItem", DENIED, "dynamodb:BatchGetItem", "keyturn policy reader"),
    ("head", "GetItem", DENIED, "dynamodb:GetItem", "allow dynamodb:GetItem"),
    ("head", "GetItem", UNREACHABLE, "https://dynamodb.test does not answer", "VPC endpoint"),
    ("secrets", "ListSecrets", UNREACHABLE, "https://secretsmanager.test does not answer", "VPC endpoint"),
    ("rule", "ListRules", {"Rules": RULES[1:]}, "there is no rule", "deploy"),
    ("schedule", "ListRules", {"Rules": RULES[:1]}, "there is no schedule", "put-rule --name listener-Sweep"),
    ("rule", "ListTargetsByRule", {"Targets": []}, "has no function as its target", "deploy"),
    ("rule", "ListTargetsByRule", {"Targets": QUEUE}, "has no function as its target", "deploy"),
    (
        "schedule",
        "ListRuleNamesByTarget",
        {"RuleNames": ["events"]},
        "there is no schedule",
        "rate(5 minutes)",
    ),
    ("rule", "GetFunctionConfiguration", NOT_FOUND, "listener, which does not exist", "help runbook"),
    ("rule", "GetFunctionConfiguration", {}, "writes no marker table", "that listener's table"),
    ("permission", "GetPolicy", NOT_FOUND, "by rule events", "add-permission --function-name listener"),
    ("permission", "GetPolicy", allowing(by("events")), "by rule sweep", f"--source-arn {RULE}/sweep"),
    ("clock", "GetItem", SKEWED, "clock is wrong", "NTP"),
    ("clock", "GetItem", {"Item": {}}, "no Date header", "proxy"),
    ("secrets", "ListSecrets", EXPIRED, "no valid credentials", "when its session ends"),
    ("secret prod/db", "GetSecretValue", DENIED, "secretsmanager:GetSecretValue", "keyturn policy reader"),
    ("secret prod/db", "DescribeSecret", NOT_FOUND, "there is no such secret", "the Region"),
)


@pytest.mark.parametrize(("check", "operation", "answer", "what", "fix"), WRONG)
def test_what_is_wrong_is_named_with_its_fix(
    clinic: Clinic, *, check: str, operation: str, answer: Mapping[str, object] | Fault, what: str, fix: str
) -> None:
    """Each by the check that is about it, as wrong: exit code 1."""
    clinic.answers[operation] = answer
    findings = clinic.findings("prod/db")
    found = findings[check]
    assert (Level.WRONG, True, True) == (found.level, what in found.what, fix in found.fix), found
    assert exit_code(findings.values()) == 1


VPC = ("events", "lambda", "cloudtrail", "sts")
"""Services to which a VPC with the documented endpoints has no way."""


def test_a_network_with_the_documented_endpoints_has_no_fault(clinic: Clinic) -> None:
    """What only the doctor calls does not answer there: unknown, and nothing for a reader to do."""

    class Network:
        def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
            if service in VPC:
                raise RefusedCallError(f"{service}:{operation}", UNREACHABLE, f"https://{service}.test")
            return clinic.call(service, operation, **request)

    findings = diagnose(Subject(Network(), TABLE, REGION, clinic.clock.wall, ["prod/db"]))
    unseen = {one.check: one.cause for one in findings if one.level is not Level.OK}
    assert dict.fromkeys(("rule", "schedule", "permission", "trail"), Cause.NO_ANSWER) == unseen
    assert {Level.OK, Level.UNKNOWN} == {one.level for one in findings}
    assert exit_code(findings) == 3


STRANGERS = f"arn:aws:dynamodb:{REGION}:444455556666:table/{TABLE}"


def test_the_table_of_another_account_is_said_to_be_of_another_account(clinic: Clinic) -> None:
    """Its rules cannot be looked at from here, though a table here has the same name."""
    findings = clinic.findings(table=STRANGERS)
    assert (Level.NOTE, Cause.OTHER_ACCOUNT) == (findings["account"].level, findings["account"].cause)
    assert "of account 444455556666, and this role is of account 111122223333" in findings["account"].what
    for check in ("rule", "schedule", "permission", "trail"):
        assert (Level.UNKNOWN, Cause.OTHER_ACCOUNT) == (findings[check].level, findings[check].cause)
    clinic.answers["GetCallerIdentity"] = {"Account": "444455556666"}
    assert clinic.findings(table=STRANGERS)["account"].level is Level.OK


def test_a_listener_of_a_table_of_that_name_in_another_account_is_another(clinic: Clinic) -> None:
    """The names are the same, and the tables are not."""
    variables = {"Variables": {"KEYTURN_MARKER_TABLE": STRANGERS}}
    clinic.answers["GetFunctionConfiguration"] = {"Environment": variables}
    for check in ("rule", "schedule"):
        found = clinic.findings()[check]
        assert (Level.WRONG, Cause.OTHER_TABLE) == (found.level, found.cause)
        assert f"writes table {STRANGERS}" in found.what


def test_hundreds_of_other_schedules_cost_no_call(clinic: Clinic) -> None:
    """One call names the listener's rules, and each list is asked for once, whichever checks need it."""
    others = [
        {"Name": f"job-{number}", "State": "ENABLED", "ScheduleExpression": "rate(1 day)"}
        for number in range(200)
    ]
    clinic.answers["ListRules"] = {"Rules": [*others, *RULES]}
    assert clinic.findings()["schedule"].level is Level.OK
    asked = [call for call in clinic.calls if call.startswith(("events:", "lambda:"))]
    assert 6 == len(asked), asked


def test_what_hangs_is_unknown_after_the_deadline(clinic: Clinic) -> None:
    """The other checks say what they found, and the call that has no answer is named."""
    hangs = threading.Event()

    class Hanging:
        def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
            if service == "events":
                hangs.wait()
            return clinic.call(service, operation, **request)

    findings = {
        one.check: one for one in diagnose(Subject(Hanging(), TABLE, REGION, clinic.clock.wall), within_s=0.2)
    }
    hangs.set()
    late = {name: one for name, one in findings.items() if one.level is not Level.OK}
    assert {"rule", "schedule", "permission"} == late.keys()
    for one in late.values():
        assert (Cause.NOT_LOOKED_AT, True) == (one.cause, "events:ListRules had no answer" in one.what)


@pytest.mark.parametrize("hangs", [True, False])
def test_a_parameter_that_has_no_answer_is_unknown(clinic: Clinic, *, hangs: bool) -> None:
    """It names the table, so what is about the table is unknown too. The rest is looked at. It was wrong."""
    end = threading.Event()
    asked: list[str] = []

    class Hanging:
        def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
            if service == "ssm":
                asked.append(operation)
                if hangs:
                    end.wait()
                raise RefusedCallError("ssm:GetParameter", UNREACHABLE, "https://ssm.test")
            return clinic.call(service, operation, **request)

    subject = Subject(Hanging(), "ssm:/keyturn/marker-table", REGION, clinic.clock.wall, ("prod/db",))
    findings = {one.check: one for one in diagnose(subject, within_s=0.5)}
    end.set()
    assert ["GetParameter"] == asked
    assert {"secrets", "secret prod/db"} == {name for name, one in findings.items() if one.level is Level.OK}
    assert {Level.OK, Level.UNKNOWN} == {one.level for one in findings.values()}
    assert "parameter" == next(iter(findings))
    says = "ssm:GetParameter had no answer" if hangs else "https://ssm.test does not answer"
    assert says in findings["parameter"].what


def test_a_parameter_that_names_no_table_is_wrong(clinic: Clinic) -> None:
    """Missing, or denied: a reader would not get the name either."""
    for fault, cause in ((NOT_FOUND, Cause.FAILED), (DENIED, Cause.DENIED)):
        clinic.answers["GetParameter"] = fault
        found = clinic.findings(table="ssm:/keyturn/marker-table")
        assert (Level.WRONG, cause) == (found["parameter"].level, found["parameter"].cause)
        assert (Level.UNKNOWN, Level.OK) == (found["table"].level, found["secrets"].level)


def test_a_defect_of_a_check_is_raised(clinic: Clinic) -> None:
    """In the thread that asked, as it would be without threads."""
    del clinic.answers["ListSecrets"]
    with pytest.raises(KeyError, match="ListSecrets"):
        clinic.findings()


def test_every_rule_of_the_listener_needs_its_permission(clinic: Clinic) -> None:
    """A rule for CloudTrail's events too; all commands are given at once."""
    trail = {"source": ["aws.secretsmanager"], "detail-type": ["AWS API Call via CloudTrail"]}
    more = {
        "Name": "trail",
        "Arn": f"{RULE}/trail",
        "State": "ENABLED",
        "EventPattern": json.dumps(trail),
    }
    clinic.answers |= {
        "ListRules": {"Rules": [*RULES, more]},
        "ListRuleNamesByTarget": {"RuleNames": ["events", "sweep", "trail"]},
        "GetPolicy": allowing(by("events")),
    }
    found = clinic.findings()["permission"]
    assert (Level.WRONG, True) == (found.level, "by rule sweep, trail" in found.what), found
    assert 2 == found.fix.count("aws lambda add-permission --function-name listener ")


def test_a_rule_that_was_deleted_gets_the_name_that_it_had(clinic: Clinic) -> None:
    """The function's policy still has it, so the rule is the stack's again and may invoke the function."""
    name = "keyturn-SecretLabelUpdated-AbCd"
    clinic.answers |= {
        "ListRules": {"Rules": RULES[1:]},
        "ListFunctions": {
            "Functions": [
                {
                    "FunctionArn": FUNCTION,
                    "Handler": "rotation_listener.handler.handler",
                    "Environment": {"Variables": {"KEYTURN_MARKER_TABLE": TABLE}},
                }
            ]
        },
        "GetPolicy": allowing(by(name), by("sweep")),
    }
    fix = clinic.findings()["rule"].fix
    assert fix.startswith(f"aws events put-rule --name {name} --event-pattern ")
    assert f" && aws events put-targets --rule {name} --targets " in fix
    assert "add-permission" not in fix


@pytest.mark.parametrize(
    ("key", "kind", "status", "says"),
    [
        ("id", "S", "ACTIVE", "its key is id (S, HASH)"),
        ("pk", "N", "ACTIVE", "its key is pk (N, HASH)"),
        ("pk", "S", "CREATING", "status is CREATING"),
    ],
)
def test_a_misshapen_table_is_found(clinic: Clinic, key: str, kind: str, status: str, says: str) -> None:
    """Another key, another type, or not ready."""
    clinic.answers["DescribeTable"] = clinic.described(key, kind, status)
    found = clinic.findings()["table"]
    assert (Level.WRONG, True) == (found.level, says in found.what)


@pytest.mark.parametrize(
    ("age_s", "level", "says"),
    [
        (DEFAULTS.lease_s - 1, Level.OK, "swept as of"),
        (DEFAULTS.lease_s + 1, Level.WRONG, "the sweep stopped"),
        (None, Level.WRONG, "never swept"),
        (-10.0, Level.WRONG, "in the future"),
    ],
)
def test_an_old_head_is_a_dead_sweep(clinic: Clinic, age_s: float | None, level: Level, says: str) -> None:
    """The lease decides, by the table's own clock."""
    clinic.answers["GetItem"] = clinic.head(age_s)
    found = clinic.findings()["head"]
    assert (level, True) == (found.level, says in found.what), found


def test_no_head_is_found(clinic: Clinic) -> None:
    """Where nothing ever swept, no marker counts."""
    clinic.answers["GetItem"] = clinic.dated()
    found = clinic.findings()["head"]
    assert (Level.WRONG, True) == (found.level, "no head" in found.what)


@pytest.mark.parametrize(
    ("off_s", "level", "says"),
    [
        (-59.0, Level.OK, "agrees"),
        (-62.0, Level.WRONG, "ahead of"),
        (59.0, Level.OK, "agrees"),
        (62.0, Level.WRONG, "behind"),
    ],
)
def test_a_clock_that_is_off_is_found(clinic: Clinic, off_s: float, level: Level, says: str) -> None:
    """Long before AWS refuses to answer, 300 s off."""
    clinic.answers["GetItem"] = clinic.dated(off_s)
    found = clinic.findings()["clock"]
    assert (level, True) == (found.level, says in found.what), found


def test_a_disabled_rule_is_found(clinic: Clinic) -> None:
    """With the command that enables it; the same for the schedule."""
    clinic.answers["ListRules"] = {"Rules": [{**one, "State": "DISABLED"} for one in RULES]}
    findings = clinic.findings()
    assert "aws events enable-rule --name events" in findings["rule"].fix
    assert "aws events enable-rule --name sweep" in findings["schedule"].fix


def test_a_listener_of_another_table_is_found(clinic: Clinic) -> None:
    """Events flow, but not into this table: both tables are named."""
    arn = f"arn:aws:dynamodb:{REGION}:111122223333:table/another"
    variables = {"Variables": {"KEYTURN_MARKER_TABLE": arn}}
    clinic.answers["GetFunctionConfiguration"] = {"Environment": variables}
    found = clinic.findings()["rule"]
    assert (Level.WRONG, True) == (found.level, f"writes table {arn}" in found.what)
    assert clinic.findings(table=arn)["rule"].level is Level.OK


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (MAY_INVOKE, True),
        (by("events"), True),
        (by("*"), True),
        ({**MAY_INVOKE, "Principal": "*", "Action": ["lambda:*"]}, True),
        ({**MAY_INVOKE, "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}}}, True),
        (by("sweep"), False),
        ({**MAY_INVOKE, "Effect": "Deny"}, False),
        ({**MAY_INVOKE, "Principal": {"Service": "s3.amazonaws.com"}}, False),
        ({**MAY_INVOKE, "Action": "lambda:GetFunction"}, False),
    ],
)
def test_which_statements_let_eventbridge_in(statement: Mapping[str, object], *, expected: bool) -> None:
    """By service, action and the rule's ARN; a condition on anything else is taken to hold."""
    assert lets_in(statement, f"{RULE}/events") is expected


def test_a_target_with_a_role_needs_no_permission(clinic: Clinic) -> None:
    """EventBridge then invokes the function with that role."""
    clinic.answers |= {
        "ListTargetsByRule": {"Targets": [{**TARGETS[0], "RoleArn": "arn:aws:iam::111122223333:role/r"}]},
        "GetPolicy": NOT_FOUND,
    }
    assert clinic.findings()["permission"].level is Level.OK


def test_rules_are_found_on_every_page(clinic: Clinic) -> None:
    """An account may have more rules than one answer holds."""

    class Paged:
        def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
            if operation != "ListRules":
                return clinic.call(service, operation, **request)
            if request.get("NextToken") == "more":
                return {"Rules": RULES[:2]}
            return {"Rules": RULES[2:], "NextToken": "more"}

    found = {one.check: one for one in diagnose(Subject(Paged(), TABLE, REGION, clinic.clock.wall))}
    assert (Level.OK, Level.OK) == (found["rule"].level, found["schedule"].level)


def test_a_target_may_be_an_alias(clinic: Clinic) -> None:
    """The commands name it, and a rule's name that no statement may have as its id."""
    rule = {**RULES[0], "Name": "events.all", "Arn": f"{RULE}/events.all"}
    clinic.answers |= {
        "ListRules": {"Rules": [rule]},
        "ListRuleNamesByTarget": {"RuleNames": ["events.all"]},
        "ListTargetsByRule": {"Targets": [{"Id": "1", "Arn": f"{FUNCTION}:live"}]},
        "GetPolicy": NOT_FOUND,
    }
    fix = clinic.findings()["permission"].fix
    assert fix.startswith(
        "aws lambda add-permission --function-name listener:live --statement-id events-all "
    )
    assert fix.endswith(f" --source-arn {RULE}/events.all")


def test_a_convergence_table_of_another_place_is_found(clinic: Clinic) -> None:
    """As the marker table is: another Region is wrong, another account worth knowing."""
    for arn, check in (
        ("arn:aws:dynamodb:us-east-1:111122223333:table/fleet", "region"),
        (f"arn:aws:dynamodb:{REGION}:444455556666:table/fleet", "account"),
    ):
        clinic.answers |= {"DescribeTimeToLive": {}, "PutItem": {}, "Scan": {}}
        subject = Subject(clinic, TABLE, REGION, clinic.clock.wall, convergence=arn)
        found = {one.check: one for one in diagnose(subject)}
        assert arn in found[check].what


def test_another_region_is_found(clinic: Clinic) -> None:
    """An ARN says where it is; the clients are elsewhere."""
    arn = "arn:aws:dynamodb:us-east-1:111122223333:table/markers"
    found = clinic.findings(table=arn)["region"]
    assert (Level.WRONG, True) == (found.level, "us-east-1" in found.what)
    assert "--region" in found.fix
    secret = "arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/db-AbCdEf"
    assert clinic.findings(secret)["region"].level is Level.WRONG


@pytest.mark.parametrize("trails", [{}, {"trailList": [{"Name": "off"}]}])
def test_a_missing_trail_is_worth_knowing_and_not_wrong(clinic: Clinic, trails: dict[str, object]) -> None:
    """It is optional: exit code 0."""
    clinic.answers |= {"DescribeTrails": trails, "GetTrailStatus": {"IsLogging": False}}
    findings = clinic.findings()
    assert (Level.NOTE, 0) == (findings["trail"].level, exit_code(findings.values()))


@pytest.mark.parametrize("fault", [DENIED, THROTTLED, BROKEN])
def test_what_could_not_be_looked_at_is_unknown(clinic: Clinic, fault: Fault) -> None:
    """A reader's role may not list rules: that is not wrong, and not well either: exit code 3."""
    clinic.answers["ListRules"] = fault
    findings = clinic.findings()
    assert (Level.UNKNOWN, True) == (findings["rule"].level, "events:ListRules" in findings["rule"].what)
    assert exit_code(findings.values()) == 3


def test_a_reader_needs_no_describe_secret(clinic: Clinic) -> None:
    """The right to read a value is what `--secret` asks about."""
    clinic.answers["DescribeSecret"] = DENIED
    assert clinic.findings("prod/db")["secret prod/db"].level is Level.OK


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (NATIVE, True),
        ({"source": ["aws.secretsmanager"]}, True),
        ({"detail-type": [{"prefix": "Secret"}]}, True),
        ({"source": ["aws.secretsmanager"], "detail-type": ["AWS API Call via CloudTrail"]}, False),
        ({"source": ["aws.ssm"]}, False),
        ({}, False),
    ],
)
def test_which_patterns_take_the_native_event(pattern: object, *, expected: bool) -> None:
    """A rule for other events is no rule for this one."""
    assert matches(json.dumps(pattern)) is expected
    assert not matches("no JSON")


def test_the_command_shows_every_finding(world: World) -> None:
    """On a bare account: the table is there, never swept, and nothing brings events. Exit code 1."""
    world.run("sweep")
    result = world.run("doctor", "--secret", "prod/db")
    assert result.exit_code == 1
    for said in ("swept as of", "there is no rule", "there is no schedule", "may call GetSecretValue"):
        assert said in result.stdout
    answer = world.asked("doctor")
    levels = {one["check"]: one["level"] for one in cast("list[dict[str, str]]", answer["findings"])}
    assert (False, "ok", "wrong") == (answer["well"], levels["table"], levels["rule"])


def test_a_real_client_finds_the_missing_table(world: World) -> None:
    """As DynamoDB's own refusal says it."""
    answer = world.asked("doctor", "--marker-table", "missing")
    found = {one["check"]: one for one in cast("list[dict[str, str]]", answer["findings"])}
    assert "there is no table missing in eu-west-1" in found["table"]["what"]
    assert "unknown" == found["clock"]["level"]


def test_an_endpoint_that_nobody_serves_is_named(world: World) -> None:
    """A closed port on this host stands for a VPC without an endpoint."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    result = world.run("doctor", environment={"AWS_ENDPOINT_URL": nobody})
    assert (1, True) == (result.exit_code, f"{nobody} does not answer" in result.stdout)
    assert CANARY not in result.output


def test_an_environment_without_a_client_is_a_finding(world: World) -> None:
    """No Region: the only finding, as JSON too, so that a program gets its document."""
    nowhere = {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}
    result = world.run("doctor", "--json", environment=nowhere)
    (found,) = json.loads(result.stdout)["findings"]
    assert (1, "clients", "no-client") == (result.exit_code, found["check"], found["cause"])
    assert "AWS_REGION" in found["fix"]


def test_a_finding_that_is_not_ok_names_its_cause(world: World) -> None:
    """In both forms, and the command says where each cause has its section."""
    findings = cast("list[dict[str, str]]", world.asked("doctor")["findings"])
    assert {one["level"] == "ok" for one in findings if not one["cause"]} == {True}
    shown = world.run("doctor").stdout
    assert [one["cause"] for one in findings if one["cause"] not in shown] == []
    assert "keyturn help runbook" in shown


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="drops SYNs as Linux does, on addresses of 127/8")
@pytest.mark.parametrize("what", [name for name, one in HANGS.items() if one.service == "secretsmanager"])
def test_an_endpoint_that_hangs_ends_in_time(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """It accepts and never answers, drops packets, or its name is not resolved: the doctor says so."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    begun_s = time.monotonic()
    with HANGS[what].begin() as endpoint, resolved(endpoint):
        environment = {"AWS_ENDPOINT_URL": endpoint.url, "KEYTURN_MARKER_TABLE": TABLE}
        result = CliRunner().invoke(root, ["doctor", "--json"], env=environment)
    assert time.monotonic() - begun_s < WITHIN_S + 5.0
    findings = {one["check"]: one["cause"] for one in json.loads(result.stdout)["findings"]}
    looked = {findings[name] for name in ("table", "head", "clock", "secrets", "rule", "trail")}
    assert looked <= {"no-answer", "not-looked-at"}, findings


@pytest.mark.proof
def test_a_parameter_store_that_hangs_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parameter that names the table is asked for once, beside all else. It was 20 s, and wrong."""
    begun_s = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        environment = {"KEYTURN_MARKER_TABLE": "ssm:/keyturn/marker-table"}
        result = CliRunner().invoke(root, ["doctor", "--json"], env=environment)
    assert time.monotonic() - begun_s < WITHIN_S + 5.0
    findings = {one["check"]: one["level"] for one in json.loads(result.stdout)["findings"]}
    assert ("unknown", "unknown") == (findings["parameter"], findings["table"])


def test_credentials_that_hang_are_unknown_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore asks for them while it makes a client. The command ended when the source did, if ever."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("keyturn.cli.doctor.command.WITHIN_S", 1.0)
    begun_s = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        result = CliRunner().invoke(root, ["doctor", "--json"], env={"KEYTURN_MARKER_TABLE": TABLE})
        assert time.monotonic() - begun_s < 5.0
    (found,) = json.loads(result.stdout)["findings"]
    assert ("clients", "unknown", "not-looked-at") == (found["check"], found["level"], found["cause"])
    assert "the source of the credentials had no answer within 1 s" in found["what"]
    assert 3 == result.exit_code


def test_a_process_without_a_standard_input_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of some supervisors and of `<&-`: Python has no `sys.stdin` there, and nobody is to be asked."""
    monkeypatch.setattr("keyturn.cli.doctor.command.sys.stdin", None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    findings = examine(Account(TABLE, REGION), (), None)
    assert "table" in {finding.check for finding in findings}


@contextmanager
def asked_for_a_code(folder: Path, endpoint: str) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """The doctor on a terminal of its own, at the prompt for an MFA code; the terminal's two ends."""
    (folder / "config").write_text(
        "[profile base]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key=test\n"
        "[profile role]\nrole_arn=arn:aws:iam::111122223333:role/r\nsource_profile=base\n"
        "mfa_serial=arn:aws:iam::111122223333:mfa/me\n"
        "[profile tool]\nrole_arn=arn:aws:iam::111122223333:role/t\nsource_profile=role\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_PROFILE": "tool",
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
    }
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "keyturn", "doctor", "--marker-table", TABLE]
    try:
        with subprocess.Popen(
            command,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=environment,
            start_new_session=True,
            preexec_fn=heed_interrupts,  # noqa: PLW1509 # the test has no threads
        ) as doctor:
            try:
                told = b""
                while b"MFA code" not in told:
                    assert select.select([ours], [], [], 20.0)[0], told
                    told += os.read(ours, 4096)
                yield doctor, ours, theirs
            finally:
                doctor.kill()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_person_is_asked_for_an_mfa_code_before_the_checks(tmp_path: Path) -> None:
    """However long the typing takes. Asked in a thread of a check, the terminal was left without an echo.

    Ctrl-C shows the difference: a prompt of the main thread puts the terminal right at once.
    """
    with asked_for_a_code(tmp_path, "http://127.0.0.1:1") as (doctor, _, theirs):
        os.kill(doctor.pid, signal.SIGINT)
        assert doctor.wait(10) == EXIT_INTERRUPTED
        assert termios.tcgetattr(theirs)[3] & termios.ECHO


@pytest.mark.e2e
def test_a_code_that_sts_does_not_answer_ends_in_seconds(tmp_path: Path) -> None:
    """The call of STS after the prompt has a deadline of its own: botocore's would be five minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with asked_for_a_code(tmp_path, endpoint) as (doctor, ours, _):
            os.write(ours, b"123456\n")
            said, _ = doctor.communicate(timeout=20.0)
    assert b"no credentials by the MFA code" in said
