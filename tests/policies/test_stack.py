"""One source: templates and modules have the statements that `keyturn policy` prints, in every choice."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import cast

import pytest

from keyturn.model.slots import SLOTS
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import document
from tests.listener.test_events import at
from tests.policies.slots import of_any_slot
from tests.templates import read_template
from tools.build_listener import ROOT
from tools.stack_policies import PREFIXES_MAX, UNUSED, main

PLACE = Place("eu-west-1", "111122223333")
TABLE = "arn:aws:dynamodb:eu-west-1:111122223333:table/markers"
FLEET = TABLE.replace("markers", "convergence")
QUEUE = "arn:aws:sqs:eu-west-1:111122223333:undelivered"
LOG_GROUP = "arn:aws:logs:eu-west-1:111122223333:log-group:listener:*"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
BUCKET = "arn:aws:s3:::trail"
ARNS = {
    "ConvergenceTable": FLEET,
    "CounterLog": LOG_GROUP,
    "FunctionLog": LOG_GROUP,
    "ListenerLog": LOG_GROUP,
    "MarkerTable": TABLE,
    "TrailBucket": BUCKET,
    "Undelivered": QUEUE,
    **{
        name: f"arn:aws:events:eu-west-1:111122223333:rule/{name}"
        for name in ("CloudTrailEvent", "Count", "ParameterChange", "SecretLabelUpdated", "Sweep")
    },
}
LISTENER = "Resources.ListenerRole.Properties.Policies[0].PolicyDocument"
COUNTER = "Resources.CounterRole.Properties.Policies[0].PolicyDocument"
READER = "Resources.ReaderPolicy.Properties.PolicyDocument"
QUEUE_POLICY = "Resources.UndeliveredPolicy.Properties.PolicyDocument"
ROTATION = "Resources.FunctionRole.Properties.Policies[0].PolicyDocument"
TABLE_POLICY = "Resources.MarkerTable.Properties.ResourcePolicy"
BUCKET_POLICY = "Resources.TrailBucketPolicy.Properties.PolicyDocument"
NO_VALUE = {"Ref": "AWS::NoValue"}


@dataclass(frozen=True)
class Deployed:
    """What CloudFormation makes of a template's parts: its own functions, reckoned as documented."""

    prefixes: tuple[str, ...] = ()
    chosen: Mapping[str, bool] = field(default_factory=dict)
    template: str = "template.yaml"
    parameters: Mapping[str, str] = field(default_factory=lambda: {"TableKeyArn": KEY})

    def policy(self, path: str) -> object:
        return self.resolved(at(read_template(ROOT / "infra" / self.template), path))

    def resolved(self, node: object) -> object:
        match node:
            case {"Fn::GetAtt": [str(name), "Arn"]}:
                return ARNS[name]
            case {"Ref": str(name)} if name in self.parameters:
                return self.parameters[name]
            case {"Fn::If": [str(condition), then, otherwise]}:
                return self.resolved(then if self.chosen.get(condition, False) else otherwise)
            case {"Fn::Select": [int(number), values]}:
                return cast("list[object]", self.resolved(values))[number]
            case {"Fn::Split": [str(between), text]}:
                return str(self.resolved(text)).split(between)
            case {"Fn::Join": [str(between), values]}:
                return between.join(cast("list[str]", self.resolved(values)))
            case {"Fn::Sub": text}:
                return self.substituted(text)
            case dict():
                return {key: self.resolved(value) for key, value in node.items()}
            case list():
                values = [self.resolved(value) for value in node]
                return [value for value in values if value != NO_VALUE and not is_unused(value)]
        return node

    def substituted(self, node: object) -> str:
        text, own = node if isinstance(node, list) else (node, {})
        return self.filled(str(text), {name: str(self.resolved(value)) for name, value in own.items()})

    def filled(self, text: str, own: Mapping[str, str]) -> str:
        known = {
            "AWS::AccountId": PLACE.account,
            "AWS::Partition": "aws",
            "AWS::Region": PLACE.region,
            "NamePrefixes": ",".join(self.prefixes),
            **self.parameters,
            **{f"{name}.Arn": arn for name, arn in ARNS.items()},
            **own,
        }
        return re.sub(r"\$\{([\w.:]+)\}", lambda name: known[name[1]], text)


def is_unused(value: object) -> bool:
    """Whether this stands for a prefix that was not given."""
    if isinstance(value, str):
        return UNUSED in value and not value.startswith("head#")
    return value == {"prefix": UNUSED}


def normalised(policy: object) -> object:
    """A policy whose lists of one are that one, as IAM takes them alike."""
    match policy:
        case {"Statement": list(statements)}:
            return {"Statement": [normalised(one) for one in statements]}
        case dict():
            return {key: normalised(value) for key, value in policy.items()}
        case [one]:
            return one
    return policy


PREFIXES = [(), ("prod/",), tuple(f"team{number}/" for number in range(PREFIXES_MAX))]
CHOICES = list(itertools.product([False, True], repeat=2))


@pytest.mark.parametrize("prefixes", PREFIXES, ids=len)
@pytest.mark.parametrize(("parameters", "key"), CHOICES)
def test_the_templates_listener_has_the_printed_policy(
    prefixes: tuple[str, ...], *, parameters: bool, key: bool
) -> None:
    """In every choice of the stack: any number of prefixes, with parameters, with a key of its own."""
    deployed = Deployed(prefixes, {"SweepsParameters": parameters, "HasTableKey": key})
    printed = roles.listener(
        PLACE,
        marker_table=TABLE,
        prefixes=prefixes,
        parameters=parameters,
        log_group=LOG_GROUP,
        queue=QUEUE,
        table_key=KEY if key else None,
    )
    assert normalised(document(printed)) == normalised(deployed.policy(LISTENER))


@pytest.mark.parametrize(("parameters", "key"), CHOICES)
def test_the_templates_counter_has_the_printed_policy(*, parameters: bool, key: bool) -> None:
    """Reports, lists and descriptions; no marker and no value."""
    printed = roles.counter(
        PLACE,
        convergence_table=FLEET,
        parameters=parameters,
        log_group=LOG_GROUP,
        table_key=KEY if key else None,
    )
    deployed = Deployed(("prod/",), {"SweepsParameters": parameters, "HasTableKey": key})
    assert normalised(document(printed)) == normalised(deployed.policy(COUNTER))


@pytest.mark.parametrize("prefixes", PREFIXES, ids=len)
@pytest.mark.parametrize(("converges", "key"), CHOICES)
def test_the_templates_reader_has_the_printed_policy(
    prefixes: tuple[str, ...], *, converges: bool, key: bool
) -> None:
    """With the keys of the watched secrets' markers, as `keyturn policy reader --secret PREFIX*` has them.

    Where the stack writes the table's name into a parameter, a reader may read that one.
    """
    chosen = {"HasTableKey": key, "Converges": converges, "ConvergesWithTableKey": converges and key}
    chosen["HasTableParameter"] = not key
    given = {"TableKeyArn": KEY, "TableParameter": "/keyturn/marker-table"}
    made = roles.marker_reader(
        PLACE,
        marker_table=TABLE,
        prefixes=prefixes,
        table_parameters=[] if key else ["/keyturn/marker-table"],
        convergence_table=FLEET if converges else None,
        table_key=KEY if key else None,
    )
    deployed = Deployed(prefixes, chosen, parameters=given)
    assert normalised(document(made)) == normalised(deployed.policy(READER))
    secrets = [f"{prefix}*" for prefix in prefixes or ("",)]
    printed = roles.reader(PLACE, secrets=secrets, parameters=["*", "/aws/service/*"], marker_table=TABLE)
    (of_markers,) = (one for one in printed if one.sid == "ReadMarkers")
    assert of_markers == made[0]


NAMES = {
    "SecretName": "prod/db",
    "AdminSecretName": "prod/admin",
    "SecretKeyArns": f"{KEY},{KEY[:-1]}6",
    "MarkerTable": "markers",
    "ConvergenceTable": "convergence",
    "TableKeyArn": KEY,
}
CONDITIONS = ("HasAdminSecret", "HasSecretKeys", "ListsVersions", "CountsReports", "HasTableKey", "InVpc")


@pytest.mark.parametrize("chosen", [(), *((one,) for one in CONDITIONS), CONDITIONS[:2], CONDITIONS])
def test_the_rotation_functions_template_has_the_printed_policy(chosen: tuple[str, ...]) -> None:
    """In each choice of its stack alone, and in all of them together."""
    has = {name: name in chosen for name in CONDITIONS}
    has["HasAdminKeys"] = has["HasAdminSecret"] and has["HasSecretKeys"]
    keys = NAMES["SecretKeyArns"].split(",") if has["HasSecretKeys"] else []
    printed = roles.rotation(
        PLACE,
        secrets=[NAMES["SecretName"]],
        admin_secrets=[NAMES["AdminSecretName"]] if has["HasAdminSecret"] else [],
        keys=keys,
        marker_table=NAMES["MarkerTable"],
        convergence_table=NAMES["ConvergenceTable"] if has["CountsReports"] else None,
        table_key=KEY if has["HasTableKey"] else None,
        lists_versions=has["ListsVersions"],
    )
    run = roles.function(log_group=LOG_GROUP, in_vpc=has["InVpc"])
    deployed = Deployed(chosen=has, template="rotation.yaml", parameters=NAMES)
    policy = normalised(deployed.policy(ROTATION))
    assert of_any_slot(normalised(document((*printed, *run)))) == of_any_slot(policy)
    # A template cannot hash the secret's name, so it has the attributes of every slot.
    statements = cast("list[Mapping[str, object]]", at(policy, "Statement"))
    (told,) = (one for one in statements if one["Sid"] == "TellHeads")
    slots = [name for number in range(SLOTS) for name in (f"n{number}", f"e{number}")]
    named = at(told, "Condition.ForAllValues:StringEquals.dynamodb:Attributes")
    assert ["pk", "counter", *slots] == named


def test_a_place_that_is_not_used_allows_nothing() -> None:
    """No secret's name has the character that stands for a prefix that was not given."""
    template = cast("Mapping[str, object]", read_template(ROOT / "infra" / "template.yaml"))
    allowed = str(at(template, "Parameters.NamePrefixes.AllowedPattern"))
    for prefixes in ("", "prod/", "a,b", ",".join("abcdefghij")):
        assert re.fullmatch(allowed, prefixes)
    for wrong in ("prod/*", "a b", "a, b", "a,", ",a", "${X}", "?", UNUSED, ",".join("abcdefghijk")):
        assert not re.fullmatch(allowed, wrong), wrong
    raw = Deployed(("prod/",)).policy(LISTENER)
    resources = at(raw, "Statement[0].Resource")
    patterns = [resources] if isinstance(resources, str) else cast("list[str]", resources)
    secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:{}-AbCdEf"
    assert [True, False, False] == [
        any(fnmatchcase(secret.format(name), pattern) for pattern in patterns)
        for name in ("prod/db", "dev/db", "x")
    ]


def test_all_files_are_as_they_are_made(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m tools.stack_policies` would change neither a template nor a module."""
    assert (0, "") == (main(["--check"]), capsys.readouterr().out)


READERS = ("111122223333", "444455556666")
ORGANIZATION = "o-a1b2c3d4e5"


@pytest.mark.parametrize("accounts", [(), READERS[:1], READERS], ids=len)
@pytest.mark.parametrize("organization", [None, ORGANIZATION])
def test_the_templates_table_has_the_printed_policy(
    accounts: tuple[str, ...], organization: str | None
) -> None:
    """For accounts, for an organization or for both; without any the table has no policy."""
    chosen = {"HasReaderAccounts": bool(accounts), "HasReaderOrganization": organization is not None}
    chosen["IsShared"] = any(chosen.values())
    given = {"ReaderAccounts": ",".join(accounts), "ReaderOrganization": organization or ""}
    policy = Deployed(chosen=chosen, parameters=given).policy(TABLE_POLICY)
    if not chosen["IsShared"]:
        assert NO_VALUE == policy
        return
    printed = roles.shared_table(PLACE, marker_table=TABLE, accounts=accounts, organization=organization)
    # In its own policy a table is "*": CloudFormation knows its ARN only after the table is made.
    own = [replace(one, resources=("*",)) for one in printed]
    assert normalised(document(own)) == with_single_principals(normalised(at(policy, "PolicyDocument")))


def with_single_principals(policy: object) -> object:
    """A policy whose statements with one principal have it without a list."""
    for one in cast("list[dict[str, object]]", at(policy, "Statement")):
        one["Principal"] = normalised(one["Principal"])
    return policy


@pytest.mark.parametrize(
    ("accounts", "organization"), [(READERS, ""), ((), ORGANIZATION), (READERS, ORGANIZATION), ((), "")]
)
def test_the_templates_conditions_say_who_reads(accounts: tuple[str, ...], organization: str) -> None:
    """CloudFormation's conditions come from the parameters, also where both of them are empty."""
    given = {"ReaderAccounts": ",".join(accounts), "ReaderOrganization": organization}
    conditions = at(read_template(ROOT / "infra" / "template.yaml"), "Conditions")
    has_accounts, has_organization, is_shared = (
        holds(conditions, {"Condition": name}, given)
        for name in ("HasReaderAccounts", "HasReaderOrganization", "IsShared")
    )
    assert (bool(accounts), bool(organization)) == (has_accounts, has_organization)
    assert is_shared is (has_accounts or has_organization)


def holds(conditions: object, node: object, given: Mapping[str, str]) -> bool:
    """Whether a condition of a template holds with these parameters."""
    match node:
        case {"Condition": str(name)}:
            return holds(conditions, at(conditions, name), given)
        case {"Fn::Not": [one]}:
            return not holds(conditions, one, given)
        case {"Fn::Or": list(several)}:
            return any(holds(conditions, one, given) for one in several)
        case {"Fn::Equals": [{"Ref": str(name)}, str(value)]}:
            return given[name] == value
    raise AssertionError(node)


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("counts", [False, True])
def test_the_queue_takes_events_of_the_stacks_rules_alone_and_over_tls(
    *, watched: bool, asked: bool, counts: bool
) -> None:
    """EventBridge cannot be made to send for anybody else's rule; nothing goes in or out without TLS."""
    chosen = {"WatchesCloudTrail": watched, "WatchesParameters": asked, "Converges": counts}
    policy = Deployed(chosen=chosen).policy(QUEUE_POLICY)
    rules = [ARNS["SecretLabelUpdated"]]
    rules += [ARNS["ParameterChange"]] if asked else []
    rules += [ARNS["CloudTrailEvent"]] if watched else []
    always = [ARNS["Sweep"], *([ARNS["Count"]] if counts else [])]
    send, tls = cast("list[Mapping[str, object]]", at(policy, "Statement"))
    assert {
        "Sid": "TakeEvents",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": {"ArnEquals": {"aws:SourceArn": [*rules, *always]}},
    } == send
    assert over_tls("sqs:*", QUEUE) == tls


def over_tls(actions: str, resources: object) -> object:
    """The statement that refuses everything without TLS, of whoever it is."""
    return {
        "Sid": "RefuseWithoutTLS",
        "Effect": "Deny",
        "Principal": "*",
        "Action": actions,
        "Resource": resources,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_the_trails_bucket_is_for_the_accounts_own_trails_and_over_tls() -> None:
    """Each right of CloudTrail is for trails of this account and Region; the bucket refuses plain HTTP."""
    *service, tls = cast("list[Mapping[str, object]]", at(Deployed().policy(BUCKET_POLICY), "Statement"))
    assert over_tls("s3:*", [BUCKET, f"{BUCKET}/*"]) == tls
    for statement in service:
        assert {"Service": "cloudtrail.amazonaws.com"} == statement["Principal"]
        trails = at(statement, "Condition.ArnLike.aws:SourceArn")
        assert "arn:aws:cloudtrail:eu-west-1:111122223333:trail/*" == trails
