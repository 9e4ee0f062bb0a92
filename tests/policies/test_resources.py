"""What IAM calls the things that a policy is about, and what cannot be meant."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from keyturn.errors import ConfigurationError
from keyturn.policies import roles
from keyturn.policies.resources import (
    Place,
    key_alias,
    key_arn,
    marker_keys,
    parameter_resource,
    path_resource,
    secret_resource,
    table_resource,
)

PLACE = Place("eu-west-1", "111122223333")
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"
TABLES = "arn:aws:dynamodb:eu-west-1:111122223333"
PARAMETER = "arn:aws:ssm:eu-west-1:111122223333:parameter"
LOGS = "arn:aws:logs:eu-west-1:111122223333:log-group:"
LONG = 512 * "n"
NO_PLACE = "is not a whole ARN: it needs a Region and an account of 12 digits"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("named", "resource"),
    [
        ("prod/db", "prod/db-??????"),
        ("/my-app/db", "/my-app/db-??????"),
        ("db-AbCdEf", "db-AbCdEf-??????"),
        ("rds!db-1b2c3d4e", "rds!db-1b2c3d4e-??????"),
        ("prod/*", "prod/*"),
        ("prod/*/db", "prod/*/db-??????"),
        (f"{SECRET}prod/db-AbCdEf", "prod/db-AbCdEf"),
        (f"{SECRET}prod/db-??????", "prod/db-??????"),
        (f"{SECRET}prod/db", "prod/db-??????"),
        (f"{SECRET}prod/*", "prod/*"),
        (f"{SECRET}{LONG}-AbCdEf", f"{LONG}-AbCdEf"),
        (f"{SECRET}{LONG}-??????", f"{LONG}-??????"),
    ],
)
def test_a_secret_by_name_and_by_arn(named: str, resource: str) -> None:
    """By name, any suffix of six and no longer name; a full ARN as it is; a leading slash stays."""
    assert SECRET + resource == secret_resource(named, PLACE)


def test_a_markers_key_is_the_arn_without_the_suffix() -> None:
    """The key in a condition is the one that the listener writes under, whatever named the secret."""
    for named in ("prod/db", f"{SECRET}prod/db", f"{SECRET}prod/db-AbCdEf"):
        assert (f"{SECRET}prod/db",) == marker_keys(secret_resource(named, PLACE))
    assert (f"{SECRET}prod/*",) == marker_keys(secret_resource("prod/*", PLACE))


@pytest.mark.parametrize(
    ("named", "resource"),
    [
        ("/prod/db", f"{PARAMETER}/prod/db"),
        ("flat", f"{PARAMETER}/flat"),
        ("/prod/*", f"{PARAMETER}/prod/*"),
        (f"{PARAMETER}/prod/db", f"{PARAMETER}/prod/db"),
        ("/aws/service/x/latest", "arn:aws:ssm:eu-west-1::parameter/aws/service/x/latest"),
    ],
)
def test_a_parameter_has_one_slash(named: str, resource: str) -> None:
    """The name's own slash is the one after `parameter`; what AWS publishes belongs to no account."""
    assert resource == parameter_resource(named, PLACE)


def test_a_public_parameter_needs_no_account() -> None:
    """It belongs to none."""
    named = "/aws/service/x/latest"
    assert parameter_resource(named, PLACE) == parameter_resource(named, Place("eu-west-1"))


@pytest.mark.parametrize(
    ("path", "resource"), [("/prod/app", "/prod/app"), ("/prod/app/", "/prod/app"), ("/", "/")]
)
def test_a_path_is_judged_by_itself(path: str, resource: str) -> None:
    """GetParametersByPath is allowed on the path, not on what is below it."""
    assert PARAMETER + resource == path_resource(path, PLACE)


def test_other_partitions() -> None:
    """The ARNs of GovCloud and China are theirs."""
    place = Place("us-gov-west-1", "111122223333", "aws-us-gov")
    assert secret_resource("x", place).startswith("arn:aws-us-gov:secretsmanager:us-gov-west-1:111122223333:")


Make = Callable[[], object]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (partial(secret_resource, "prod/db", Place("eu-west-1")), "account of 'prod/db' is not known"),
        (
            partial(secret_resource, "prod/db", Place(account="111122223333")),
            "Region of 'prod/db' is not known",
        ),
        (partial(Place, "eu-west-1", "1111-2222-3333"), "not 12 digits"),
        (partial(secret_resource, "prod db", PLACE), "letters, digits"),
        (partial(secret_resource, "", PLACE), "letters, digits"),
        (partial(secret_resource, "arn:aws:secretsmanager", PLACE), "not a whole ARN"),
        *(
            (partial(secret_resource, f"arn:aws:secretsmanager:{where}:secret:x-AbCdEf", PLACE), NO_PLACE)
            for where in (":", "eu-west-1:", ":111122223333", "eu-west-1:1111", "eu-west-1:me*")
        ),
        (partial(parameter_resource, "arn:aws:ssm:eu-west-1::parameter/prod/db", PLACE), NO_PLACE),
        (partial(parameter_resource, "arn:aws:ssm:eu-west-1::parameter/prod/*", PLACE), NO_PLACE),
        (partial(parameter_resource, "arn:aws:ssm:::parameter/aws/service/x", PLACE), NO_PLACE),
        (partial(table_resource, "arn:aws:dynamodb:::table/abc", PLACE), NO_PLACE),
        (
            partial(roles.reader, PLACE, secrets=["a"], other_tables=["arn:aws:dynamodb:::table/abc"]),
            NO_PLACE,
        ),
        (partial(key_arn, "arn:aws:kms:eu-west-1::key/1"), NO_PLACE),
        (partial(roles.function, log_group="arn:aws:logs:eu-west-1::log-group:x:*"), NO_PLACE),
        (partial(roles.listener, PLACE, marker_table="markers", queue="arn:aws:sqs:::x"), NO_PLACE),
        (partial(roles.reader, PLACE, secrets=["a"], table_key=KEY), "no table that it encrypts"),
        (partial(roles.rotation, PLACE, secrets=["a"], table_key=KEY), "no table that it encrypts"),
        (partial(roles.reader, PLACE, parameters=["/p"], stages=["AWSCURRENT"]), "no secret that has it"),
        (partial(secret_resource, f"{PARAMETER}/x", PLACE), "not the ARN of a secret"),
        (partial(secret_resource, SECRET, PLACE), "a secret's name has"),
        (partial(secret_resource, f"{SECRET}${{aws:PrincipalTag/x}}", PLACE), "a secret's name has"),
        (partial(secret_resource, f"{SECRET}prod/db\n", PLACE), "a secret's name has"),
        (partial(secret_resource, f"{SECRET}{LONG}n-AbCdEf", PLACE), "a secret's name has"),
        (partial(secret_resource, f"{LONG}n", PLACE), "a secret's name has"),
        (partial(parameter_resource, "//my-app/x", PLACE), "two slashes"),
        (partial(parameter_resource, f"{PARAMETER}//my-app/x", PLACE), "two slashes"),
        (partial(parameter_resource, "/my-app//x", PLACE), "single slashes"),
        (partial(parameter_resource, "my-app/x", PLACE), "begins with a slash"),
        (partial(parameter_resource, "/my-app/x:3", PLACE), "versions and labels"),
        (partial(parameter_resource, f"{SECRET}x", PLACE), "not the ARN of a parameter"),
        (partial(path_resource, "prod", PLACE), "begins with a slash"),
        (partial(table_resource, "arn:aws:s3:::x", PLACE), "not the ARN of a table"),
        (partial(table_resource, f"{TABLES}:backup/x", PLACE), "not the ARN of a table"),
        (partial(table_resource, "x", PLACE), "3 to 255"),
        (partial(table_resource, f"{TABLES}:table/", PLACE), "not the ARN of a table"),
        (partial(table_resource, f"{TABLES}:table/markers/index/y", PLACE), "not the ARN of a table, but"),
        (partial(table_resource, f"{TABLES}:table/markers/stream/2020", PLACE), "belongs to it"),
        (partial(roles.reader, PLACE, secrets=["a"], other_tables=["markers"]), "not the ARN of a table"),
        (partial(roles.reader, PLACE, secrets=["a"], stages=["AWSCURRENT", ""]), "a staging label is empty"),
        (partial(roles.listener, PLACE, marker_table="markers", prefixes=[""]), "a prefix is empty"),
        (partial(roles.operator, PLACE, marker_table="markers", prefixes=["a/", ""]), "a prefix is empty"),
        (partial(roles.marker_reader, PLACE, marker_table="markers", prefixes=[""]), "a prefix is empty"),
        (partial(key_arn, "arn:aws:kms:eu-west-1:111122223333:alias/my-app"), "is an alias"),
        (partial(key_arn, "alias/my-app"), "is an alias"),
        (partial(key_arn, "11111111-2222-3333-4444-555555555555"), "not the ARN of a KMS key"),
        (partial(key_arn, "arn:aws:kms:eu-west-1:111122223333:key/"), "not the ARN of a KMS key"),
        (partial(key_alias, "alias/aws/ssm"), "leave it out"),
        (partial(key_alias, "my-app"), "alias/NAME"),
        (partial(roles.reader, PLACE, keys=[KEY]), "no secret and no parameter"),
        (partial(roles.announcer, PLACE, secrets=[], marker_table="markers"), "no secret is given"),
        (partial(roles.rotation, PLACE, secrets=[]), "no secret is given"),
        (partial(roles.listener, PLACE, marker_table="markers", queue="failures"), "not the ARN of a queue"),
        (partial(roles.function, log_group="arn:aws:logs:eu-west-1:111122223333:x"), "not the ARN of a log"),
        (partial(roles.function, log_group=f"{LOGS}listener"), r"listener': end the ARN in :\*"),
        (partial(roles.function, log_group=f"{LOGS}${{Name}}"), "end the ARN in"),
        (partial(roles.listener, PLACE, marker_table="markers", log_group=f"{LOGS}x"), "end the ARN in"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Make, says: str) -> None:
    """A policy that would be silently without effect is an error that says what is wrong."""
    with pytest.raises(ConfigurationError, match=says):
        make()


@pytest.mark.parametrize("named", ["keyturn-*", "*", "keyturn-marker?", "a${Name}", "markers"])
def test_a_tables_arn_may_stand_for_several(named: str) -> None:
    """A wildcard or a template's value in the name is the caller's choice, as in the ARN of a secret."""
    assert f"{TABLES}:table/{named}" == table_resource(f"{TABLES}:table/{named}", PLACE)


@pytest.mark.parametrize("where", ["*:111122223333", "eu-west-1:*", "eu-*:1111*", "*:11112222333?"])
def test_an_arn_may_stand_for_several_places(where: str) -> None:
    """IAM takes wildcards there, and they match something."""
    arn = f"arn:aws:secretsmanager:{where}:secret:prod/db-AbCdEf"
    assert arn == secret_resource(arn, PLACE)


@pytest.mark.parametrize("name", ["aws/service/x/latest", "aws/service/*", "aws/*", "*"])
def test_what_aws_publishes_has_an_arn_without_account(name: str) -> None:
    """Also where `*` stands for it."""
    arn = f"arn:aws:ssm:eu-west-1::parameter/{name}"
    assert arn == parameter_resource(arn, PLACE)


@pytest.mark.parametrize("named", ["x:*", "x*", "*", "x:log-stream:y", "x:log-stream:*"])
def test_a_log_groups_arn_that_names_streams_is_taken(named: str) -> None:
    """IAM's `*` stands for `:log-stream:` and what follows, too."""
    (statement,) = roles.function(log_group=LOGS + named)
    assert [LOGS + named] == list(statement.resources)
