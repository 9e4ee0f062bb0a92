"""What `keyturn policy` prints is enough for the role, and no more, where an account enforces IAM.

The emulator judges actions and resources. It knows neither the keys and attributes of DynamoDB's items nor
KMS, and judges GetParameters and GetParametersByPath by no resource: those only a real account can show.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import boto3
import pytest
from click.testing import CliRunner

from keyturn import SecretCache, SecretVersion, announce
from keyturn.assembly import marker_table
from keyturn.cli.root import root
from keyturn.errors import AccessDeniedError, KeyturnError
from keyturn.model.fields import Json
from keyturn.rotation import RotationFunction
from keyturn.testing import Rotation
from keyturn.testing.embedded import REGION, EmbeddedAws
from tests.security.test_roles import is_denied

pytestmark = pytest.mark.e2e

ACCOUNT = "000000000000"
TABLE, FLEET = "markers", "fleet"
NAME, NAMESAKE, OTHER, ROTATED = "prod/db", "prod/db-replica", "prod/other", "prod/rotated"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def account(guarded_aws: EmbeddedAws) -> None:
    """An account that enforces IAM, with a marker table, secrets and parameters."""
    for name in (TABLE, FLEET):
        boto3.client("dynamodb").create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    for name in (NAME, NAMESAKE, OTHER, ROTATED):
        boto3.client("secretsmanager").create_secret(Name=name, SecretString="one")
        announce(name, marker_table=TABLE)
    table = marker_table(TABLE, boto3.client("dynamodb"))
    table.renew(table.now_s())
    for name in ("/prod/db", "/prod/other"):
        boto3.client("ssm").put_parameter(Name=name, Value="one", Type="String")


def printed(*arguments: str) -> dict[str, Json]:
    """The policy that the command prints for this account."""
    where = ("--region", REGION, "--account", ACCOUNT)
    result = CliRunner().invoke(root, ["policy", *arguments, *where])
    assert result.exit_code == 0, result.stderr
    policy: dict[str, Json] = json.loads(result.stdout)
    return policy


def without(policy: dict[str, Json], sid: str) -> dict[str, Json]:
    """The policy less one statement, which it has."""
    statements = policy["Statement"]
    assert isinstance(statements, list)
    kept: list[Json] = [one for one in statements if not (isinstance(one, dict) and one["Sid"] == sid)]
    assert len(kept) == len(statements) - 1
    return policy | {"Statement": kept}


def holder(policy: dict[str, Json], role: str) -> boto3.Session:
    """Somebody with a new role that has this policy and no other."""
    roles = boto3.client("iam")
    arn = roles.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    roles.put_role_policy(RoleName=role, PolicyName="keyturn", PolicyDocument=json.dumps(policy))
    lent = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="somebody")["Credentials"]
    return boto3.Session(lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"], REGION)


READER = ("reader", "--secret", NAME, "--parameter", "/prod/db", "--marker-table", TABLE)
ANNOUNCER = ("announcer", "--secret", NAME, "--marker-table", TABLE)
ROTATION = ("rotation", "--secret", ROTATED, "--marker-table", TABLE)


def cache_of(session: boto3.Session) -> SecretCache:
    """A cache that reads and checks as this holder, at every `get`."""
    clients = session.client("secretsmanager"), session.client("dynamodb")
    return SecretCache(clients[0], marker_table=TABLE, dynamodb_client=clients[1], check_interval_s=1e-6)


@pytest.mark.usefixtures("account")
def test_a_reader_reads_its_secret_and_its_marker() -> None:
    """With the printed policy alone the secret is read, the table checked and the marker found."""
    cache = cache_of(holder(printed(*READER), "reader"))
    assert ["one", "one"] == [cache.get_secret_string(NAME) for _ in range(2)]
    assert cache.status().table.trouble is None
    assert cache.status().secrets[0].covered


@pytest.mark.usefixtures("account")
def test_a_reader_is_refused_what_it_did_not_name() -> None:
    """No other secret, not one whose name begins alike, no list, no write, no scan, no other parameter."""
    session = holder(printed(*READER), "curious")
    secrets, table = session.client("secretsmanager"), session.client("dynamodb")
    parameters = session.client("ssm")
    assert "one" == parameters.get_parameter(Name="/prod/db")["Parameter"]["Value"]
    assert is_denied(lambda: parameters.get_parameter(Name="/prod/other"))
    assert is_denied(lambda: secrets.get_secret_value(SecretId=NAMESAKE))
    assert is_denied(lambda: secrets.get_secret_value(SecretId=OTHER))
    assert is_denied(lambda: secrets.describe_secret(SecretId=NAME))
    assert is_denied(secrets.list_secrets)
    assert is_denied(lambda: table.scan(TableName=TABLE))
    assert is_denied(lambda: table.put_item(TableName=TABLE, Item={"pk": {"S": "head"}}))


@pytest.mark.usefixtures("account")
def test_a_reader_needs_each_statement() -> None:
    """Without the one it cannot read; without the other it reads, and tells that the table is denied."""
    with pytest.raises(AccessDeniedError):
        cache_of(holder(without(printed(*READER), "ReadSecrets"), "blind")).get(NAME)
    cache = cache_of(holder(without(printed(*READER), "ReadMarkers"), "deaf"))
    assert ["one", "one"] == [cache.get_secret_string(NAME) for _ in range(2)]
    assert cache.status().table.trouble is not None


@pytest.mark.usefixtures("account")
def test_a_listeners_policy_keeps_markers_and_reads_no_value() -> None:
    """It describes, lists and writes markers of any secret; the value stays out of reach."""
    session = holder(printed("listener", "--marker-table", TABLE), "listener")
    secrets = session.client("secretsmanager")
    assert secrets.list_secrets()["SecretList"]
    tell(session, OTHER)
    seen = list(marker_table(TABLE, session.client("dynamodb")).scan())
    assert {NAME, NAMESAKE, OTHER, ROTATED} == {one.key.rpartition(":secret:")[2] for one in seen}
    assert is_denied(lambda: secrets.get_secret_value(SecretId=NAME))
    assert is_denied(lambda: session.client("dynamodb").delete_table(TableName=TABLE))


@pytest.mark.usefixtures("account")
def test_a_counter_reads_reports_and_versions_and_nothing_else() -> None:
    """It scans reports and describes secrets; it reports nothing, and sees neither a marker nor a value."""
    session = holder(printed("counter", "--convergence-table", FLEET), "counter")
    secrets, table = session.client("secretsmanager"), session.client("dynamodb")
    assert secrets.list_secrets()["SecretList"]
    assert NAME == secrets.describe_secret(SecretId=NAME)["Name"]
    assert [] == table.scan(TableName=FLEET)["Items"]
    assert is_denied(lambda: table.put_item(TableName=FLEET, Item={"pk": {"S": "e1"}}))
    assert is_denied(lambda: table.scan(TableName=TABLE))
    assert is_denied(lambda: secrets.get_secret_value(SecretId=NAME))
    assert is_denied(lambda: session.client("ssm").describe_parameters())


@pytest.mark.usefixtures("account")
def test_an_operator_looks_at_everything_but_a_value() -> None:
    """It describes, lists, counts and reads markers; it writes nothing and reads no value."""
    session = holder(printed("operator", "--marker-table", TABLE), "operator")
    secrets, table = session.client("secretsmanager"), session.client("dynamodb")
    assert secrets.list_secrets()["SecretList"]
    assert NAME == secrets.describe_secret(SecretId=NAME)["Name"]
    assert table.scan(TableName=TABLE)["Items"]
    assert "Rules" in session.client("events").list_rules()
    assert is_denied(lambda: secrets.get_secret_value(SecretId=NAME))
    assert is_denied(lambda: table.put_item(TableName=TABLE, Item={"pk": {"S": "head"}}))
    assert is_denied(lambda: session.client("sqs").list_queues())


def tell(session: boto3.Session, secret_id: str) -> object:
    """Announce as this holder."""
    clients = session.client("secretsmanager"), session.client("dynamodb")
    return announce(secret_id, marker_table=TABLE, client=clients[0], dynamodb_client=clients[1])


@pytest.mark.usefixtures("account")
def test_an_announcer_announces_its_secret_and_reads_none() -> None:
    """It writes the marker of its secret; another one's it cannot even look at, and no value."""
    session = holder(printed(*ANNOUNCER), "announcer")
    tell(session, NAME)
    with pytest.raises(AccessDeniedError):
        tell(session, OTHER)
    assert is_denied(lambda: session.client("secretsmanager").get_secret_value(SecretId=NAME))
    assert is_denied(lambda: session.client("dynamodb").scan(TableName=TABLE))


@pytest.mark.parametrize("sid", ["LookAtSecrets", "LookAtMarkers", "AnnounceSteps"])
@pytest.mark.usefixtures("account")
def test_an_announcer_needs_each_statement(sid: str) -> None:
    """Without any of them nothing is announced of a secret that has just got another version."""
    boto3.client("secretsmanager").put_secret_value(SecretId=NAME, SecretString="one")
    with pytest.raises(KeyturnError):
        tell(holder(without(printed(*ANNOUNCER), sid), f"announcer-{sid}"), NAME)


@dataclass(frozen=True)
class Nowhere:
    """A strategy for a secret that no server knows."""

    def renew(self, current: SecretVersion, password: str) -> str:
        assert len(password) == 32
        return current.text() + "+"

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None: ...

    def test(self, pending: SecretVersion) -> None: ...


def rotate(session: boto3.Session, secret_id: str) -> None:
    """All four steps as this holder, asked for by Secrets Manager."""
    service = boto3.client("secretsmanager")
    service.rotate_secret(
        SecretId=secret_id, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
    )
    client, dynamodb = session.client("secretsmanager"), session.client("dynamodb")
    told = functools.partial(announce, marker_table=TABLE, client=client, dynamodb_client=dynamodb)
    Rotation(service, secret_id, RotationFunction(Nowhere(), client, announce=told)).run()


@pytest.mark.usefixtures("account")
def test_a_rotation_function_rotates_its_secret_and_tells(caplog: pytest.LogCaptureFixture) -> None:
    """With the printed policy alone all four steps are done and announced, for no other secret."""
    session = holder(printed(*ROTATION), "rotation")
    secrets = session.client("secretsmanager")
    before = secrets.get_secret_value(SecretId=ROTATED, VersionStage="AWSCURRENT")
    rotate(session, ROTATED)
    after = secrets.get_secret_value(SecretId=ROTATED, VersionStage="AWSCURRENT")
    assert (before["SecretString"] + "+", []) == (after["SecretString"], caplog.records)
    marker = marker_table(TABLE, boto3.client("dynamodb")).look(after["ARN"][:-7]).marker
    assert marker is not None
    assert after["VersionId"] == marker.stages["AWSCURRENT"]
    assert is_denied(lambda: secrets.get_secret_value(SecretId=OTHER))
    assert is_denied(lambda: secrets.delete_secret(SecretId=ROTATED))


@pytest.mark.usefixtures("account")
def test_a_rotation_function_needs_to_make_passwords() -> None:
    """GetRandomPassword is a statement of its own, since it knows no resource."""
    session = holder(without(printed(*ROTATION), "MakePasswords"), "uninspired")
    assert is_denied(lambda: rotate(session, ROTATED))
