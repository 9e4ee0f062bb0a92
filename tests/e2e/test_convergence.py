"""A fleet of processes under the stack's reader policy, with IAM enforced, and what `status` counts of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner, Result

from keyturn import SecretCache
from keyturn.cli.root import root
from keyturn.convergence.table import ConvergenceTable
from keyturn.testing.embedded import EmbeddedAws
from tests.convergence.reports_contract import ReportsContract, Table
from tests.listener.test_deployed import BUCKET, KEY, Stack, deploy, stack_of
from tests.security.test_roles import is_denied
from tools.build_listener import build

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

NAME = "prod/db"
PATIENCE_S = 20.0
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}

WORKER = """
import sys, threading, time
from keyturn import KeyturnSettings

with KeyturnSettings(check_interval_s=0.3, background=sys.argv[2] == "background").cache() as cache:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        cache.get(sys.argv[1])
        time.sleep(0.05)
"""
"""Gets a secret every 50 ms until its stdin is closed."""


class TestReportsOnMinistack(ReportsContract):
    """The contract, over HTTP."""

    @pytest.fixture
    def table(self, session: boto3.Session) -> Iterator[Table]:
        client = session.client("dynamodb")
        client.create_table(
            TableName="fleet",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield ConvergenceTable(client, "fleet")
        client.close()


@dataclass(frozen=True)
class Fleet:
    """The deployed stack, the secret's reader role, and the environment of a process that has it."""

    stack: Stack
    reader: boto3.Session
    environment: Mapping[str, str]

    @property
    def convergence_table(self) -> str:
        return self.stack.outputs["ConvergenceTableName"]

    @property
    def tables(self) -> tuple[str, ...]:
        """The options that name the tables."""
        markers = self.stack.outputs["MarkerTableName"]
        return "--marker-table", markers, "--convergence-table", self.convergence_table

    @contextmanager
    def worker(self, how: str) -> Iterator[None]:
        """A process that reads the secret, ended in order."""
        command = [sys.executable, "-c", WORKER, NAME, how]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(self.environment)
        ) as process:
            try:
                yield
            finally:
                _, trouble = process.communicate(timeout=PATIENCE_S)
        assert (0, b"") == (process.returncode, trouble)

    def status(self, *arguments: str) -> Result:
        """What the operator sees of the secret."""
        return CliRunner().invoke(root, ["status", NAME, *self.tables, *arguments])

    def found(self) -> dict[str, str]:
        """What the doctor finds about the convergence table: check -> level."""
        result = CliRunner().invoke(root, ["doctor", *self.tables, "--json"])
        findings = json.loads(result.stdout)["findings"]
        checks = ("convergence", "report", "count")
        return {one["check"]: one["level"] for one in findings if one["check"] in checks}

    def wait_for(self, text: str) -> None:
        """Return once the status says so."""
        late_s = time.monotonic() + PATIENCE_S
        while text not in (said := self.status().stdout):
            assert time.monotonic() < late_s, said
            time.sleep(0.2)


@pytest.fixture(scope="module")
def fleet(guarded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """The template with Convergence=true, one secret, and a role with the stack's reader policy."""
    session = boto3.Session(region_name=guarded_aws.environment["AWS_REGION"])
    package = build(Path(tmp_path_factory.mktemp("package")) / KEY)
    session.client("s3").create_bucket(Bucket=BUCKET)
    session.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=package)
    stack = stack_of(session, deploy(session, Convergence="true"))
    arn = stack.secrets.create_secret(Name=NAME, SecretString="one")["ARN"]
    stack.invoke({"keyturn": "sweep"})
    lent = lend(session, stack.outputs["ReaderPolicyArn"], arn)
    reader = boto3.Session(
        lent["AWS_ACCESS_KEY_ID"],
        lent["AWS_SECRET_ACCESS_KEY"],
        lent["AWS_SESSION_TOKEN"],
        session.region_name,
    )
    environment = {**guarded_aws.environment, **lent, "PATH": "/usr/bin:/bin"}
    environment |= {
        "KEYTURN_MARKER_TABLE": stack.outputs["MarkerTableName"],
        "KEYTURN_CONVERGENCE_TABLE": stack.outputs["ConvergenceTableName"],
        "KEYTURN_REPORT_LABEL": "orders",
    }
    return Fleet(stack, reader, environment)


def lend(session: boto3.Session, policy_arn: str, secret_arn: str) -> dict[str, str]:
    """The credentials of a role with the stack's reader policy and the right to read the one secret."""
    roles = session.client("iam")
    role = roles.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    roles.attach_role_policy(RoleName="reader", PolicyArn=policy_arn)
    may_read = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret_arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [may_read]})
    roles.put_role_policy(RoleName="reader", PolicyName="one", PolicyDocument=document)
    lent = session.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="fleet")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": lent["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": lent["SecretAccessKey"],
        "AWS_SESSION_TOKEN": lent["SessionToken"],
    }


def test_a_rotated_fleet_is_seen_to_converge(fleet: Fleet) -> None:
    """Four processes, one of them with a background thread: 4 of 4 before the rotation and after it."""
    with ExitStack() as processes:
        for how in ("inline", "inline", "inline", "background"):
            processes.enter_context(fleet.worker(how))
        fleet.wait_for("4 of 4 environments on")
        before = fleet.stack.secrets.describe_secret(SecretId=NAME)["VersionIdsToStages"]
        after = fleet.stack.secrets.put_secret_value(SecretId=NAME, SecretString="two")["VersionId"]
        assert after not in before
        fleet.wait_for(f"4 of 4 environments on {after}")
        waited = fleet.status("--wait", "30", "--json")
        found = json.loads(waited.stdout)["convergence"]
        assert (0, True, 4) == (waited.exit_code, found["on_current"], found["environments"])
        assert [{"orders": 4}] == [one["labels"] for one in found["secrets"][0]["versions"]]
    assert f"no environment reports it; AWSCURRENT is {after}" in fleet.status().stdout


def test_the_doctor_finds_the_table_well(fleet: Fleet) -> None:
    """Once Time to Live is on: the emulator drops that property of the template, and the doctor tells."""
    assert "wrong" == fleet.found()["convergence"]
    fleet.stack.session.client("dynamodb").update_time_to_live(
        TableName=fleet.convergence_table,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at_s"},
    )
    assert {"convergence": "ok", "report": "ok", "count": "ok"} == fleet.found()


def test_a_reader_may_report_and_write_no_marker(fleet: Fleet) -> None:
    """The one right that reporting needs is on that table alone; what others report it cannot read."""
    client = fleet.reader.client("dynamodb")
    markers, reports = fleet.stack.outputs["MarkerTableName"], fleet.convergence_table
    item = {"pk": {"S": "e"}}
    client.put_item(TableName=reports, Item=item)
    assert is_denied(lambda: client.put_item(TableName=markers, Item={"pk": {"S": "head"}}))
    assert is_denied(lambda: client.scan(TableName=reports))
    assert is_denied(lambda: client.get_item(TableName=reports, Key=item))
    assert is_denied(lambda: client.delete_item(TableName=reports, Key=item))
    fleet.stack.session.client("dynamodb").delete_item(TableName=reports, Key=item)


def test_without_the_right_a_reader_reads_on_and_says_which_is_missing(fleet: Fleet) -> None:
    """Told to report to a table that its policy does not name: `status` of the process tells."""
    cache = SecretCache(
        fleet.reader.client("secretsmanager"),
        convergence_table="another",
        dynamodb_client=fleet.reader.client("dynamodb"),
        check_interval_s=1e-6,
    )
    assert cache.get_secret_string(NAME) == cache.get_secret_string(NAME)
    assert "need dynamodb:PutItem" in str(cache.status().reports.trouble)
