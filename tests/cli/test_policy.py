"""`keyturn policy`: what it prints is the role's policy, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keyturn.cli.root import root
from keyturn.policies import roles
from keyturn.policies.resources import Place
from keyturn.policies.statements import Statement, document
from tests.partitions import SOVEREIGN_CLOUD

PLACE = Place("eu-west-1", "111122223333")
WHERE = ("--region", "eu-west-1", "--account", "111122223333")
KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf"
KEYS = f"--key {KEY} --key-alias alias/x"
TABLE = "--marker-table markers"
OF_TABLE = f"--table-key {KEY}"
LOG_GROUP = "arn:aws:logs:eu-west-1:111122223333:log-group:listener:*"
QUEUE = "arn:aws:sqs:eu-west-1:111122223333:undelivered"
NO_ENVIRONMENT = {"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "KEYTURN_MARKER_TABLE": ""}


def run(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    """What `keyturn policy ...` does."""
    return CliRunner().invoke(root, ["policy", *arguments], env=NO_ENVIRONMENT | (environment or {}))


CASES: Sequence[tuple[str, Sequence[Statement]]] = (
    (
        f"reader --secret a --secret b --stage AWSCURRENT --parameter /p --path /q {TABLE} {KEYS} {OF_TABLE}",
        roles.reader(
            PLACE,
            secrets=["a", "b"],
            stages=["AWSCURRENT"],
            parameters=["/p"],
            paths=["/q"],
            keys=[KEY],
            key_aliases=["alias/x"],
            marker_table="markers",
            table_key=KEY,
        ),
    ),
    (
        f"listener {TABLE} --prefix prod/ --parameters --log-group {LOG_GROUP} --queue {QUEUE} {OF_TABLE}",
        roles.listener(
            PLACE,
            marker_table="markers",
            prefixes=["prod/"],
            parameters=True,
            log_group=LOG_GROUP,
            queue=QUEUE,
            table_key=KEY,
        ),
    ),
    (
        f"counter --convergence-table fleet --parameters --log-group {LOG_GROUP} {OF_TABLE}",
        roles.counter(
            PLACE,
            convergence_table="fleet",
            parameters=True,
            log_group=LOG_GROUP,
            table_key=KEY,
        ),
    ),
    (
        f"announcer --secret a {TABLE} {OF_TABLE}",
        roles.announcer(PLACE, secrets=["a"], marker_table="markers", table_key=KEY),
    ),
    (
        f"operator {TABLE} --prefix prod/ --convergence-table fleet {OF_TABLE}",
        roles.operator(
            PLACE, marker_table="markers", prefixes=["prod/"], convergence_table="fleet", table_key=KEY
        ),
    ),
    (
        f"rotation --secret a --admin-secret b {TABLE} {KEYS} {OF_TABLE}",
        roles.rotation(
            PLACE,
            secrets=["a"],
            admin_secrets=["b"],
            keys=[KEY],
            key_aliases=["alias/x"],
            marker_table="markers",
            table_key=KEY,
        ),
    ),
    (
        f"table {TABLE} --reader-account 444455556666 --organization o-a1b2c3d4e5",
        roles.shared_table(
            PLACE, marker_table="markers", accounts=["444455556666"], organization="o-a1b2c3d4e5"
        ),
    ),
)


@pytest.mark.parametrize(("line", "statements"), CASES)
def test_each_role_is_printed_with_every_option(line: str, statements: Sequence[Statement]) -> None:
    """The answer is one JSON document, nothing else, with every option at its place."""
    result = run(*line.split(), *WHERE)
    assert (0, "") == (result.exit_code, result.stderr)
    assert document(statements) == json.loads(result.stdout)


def test_the_key_of_a_shared_table_needs_no_place() -> None:
    """The Region is that of the key's ARN."""
    told = run("table-key", *OF_TABLE.split(), "--reader-account", "444455556666")
    printed = roles.shared_table_key(Place(), table_key=KEY, accounts=["444455556666"])
    assert document(printed) == json.loads(told.stdout)


def test_region_and_table_come_from_the_environment() -> None:
    """As everywhere: AWS's own variable, and keyturn's for the table."""
    environment = {"AWS_REGION": "eu-west-1", "KEYTURN_MARKER_TABLE": "markers"}
    told = run("reader", "--secret", "a", "--account", "111122223333", environment=environment)
    assert json.loads(told.stdout) == document(roles.reader(PLACE, secrets=["a"], marker_table="markers"))


def test_an_arn_needs_neither_region_nor_account() -> None:
    """Whoever has ARNs names nothing twice."""
    arn = "arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:a-AbCdEf"
    assert arn in run("reader", "--secret", arn).stdout


def test_for_a_template_everything_is_where_the_stack_is() -> None:
    """Region, account and partition are left to CloudFormation, and the table to a parameter of it."""
    told = run("reader", "--template", "--secret", "a", "--marker-table", "${MarkerTable}", *WHERE)
    secret, markers = json.loads(told.stdout)["Statement"]
    here = "${AWS::Region}:${AWS::AccountId}"
    assert {"Fn::Sub": f"arn:${{AWS::Partition}}:secretsmanager:{here}:secret:a-??????"} == secret["Resource"]
    assert {"Fn::Sub": f"arn:${{AWS::Partition}}:dynamodb:{here}:table/${{MarkerTable}}"} == markers[
        "Resource"
    ]
    (keys,) = markers["Condition"]["ForAllValues:StringLike"].values()
    key = {"Fn::Sub": f"arn:${{AWS::Partition}}:secretsmanager:{here}:secret:a"}
    assert ["head", "head#*", key] == keys


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        pytest.param("eusc-de-east-1", "aws-eusc", marks=SOVEREIGN_CLOUD),
    ],
)
def test_the_partition_follows_the_region(region: str, partition: str) -> None:
    """China, GovCloud and the European Sovereign Cloud have ARNs of their own."""
    told = run("reader", "--secret", "a", "--region", region, "--account", "111122223333")
    assert f"arn:{partition}:secretsmanager:{region}:" in told.stdout


@pytest.mark.parametrize("environment", [{"AWS_PROFILE": "nobody"}, {"AWS_CONFIG_FILE": __file__}])
def test_no_setting_of_the_developer_matters(environment: dict[str, str]) -> None:
    """No API is called: a profile that is missing, or a configuration that is none, is nothing to read."""
    told = run("reader", "--secret", "a", *WHERE, environment=environment)
    assert (0, document(roles.reader(PLACE, secrets=["a"]))) == (told.exit_code, json.loads(told.stdout))


def test_regions_of_the_users_own_data_are_known(tmp_path: Path) -> None:
    """A folder of AWS_DATA_PATH is looked at first, as botocore does."""
    known = {"partitions": [{"id": "aws-own", "regions": {"own-1": {}}}]}
    (tmp_path / "partitions.json").write_text(json.dumps(known), "utf-8")
    line = ("reader", "--secret", "a", "--region", "own-1", "--account", "111122223333")
    told = run(*line, environment={"AWS_DATA_PATH": str(tmp_path)})
    assert "arn:aws-own:secretsmanager:own-1:" in told.stdout


def test_a_table_may_name_hundreds_of_accounts() -> None:
    """DynamoDB takes a longer policy than IAM takes of a role."""
    accounts = [part for number in range(700) for part in ("--reader-account", str(10**11 + number))]
    assert 0 == run("table", *TABLE.split(), *accounts, *WHERE).exit_code
    assert 0 == run("table-key", *OF_TABLE.split(), *accounts).exit_code


@pytest.mark.parametrize(
    ("line", "says"),
    [
        *(
            (f"reader --secret prod/db --account 111122223333 --region {region}", "is no Region")
            for region in ("nowhere", "eu-west-99", "aws-global", "eu-west-1a")
        ),
        ("reader --secret prod/db --region eu-west-1", "account of 'prod/db' is not known"),
        ("reader --secret prod/db --account 111122223333", "Region of 'prod/db' is not known"),
        ("reader", "would allow nothing"),
        (f"reader --key arn:aws:kms:eu-west-1:111122223333:alias/x --secret {ARN}", "is an alias"),
        ("listener", "--marker-table"),
        ("announcer --marker-table markers", "--secret"),
        ("rotation", "--secret"),
        ("writer", "writer"),
    ],
)
def test_what_cannot_work_is_a_usage_error(line: str, says: str) -> None:
    """Exit code 2, nothing on stdout that could be attached, and what is wrong on stderr."""
    result = run(*line.split())
    assert (2, "") == (result.exit_code, result.stdout)
    assert says in result.stderr
