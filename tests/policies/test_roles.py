"""Each role's policy: what it allows, under which conditions, and that the template has the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from keyturn.errors import ConfigurationError
from keyturn.model.fields import Json
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import Statement, document
from tests.listener.test_events import at
from tests.templates import read_template
from tools.build_listener import ROOT

PLACE = Place("eu-west-1", "111122223333")
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db"
PARAMETERS = "arn:aws:ssm:eu-west-1:111122223333:parameter"
TABLE = "arn:aws:dynamodb:eu-west-1:111122223333:table/markers"
NO_VALUE = {"Ref": "AWS::NoValue"}
KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"


def by_sid(statements: Sequence[Statement]) -> Mapping[str, Statement]:
    """The statements by their names."""
    found = {statement.sid: statement for statement in statements}
    assert len(found) == len(statements)
    return found


def allowed(statements: Sequence[Statement]) -> list[str]:
    """All actions, in order of the alphabet."""
    return sorted(action for statement in statements for action in statement.actions)


def test_a_reader_of_one_secret_may_read_it_and_its_marker() -> None:
    """One action on one secret, and the head and one marker of the table, by key."""
    statements = roles.reader(PLACE, secrets=["prod/db"], marker_table="markers")
    keys = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ("head", SECRET)}}
    assert (
        Statement("ReadSecrets", ("secretsmanager:GetSecretValue",), (f"{SECRET}-??????",)),
        Statement("ReadMarkers", ("dynamodb:BatchGetItem", "dynamodb:GetItem"), (TABLE,), keys),
    ) == statements


def test_a_reader_that_reports_may_put_items_into_that_table_only() -> None:
    """One action on one table: no marker can be written with it, and no report read or removed."""
    statements = roles.reader(
        PLACE, secrets=["prod/db"], marker_table="markers", convergence_table="convergence"
    )
    assert roles.reader(PLACE, secrets=["prod/db"], marker_table="markers") == statements[:-1]
    table = TABLE.replace("markers", "convergence")
    assert Statement("ReportVersions", ("dynamodb:PutItem",), (table,)) == statements[-1]


def test_a_group_of_secrets_has_a_group_of_markers() -> None:
    """With `*` in a name the keys are compared as patterns: StringEquals would take `*` as a character."""
    markers = by_sid(roles.reader(PLACE, secrets=["prod/*"], marker_table="markers"))["ReadMarkers"]
    (operator,) = markers.conditions
    assert "ForAllValues:StringLike" == operator


def test_parameters_are_read_singly_and_by_path() -> None:
    """A path is allowed as such, and what was found below it to be read again by name."""
    statements = by_sid(roles.reader(PLACE, parameters=["/prod/db"], paths=["/prod/app"]))
    assert (f"{PARAMETERS}/prod/db", f"{PARAMETERS}/prod/app/*") == statements["ReadParameters"].resources
    assert (f"{PARAMETERS}/prod/app",) == statements["ReadPaths"].resources
    assert ("ssm:GetParametersByPath",) == statements["ReadPaths"].actions


def test_a_reference_to_a_secret_is_that_secret() -> None:
    """Parameter Store passes it through; it is read from Secrets Manager, whatever its stage."""
    referred = "/aws/reference/secretsmanager/prod/db:AWSPENDING"
    expected = roles.reader(PLACE, secrets=["prod/db"], marker_table="markers")
    assert expected == roles.reader(PLACE, parameters=[referred], marker_table="markers")


def test_a_key_is_used_through_its_service_for_what_it_encrypts() -> None:
    """Neither another service nor another secret's ciphertext: both are conditions."""
    statements = by_sid(roles.reader(PLACE, secrets=["prod/db"], parameters=["/prod/db"], keys=[KEY]))
    secrets, parameters = statements["UseSecretKeys"], statements["UseParameterKeys"]
    assert (("kms:Decrypt",), [KEY]) == (secrets.actions, secrets.resources)
    assert {
        "StringEquals": {"kms:ViaService": ["secretsmanager.eu-west-1.amazonaws.com"]},
        "StringLike": {"kms:EncryptionContext:SecretARN": (f"{SECRET}-??????",)},
    } == secrets.conditions
    assert {
        "StringEquals": {"kms:ViaService": ["ssm.eu-west-1.amazonaws.com"]},
        "StringLike": {"kms:EncryptionContext:PARAMETER_ARN": (f"{PARAMETERS}/prod/db",)},
    } == parameters.conditions


def test_a_key_by_alias_is_any_key_with_that_alias() -> None:
    """The alias is in a condition, never in the resource."""
    used = by_sid(roles.reader(PLACE, secrets=["prod/db"], key_aliases=["alias/my-app"]))
    statement = used["UseSecretKeysByAlias"]
    assert ["arn:aws:kms:eu-west-1:111122223333:key/*"] == statement.resources
    assert {"kms:ResourceAliases": ["alias/my-app"]} == statement.conditions["ForAnyValue:StringEquals"]
    assert "kms:EncryptionContext:SecretARN" in statement.conditions["StringLike"]


def test_a_reader_of_one_stage() -> None:
    """`stages` limits what may be asked for."""
    (statement,) = roles.reader(PLACE, secrets=["prod/db"], stages=["AWSCURRENT"])
    assert {"StringEquals": {"secretsmanager:VersionStage": ["AWSCURRENT"]}} == statement.conditions


def test_only_readers_and_rotation_functions_may_read_a_value() -> None:
    """Neither the listener nor an announcer may read a secret, use a key, or read any value."""
    listener = roles.listener(PLACE, marker_table="markers", parameters=True)
    announcer = roles.announcer(PLACE, secrets=["prod/db"], marker_table="markers")
    readers = {"secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue", "kms:Decrypt"}
    readers |= {"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory"}
    assert not readers.intersection([*allowed(listener), *allowed(announcer)])


def test_an_announcer_may_write_its_own_markers_only() -> None:
    """The head, and the marker of each secret that it announces for; no Scan, no delete."""
    statements = by_sid(roles.announcer(PLACE, secrets=["prod/db"], marker_table=TABLE))
    told = statements["AnnounceSteps"]
    assert ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem") == told.actions
    assert {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ("head", SECRET)}} == told.conditions


def test_a_rotation_function_may_rotate_its_secret_and_read_the_admins() -> None:
    """Four calls on its secret, one on the other user's, a new password, and its announcements."""
    statements = by_sid(
        roles.rotation(
            PLACE, secrets=["prod/db"], admin_secrets=["admin"], keys=[KEY], marker_table="markers"
        )
    )
    assert ("secretsmanager:GetSecretValue",) == statements["ReadSecrets"].actions
    assert (f"{SECRET}-??????",) == statements["RotateSecrets"].resources
    assert ("kms:Decrypt", "kms:GenerateDataKey") == statements["UseSecretKeys"].actions
    stars = [one.sid for one in statements.values() if "*" in one.resources]
    assert ["MakePasswords"] == stars


def test_only_what_knows_no_resource_is_allowed_on_all() -> None:
    """ListSecrets and DescribeParameters: the rest of the listener's policy names what it is about."""
    statements = roles.listener(PLACE, marker_table="markers", prefixes=["prod/"], parameters=True)
    assert ["ListSecrets", "ListParameters"] == [one.sid for one in statements if "*" in one.resources]
    assert by_sid(statements)["LookAtSecrets"].resources[0].endswith(":secret:prod/*")


@pytest.mark.parametrize("parameters", [False, True])
def test_the_templates_listener_has_this_policy(*, parameters: bool) -> None:
    """One truth: with the template's own resources in it, `listener` gives the template's statements.

    With parameters it has what `--parameters` adds, and without none of it.
    """
    path = "Resources.ListenerRole.Properties.Policies[0].PolicyDocument"
    log_group = "arn:aws:logs:eu-west-1:111122223333:log-group:listener:*"
    queue = "arn:aws:sqs:eu-west-1:111122223333:undelivered"
    known = {"MarkerTable": TABLE, "ListenerLog": log_group, "Undelivered": queue}
    chosen = {"SweepsParameters": parameters}
    template = resolved(at(read_template(ROOT / "infra" / "template.yaml"), path), known, chosen)
    made = roles.listener(PLACE, marker_table=TABLE, parameters=parameters, log_group=log_group, queue=queue)
    assert template == document(made)


@pytest.mark.parametrize("converges", [False, True])
def test_the_templates_reader_may_report_as_it_is_printed(*, converges: bool) -> None:
    """The statement that `keyturn policy reader --convergence-table` adds, and without the table none."""
    path = "Resources.ReaderPolicy.Properties.PolicyDocument"
    fleet = TABLE.replace("markers", "convergence")
    known = {"MarkerTable": TABLE, "ConvergenceTable": fleet}
    chosen = {"HasTableKey": False, "Converges": converges, "ConvergesWithTableKey": False}
    template = resolved(at(read_template(ROOT / "infra" / "template.yaml"), path), known, chosen)
    printed = roles.reader(PLACE, marker_table=TABLE, convergence_table=fleet if converges else None)
    made, stacks = (
        cast("list[dict[str, object]]", at(one, "Statement")) for one in (document(printed), template)
    )
    # The stack knows no names of secrets, so its readers may read every marker.
    assert [{**one, "Condition": None} for one in made] == [{**one, "Condition": None} for one in stacks]


def resolved(node: object, arns: Mapping[str, str], chosen: Mapping[str, bool]) -> object:
    """A part of a template with its `!GetAtt X.Arn`, conditions and pseudo parameters filled in."""
    match node:
        case {"Fn::GetAtt": [str(name), "Arn"]}:
            return arns[name]
        case {"Fn::If": [str(condition), then, otherwise]}:
            return resolved(then if chosen[condition] else otherwise, arns, chosen)
        case {"Fn::Sub": str(text)}:
            text = text.replace("${AWS::Partition}", "aws").replace("${AWS::Region}", PLACE.region)
            return text.replace("${AWS::AccountId}", PLACE.account)
        case dict():
            return {key: resolved(value, arns, chosen) for key, value in node.items()}
        case list():
            values = [resolved(value, arns, chosen) for value in node]
            return [value for value in values if value != NO_VALUE]
    return node


def test_a_document_is_what_iam_takes() -> None:
    """The version that knows variables and conditions, one statement each, a single value unwrapped."""
    expected: Json = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadSecrets",
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": f"{SECRET}-??????",
            }
        ],
    }
    assert expected == document(roles.reader(PLACE, secrets=["prod/db"]))


def test_an_empty_policy_and_one_that_is_too_long_are_refused() -> None:
    """IAM would refuse both, with less advice."""
    with pytest.raises(ConfigurationError, match="would allow nothing"):
        document(roles.reader(PLACE, marker_table=None))
    with pytest.raises(ConfigurationError, match=r"10240.*name groups"):
        document(roles.reader(PLACE, secrets=[f"prod/{number}" for number in range(200)]))
