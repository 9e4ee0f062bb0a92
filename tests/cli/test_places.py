"""`keyturn status` over accounts and Regions: where it looks, with which role, and what a failure does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from moto import mock_aws

from keyturn.aws.clients import ClientFactory, Credentials
from keyturn.cli.account import Account
from keyturn.cli.root import root
from keyturn.cli.status.looking import Look, Sources
from keyturn.cli.status.overview import Overview
from keyturn.cli.status.places import SIDE_BY_SIDE, AccountRegion, Names, Visitor, Where, visited
from keyturn.convergence.table import ConvergenceTable
from keyturn.errors import KeyturnError
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Marker, Report

OWN, OTHER, THIRD = "123456789012", "222233334444", "333344445555"
REGIONS = ("eu-west-1", "us-east-1")
ROLE = "keyturn-operator"


def session_of(account: str) -> boto3.Session:
    """A session in this account, as a deployment has it."""
    if account == OWN:
        return boto3.Session()
    given = boto3.client("sts", "eu-west-1").assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/deployer", RoleSessionName="deployer"
    )["Credentials"]
    return boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def deploy(account: str, region: str, holders: int = 1, *, behind: int = 0) -> None:
    """What the stack makes, with a swept marker of `prod/db`, and environments that report.

    The tables have names of their own in each place, as CloudFormation gives them.
    """
    session, tables = session_of(account), (f"markers-{account}-{region}", f"fleet-{account}-{region}")
    dynamodb = session.client("dynamodb", region_name=region)
    ssm = session.client("ssm", region_name=region)
    for name, table in zip(("marker-table", "convergence-table"), tables, strict=True):
        dynamodb.create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        ssm.put_parameter(Name=f"/keyturn/{name}", Value=table, Type="String")
    secrets = session.client("secretsmanager", region_name=region)
    made = secrets.create_secret(Name="prod/db", SecretString="one")
    arn, version_id = made["ARN"], made["VersionId"]
    markers, reports = MarkerTable(dynamodb, tables[0]), ConvergenceTable(dynamodb, tables[1])
    now_s = markers.now_s()
    markers.renew(now_s - 300)
    markers.write([(markers.look(arn[:-7]), Marker(arn[:-7], arn, {"AWSCURRENT": version_id}))])
    for number in range(holders):
        held = version_id if number >= behind else "before"
        reports.write(Report(f"e{number}", {arn[:-7]: held}, now_s, now_s + 900, "orders"))


@pytest.fixture
def organization(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two accounts with the stack in two Regions each; nothing of the shell's names a table."""
    for name in ("KEYTURN_MARKER_TABLE", "KEYTURN_CONVERGENCE_TABLE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        for account in (OWN, OTHER):
            for region in REGIONS:
                deploy(account, region)
        yield


def run(*arguments: str, **environment: str) -> Result:
    """What `keyturn status ...` does."""
    return CliRunner().invoke(root, ["status", *arguments], env=environment)


def asked(*arguments: str) -> tuple[int, Mapping[str, object], dict[tuple[str, str], Mapping[str, object]]]:
    """The exit code, the answer, and each place of it."""
    result = run(*arguments, "--json")
    answer = cast("Mapping[str, object]", json.loads(result.stdout))
    places = cast("list[Mapping[str, object]]", answer.get("places", []))
    return result.exit_code, answer, {(str(one["account"]), str(one["region"])): one for one in places}


EVERYWHERE = ("--org-role", ROLE, "--accounts", f"{OWN},{OTHER}", "--regions", ",".join(REGIONS))


@pytest.mark.usefixtures("organization")
def test_all_places_are_in_one_answer() -> None:
    """Each table is found by the parameter of its place, and the gate counts the environments of all."""
    code, answer, places = asked(*EVERYWHERE, "--expect", "4")
    assert (0, True) == (code, answer["well"])
    assert {"open": True, "expected": 4, "environments": 4} == answer["gate"]
    assert {(account, region) for account in (OWN, OTHER) for region in REGIONS} == places.keys()
    for (account, region), place in places.items():
        (secret,) = cast("list[Mapping[str, str]]", place["secrets"])
        assert f"arn:aws:secretsmanager:{region}:{account}:secret:prod/db" == secret["key"]
    assert 1 == asked(*EVERYWHERE, "prod/db", "--expect", "5")[0]


@pytest.mark.usefixtures("organization")
def test_a_place_that_fails_is_named_and_does_not_end_the_others() -> None:
    """The parameter of a third account names a table that is gone: exit code 3, and all others are shown."""
    ssm = session_of(THIRD).client("ssm", region_name="eu-west-1")
    ssm.put_parameter(Name="/keyturn/marker-table", Value="gone", Type="String")
    everywhere = ("--org-role", ROLE, "--accounts", f"{THIRD},{OTHER}", "--regions", "eu-west-1")
    code, answer, places = asked(*everywhere)
    assert (3, False) == (code, answer["well"])
    error = cast("Mapping[str, object]", places[THIRD, "eu-west-1"]["error"])
    assert ("MarkerTableError", True) == (error["kind"], "'gone'" in str(error["message"]))
    assert True is places[OTHER, "eu-west-1"]["well"]
    text = run(*everywhere).stdout
    assert "the look failed: marker table 'gone'" in text
    assert f"{OTHER}" in text
    assert 3 == asked(*everywhere, "--expect", "1")[0]


@pytest.mark.usefixtures("organization")
def test_those_behind_are_named_by_place_and_a_place_without_keyturn_is_no_fault() -> None:
    """One of two in a third account is behind: no fault by itself, a no for the gate."""
    deploy(THIRD, "eu-west-1", 2, behind=1)
    everywhere = ("--org-role", ROLE, "--accounts", f"{THIRD},{OTHER}", "--regions", "eu-west-1,ap-south-1")
    code, _, places = asked(*everywhere)
    assert 0 == code
    assert [True, False] == [places[THIRD, region]["deployed"] for region in ("eu-west-1", "ap-south-1")]
    assert 1 == asked(*everywhere, "--expect", "2")[0]
    result = run(*everywhere, "--wait", "0")
    assert (1, True) == (result.exit_code, "prod/db 1 of 2 environments on" in result.stdout)
    assert "not deployed" in result.stdout


@pytest.mark.usefixtures("organization")
def test_without_accounts_the_organization_is_looked_at() -> None:
    """Every account that it lists, by the role; one without keyturn is shown as such."""
    client = boto3.client("organizations", "us-east-1")
    client.create_organization(FeatureSet="ALL")
    made = client.create_account(AccountName="bare", Email="a@example.com")["CreateAccountStatus"][
        "AccountId"
    ]
    code, _, places = asked("--org-role", ROLE, "--regions", "eu-west-1")
    assert {(OWN, "eu-west-1"), (made, "eu-west-1")} == places.keys()
    assert (0, False) == (code, places[made, "eu-west-1"]["deployed"])


@pytest.mark.usefixtures("organization")
def test_regions_alone_stay_in_the_account() -> None:
    """And a table's name of the shell, which is that of one place, counts in none of several.

    An option with an empty text is as one that was not given.
    """
    result = run("--regions", ",".join(REGIONS), "--json", KEYTURN_MARKER_TABLE="of-one-place")
    places = json.loads(result.stdout)["places"]
    assert (0, {OWN}, set(REGIONS)) == (
        result.exit_code,
        {one["account"] for one in places},
        {one["region"] for one in places},
    )
    empty = ("--table-parameter=", "--convergence-parameter=", "--convergence-table=", "--marker-table=")
    assert 0 == run("--regions", ",".join(REGIONS), "--json", *empty).exit_code
    result = run("--regions", "eu-west-1", "--marker-table", "by-name", "--json")
    assert (3, True) == (result.exit_code, "'by-name'" in result.stdout)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (("--accounts", OWN), "--accounts needs --org-role"),
        (("--org-role", ROLE, "--accounts", "1234"), "'1234' is not 12 digits"),
        (("--org-role", ROLE, "--wait", "3600"), "--wait is at most 3000 s"),
        ((), "Missing option '--marker-table'"),
    ],
)
def test_a_wrong_command_line_is_refused(
    line: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked: exit code 2."""
    monkeypatch.delenv("KEYTURN_MARKER_TABLE", raising=False)
    result = run(*line)
    assert (2, True) == (result.exit_code, says in result.stderr)


@pytest.mark.parametrize(
    "line",
    [("--regions", ""), ("--regions", " , "), ("--org-role", ""), ("--org-role", ROLE, "--accounts", "")],
)
def test_an_empty_choice_of_places_is_refused(line: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate whose script lacks a variable must not open for the one place that it was started in."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", "markers")
    result = run(*line)
    assert (2, True) == (result.exit_code, "it is empty, perhaps by a variable" in result.stderr)


# Without AWS


def test_many_are_looked_at_side_by_side_but_not_too_many() -> None:
    """Sixteen at a time, each once, and in their order."""
    places = [AccountRegion(f"{number:012}", "eu-west-1") for number in range(3 * SIDE_BY_SIDE)]
    full = threading.Barrier(SIDE_BY_SIDE)
    turn, now, most = threading.Lock(), 0, 0

    def look(_sources: object) -> Look:
        nonlocal now, most
        with turn:
            now += 1
            most = max(most, now)
        full.wait(timeout=30)
        with turn:
            now -= 1
        return Look(Overview(None, ()), None)

    def opened(_place: AccountRegion) -> Sources:
        return Sources(MarkerTable(object(), "t"), object(), None)  # type: ignore[arg-type] # not looked at

    assert places == [visit.place for visit in visited(places, opened, look)]
    assert SIDE_BY_SIDE == most


@dataclass
class Identity:
    """STS that knows its caller, and refuses one account."""

    assumed: list[str] = field(default_factory=list)
    failing: int = 0

    def get_caller_identity(self) -> Mapping[str, object]:
        if self.failing:
            self.failing -= 1
            raise ClientError({"Error": {"Code": "Throttling", "Message": "slowly"}}, "GetCallerIdentity")
        return {"Account": OWN, "Arn": f"arn:aws-cn:sts::{OWN}:assumed-role/x/y"}

    def assume_role(self, **asked: str) -> Mapping[str, object]:
        self.assumed.append(asked["RoleArn"])
        if OTHER in asked["RoleArn"]:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")
        keys = {"AccessKeyId": "id", "SecretAccessKey": "canary-key", "SessionToken": "canary-token"}
        return {"Credentials": keys}


class Clients(ClientFactory):
    """Makes this identity, and of everything else nothing that is looked at."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def make(self, service: str, *_: object, **__: object) -> object:
        return self.identity if service == "sts" else object()


def test_a_role_that_may_not_be_assumed_fails_its_account_alone() -> None:
    """With the action that is denied; roles are in the caller's partition, and each is assumed once."""
    identity = Identity()
    home = Account("", "eu-west-1", clients=Clients(identity))
    where = Where(f"ops/{ROLE}", (OTHER, OWN, THIRD), ("eu-west-1",))
    visitor = Visitor(home, where, Names("markers", "fleet", "/m", "/c"))
    for _ in range(2):
        denied, own, third = visitor.visits(lambda _: Look(Overview(None, ()), None))
        assert (None, None) == (own.error, third.error)
        assert denied.error is not None
        assert "sts:AssumeRole" in str(denied.error)
        assert "canary" not in str(denied.error)
    assert [THIRD] == [role.split(":")[4] for role in identity.assumed if OTHER not in role]
    assert f"arn:aws-cn:iam::{THIRD}:role/ops/{ROLE}" in identity.assumed


def test_a_list_of_places_that_fails_is_a_failed_look() -> None:
    """A gate goes on after it."""
    visitor = Visitor(
        Account("", "eu-west-1", clients=Clients(Identity(failing=1))),
        Where(None, (), ("eu-west-1",)),
        Names("markers", "fleet", "/m", "/c"),
    )
    (visit,) = visitor.visits(lambda _: Look(Overview(None, ()), None))
    assert isinstance(visit.error, KeyturnError)
    (visit,) = visitor.visits(lambda _: Look(Overview(None, ()), None))
    assert (AccountRegion(OWN, "eu-west-1"), None) == (visit.place, visit.error)


def test_credentials_show_no_key() -> None:
    """Neither by themselves nor in the account that has them."""
    credentials = Credentials("id", "canary-key", "canary-token")
    assert "canary" not in repr(credentials) + repr(Account("t", credentials=credentials))
