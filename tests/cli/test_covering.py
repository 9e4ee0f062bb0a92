"""`keyturn announce` with several marker tables: that of the secret's account and Region is written."""

from __future__ import annotations

import json

import boto3
import pytest

from keyturn.markers.table import MarkerTable
from tests.cli.conftest import TABLE, World

ACCOUNT, HOME, ABROAD = "123456789012", "eu-west-1", "us-east-1"
NOWHERE = f"arn:aws:secretsmanager:ap-southeast-2:{ACCOUNT}:secret:prod/db-AbCdEf"
ELSEWHERE = f"arn:aws:secretsmanager:{HOME}:444455556666:secret:prod/db-AbCdEf"


def arn_of(region: str, name: str = TABLE) -> str:
    """The ARN of a table of this account."""
    return f"arn:aws:dynamodb:{region}:{ACCOUNT}:table/{name}"


@pytest.fixture
def abroad(world: World) -> str:
    """The ARN of a secret `prod/db` in another Region that has a table, too; each table has a parameter."""
    boto3.client("dynamodb", region_name=ABROAD).create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for region in (HOME, ABROAD):
        store = boto3.client("ssm", region_name=region)
        store.put_parameter(Name="/keyturn/marker-table", Value=TABLE, Type="String")
    assert world.secrets.meta.region_name == HOME
    secrets = boto3.client("secretsmanager", region_name=ABROAD)
    return secrets.create_secret(Name="prod/db", SecretString="canary-value-never-shown")["ARN"]


def markers_in(region: str) -> set[str]:
    """The Regions of the secrets that have a marker in the table of this Region."""
    table = MarkerTable(boto3.client("dynamodb", region_name=region), TABLE)
    return {seen.key.split(":")[3] for seen in table.scan() if seen.marker is not None}


def in_home(table: str) -> dict[str, str]:
    """The environment of a process at home that follows this table, and that of the other Region."""
    named = {"KEYTURN_MARKER_TABLE": table, "KEYTURN_MARKER_TABLES": arn_of(ABROAD)}
    return {"AWS_REGION": HOME, "AWS_DEFAULT_REGION": HOME} | named


@pytest.mark.parametrize("home", [TABLE, arn_of(HOME), "ssm:/keyturn/marker-table"])
def test_the_table_of_the_secrets_region_is_written_and_named(world: World, abroad: str, home: str) -> None:
    """By the variables of a cache; a name means a secret of the own Region. No other table is written."""
    told = world.run("announce", abroad, environment=in_home(home))
    assert (0, True) == (told.exit_code, f"written in {arn_of(ABROAD)}" in told.stdout), told.output
    assert (set[str](), {ABROAD}) == (markers_in(HOME), markers_in(ABROAD))
    told = world.run("announce", "prod/db", environment=in_home(home))
    assert (0, True) == (told.exit_code, "written in " in told.stdout), told.output
    assert ({HOME}, {ABROAD}) == (markers_in(HOME), markers_in(ABROAD))


def test_tables_of_the_command_line_come_first(world: World, abroad: str) -> None:
    """Given several times; also by the parameter of another Region. JSON has the table that was written."""
    parameter = f"ssm:arn:aws:ssm:{ABROAD}:{ACCOUNT}:parameter/keyturn/marker-table"
    asked = ("announce", abroad, "--marker-table", TABLE, "--marker-table", parameter, "--json")
    told = world.run(*asked, environment=in_home("never-asked"))
    assert (arn_of(ABROAD), "written") == tuple(
        json.loads(told.stdout)[name] for name in ("table", "outcome")
    )
    assert {ABROAD} == markers_in(ABROAD)


@pytest.mark.usefixtures("abroad")
@pytest.mark.parametrize("secret", [NOWHERE, ELSEWHERE])
@pytest.mark.parametrize("home", [TABLE, arn_of(HOME)])
def test_a_secret_that_no_table_covers_is_an_error(world: World, secret: str, home: str) -> None:
    """A table that is given by its name is of the own account and Region. Nothing is written."""
    told = world.run("announce", secret, environment=in_home(home))
    assert (2, "") == (told.exit_code, told.stdout)
    region, account = secret.split(":")[3:5]
    assert f"none of the given marker tables is that of {region} of {account}" in told.stderr
    assert set[str]() == markers_in(HOME) | markers_in(ABROAD)


def test_a_name_that_no_secret_of_the_own_region_has_is_not_found(world: World, abroad: str) -> None:
    """Exit code 1, whatever other Regions have."""
    assert abroad
    assert 1 == world.run("announce", "prod/nothing", environment=in_home(TABLE)).exit_code


def test_without_any_table_it_says_which_option(world: World) -> None:
    """As for the other commands."""
    told = world.run("announce", "prod/db", environment={"KEYTURN_MARKER_TABLE": ""})
    assert (2, True) == (told.exit_code, "--marker-table" in told.stderr)


@pytest.mark.usefixtures("abroad")
@pytest.mark.parametrize("command", [("sweep",), ("status",), ("announce", "prod/db")])
def test_every_command_takes_the_parameter_that_names_the_table(
    world: World, command: tuple[str, ...]
) -> None:
    """One look at the parameter, and the table of that name is used."""
    world.run("announce", "prod/db")
    named = {"KEYTURN_MARKER_TABLE": "ssm:/keyturn/marker-table", "AWS_DEFAULT_REGION": HOME}
    told = world.run(*command, environment=named)
    assert told.exit_code in (0, 1), told.output
    missing = world.run(*command, environment=named | {"KEYTURN_MARKER_TABLE": "ssm:/keyturn/none"})
    assert (3, True) == (missing.exit_code, "its name was not read" in missing.stderr)


@pytest.mark.usefixtures("abroad")
def test_the_doctor_looks_at_the_table_that_the_parameter_names(world: World) -> None:
    """Once, and not again as a table of another place. Without the parameter, what needs it is unknown."""
    named = {"KEYTURN_MARKER_TABLE": "ssm:/keyturn/marker-table", "AWS_DEFAULT_REGION": HOME}
    told = world.run("doctor", "--json", environment=named)
    checks = {one["check"]: one["level"] for one in json.loads(told.stdout)["findings"]}
    assert ("ok", "ok") == (checks["parameter"], checks["table"])
    assert not [check for check in checks if check.startswith("table ")]
    missing = named | {"KEYTURN_MARKER_TABLE": "ssm:/keyturn/none"}
    told = world.run("doctor", "--json", environment=missing)
    levels = {one["check"]: one["level"] for one in json.loads(told.stdout)["findings"]}
    assert ("wrong", "unknown", "ok") == (levels["parameter"], levels["table"], levels["secrets"])
    assert 1 == told.exit_code
