"""The library on the real chain while its calls break: what is known is served, then all is well again."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import boto3
import pytest

from keyturn import Limits, SecretCache
from keyturn.assembly import marker_table
from keyturn.aws.clients import SECRETS_TIMEOUTS_S, TABLE_TIMEOUTS_S, make_client
from keyturn.demo.stage import deploy
from keyturn.testing import embedded
from keyturn.testing.embedded import EmbeddedAws
from keyturn.testing.rotation import Rotation, StepFunctions
from tests.faults.conftest import Chain
from tests.faults.figures import Figures, measured
from tests.faults.proxy import LISTENER, READER
from tests.servers.fixtures import use
from tools.build_listener import ROOT, build_listener

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.e2e

CANARY = "c4n4ry-Pa55w0rd"
CHECK_INTERVAL_S, SETTLE_S = 0.3, 1.0
BROKEN_S = 1.0
PATIENCE_S = 20.0
Rule = dict[str, object]


class Reader:
    """A warm process that uses the clients that keyturn makes, through the proxy; it counts its calls."""

    def __init__(self, name: str, marker_table: str, endpoint_url: str) -> None:
        self.calls: Counter[str] = Counter()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", endpoint_url)
            clients = (
                make_client("secretsmanager", SECRETS_TIMEOUTS_S),
                make_client("dynamodb", TABLE_TIMEOUTS_S),
            )
        for client in clients:
            client.meta.events.register("before-send", self._count)  # type: ignore[attr-defined] # botocore's
        self.name = name
        self.marker_table = marker_table
        self.cache = SecretCache(
            cast("SecretsManagerClient", clients[0]),
            marker_table=marker_table,
            dynamodb_client=cast("DynamoDBClient", clients[1]),
            check_interval_s=CHECK_INTERVAL_S,
            limits=Limits(settle_s=SETTLE_S),
        )
        self.served = [self.cache.get(name).version_id]
        self.slowest_s = 0.0
        self.gets = 0

    def read(self) -> str:
        """The version that a `get` gives, which must never fail."""
        begun_s = time.monotonic()
        version_id = self.cache.get(self.name).version_id
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)
        self.gets += 1
        if version_id != self.served[-1]:
            self.served.append(version_id)
        return version_id

    def read_for(self, seconds: float) -> None:
        """Read all the time."""
        late_s = time.monotonic() + seconds
        while time.monotonic() < late_s:
            self.read()
            time.sleep(0.01)

    def converges(self, fault: str, version_id: str) -> bool:
        """Whether it comes to serve this version; what that took is put down."""
        begun_s = time.monotonic()
        while (served := self.read()) != version_id and time.monotonic() < begun_s + PATIENCE_S:
            time.sleep(0.01)
        took_s = time.monotonic() - begun_s
        reads, checks = self.calls["GetSecretValue"], self.calls["GetItem"] + self.calls["BatchGetItem"]
        measured.append(Figures(fault, self.gets, self.slowest_s, took_s, reads, checks))
        return served == version_id

    def _count(self, event_name: str, **_request: object) -> None:
        self.calls[event_name.rpartition(".")[2]] += 1


@pytest.fixture
def secrets(chain: Chain) -> SecretsManagerClient:
    """Secrets Manager, not through the proxy."""
    return boto3.client("secretsmanager", **chain.aws.client_arguments)


@pytest.fixture
def reader(chain: Chain, secrets: SecretsManagerClient) -> Iterator[Reader]:
    """A warm reader of a secret of its own, which has a marker and which the sweep covers."""
    name = f"app/{uuid.uuid4()}"
    secrets.create_secret(Name=name, SecretString=CANARY)
    chain.stack.sweep()
    one = Reader(name, chain.stack.marker_table, chain.proxy.url)
    wait_until(lambda: bool(one.read()) and one.cache.status().secrets[0].covered)
    one.calls.clear()
    with one.cache:
        yield one


def rotated(secrets: SecretsManagerClient, name: str) -> str:
    """The version that AWSCURRENT moved to."""
    turn = Rotation(secrets, name, StepFunctions(secrets, lambda current: current + "'"))
    turn.run()
    return turn.version_id


def on(service: str, operation: str, **fault: object) -> Rule:
    """A rule that breaks the reader's calls of one operation."""
    return {"service": service, "operation": operation, **READER, **fault}


TRUNCATED: Rule = {"truncate_frac": 0.5}
READS = ("secretsmanager", "GetSecretValue")
CHECKS = ("dynamodb", "GetItem")
BREAKS: dict[str, list[Rule]] = {
    "GetSecretValue throttled": [on(*READS, error={"code": "ThrottlingException"})],
    "GetSecretValue slow (1 s)": [on(*READS, latency=1000)],
    "GetSecretValue reset": [on(*READS, reset=True)],
    "GetSecretValue truncated": [on(*READS, response=TRUNCATED)],
    "GetItem throttled": [on(*CHECKS, error={"code": "ProvisionedThroughputExceededException"})],
    "GetItem timed out": [on(*CHECKS, latency=1500)],
    "GetItem reset": [on(*CHECKS, reset=True)],
    "GetItem truncated": [on(*CHECKS, response=TRUNCATED)],
    "one of three calls reset": [
        {"service": "*", **READER, "reset": True, "sequence": {"fail": 1, "pass": 2}}
    ],
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_reader_outlives_broken_calls(
    chain: Chain,
    secrets: SecretsManagerClient,
    reader: Reader,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    """While calls break every `get` gives a known version; then the new one; no log shows the value."""
    caplog.set_level(logging.DEBUG, "keyturn")
    chain.proxy.break_by(*BREAKS[fault])
    new = rotated(secrets, reader.name)
    reader.read_for(BROKEN_S)
    assert chain.proxy.fired()
    chain.proxy.heal()
    assert reader.converges(fault, new)
    assert reader.served[-1] == new
    assert len(reader.served) == 2
    assert reader.cache.get_secret_string(reader.name) == CANARY + "'"
    assert CANARY not in caplog.text + repr(reader.cache.status())


def test_an_answer_lost_after_the_write_loses_nothing(
    chain: Chain, secrets: SecretsManagerClient, reader: Reader
) -> None:
    """The listener never hears that its write went through: the marker is there, untold, and is told of."""
    chain.proxy.break_by({"operation": "PutItem", "response": {"abort_bytes": 0}, "times": 1})
    new = rotated(secrets, reader.name)
    assert reader.converges("listener: answer to the write lost", new)
    assert chain.proxy.fired()


def test_what_the_listener_could_not_write_the_sweep_does(
    chain: Chain, secrets: SecretsManagerClient, reader: Reader
) -> None:
    """The event is lost with the listener's call: readers keep the known version until the next sweep."""
    chain.proxy.break_by({"operation": "PutItem", "reset": True})
    new = rotated(secrets, reader.name)
    wait_until(lambda: bool(reader.read()) and chain.proxy.fired() > 0)
    reader.read_for(BROKEN_S)
    assert len(reader.served) == 1
    chain.proxy.heal()
    chain.stack.sweep()
    assert reader.converges("listener: writes never arrive", new)


KILLED_LISTENER = """
    import json, sys
    from rotation_listener.handler import handler
    handler(json.loads(sys.argv[1]), None)
"""


# The calls of one event, in their order.
CALLS: dict[str, Rule] = {
    "look": {"operation": "GetItem"},
    "describe": {"operation": "DescribeSecret"},
    "put the marker": {"operation": "PutItem"},
    "update the head": {"operation": "UpdateItem", "body": "Key.pk.S == 'head'"},
    "update the first copy": {"operation": "UpdateItem", "body": "Key.pk.S == 'head#1'"},
    "update the last copy": {"operation": "UpdateItem", "body": "Key.pk.S == 'head#2'"},
    "end untold": {"operation": "UpdateItem", "body": "contains(UpdateExpression, 'REMOVE')"},
}
TOLD = ("update the first copy", "update the last copy", "end untold")
"""The calls before which a reader may know already, by the head that it has drawn."""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("mended_by", ["event", "sweep"])
def test_a_listener_killed_between_any_two_calls_loses_nothing(
    chain: Chain, secrets: SecretsManagerClient, reader: Reader, call: str, mended_by: str
) -> None:
    """SIGKILL while this call hangs; the same event again, or the next sweep, makes it good.

    Every copy of the head tells of it then.
    """
    chain.proxy.break_by({**CALLS[call], **LISTENER, "latency": 60_000})
    new = rotated(secrets, reader.name)
    arn = reader.cache.status().secrets[0].arn
    event = {"keyturn": "announce", "secret_id": arn, "version_id": new, "step": "finishSecret"}
    chain.proxy.forget()
    listener = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED_LISTENER), json.dumps(event)],
        stdout=subprocess.DEVNULL,
        env=os.environ
        | {"AWS_ENDPOINT_URL": chain.proxy.url, "KEYTURN_MARKER_TABLE": chain.stack.marker_table},
    )
    try:
        wait_until(lambda: chain.proxy.fired() > 0)
    finally:
        listener.kill()
    assert -signal.SIGKILL == listener.wait(PATIENCE_S)
    reader.read_for(CHECK_INTERVAL_S)
    assert call in TOLD or len(reader.served) == 1
    told = counters(chain)
    chain.proxy.heal()
    if mended_by == "event":
        boto3.client("lambda").invoke(FunctionName=chain.stack.listener, Payload=json.dumps(event))
    else:
        chain.stack.sweep()
    assert reader.converges(f"listener: killed at {call}", new)
    assert all(before < after for before, after in zip(told, counters(chain), strict=True))
    assert not marker_table(chain.stack.marker_table, boto3.client("dynamodb")).look(arn[:-7]).untold


def counters(chain: Chain) -> list[int]:
    """The counters of the head and of its copies."""
    table = marker_table(chain.stack.marker_table, boto3.client("dynamodb"))
    heads = (table.read_head(consistent=True, copy=copy) for copy in range(3))
    return [head.counter for head in heads if head is not None]


def test_a_table_that_is_gone_for_a_rotation(
    chain: Chain, secrets: SecretsManagerClient, reader: Reader
) -> None:
    """Deleted, rotated past, made again and swept: served throughout, noticed afterwards."""
    tables = boto3.client("dynamodb")
    # Whoever deletes it on purpose takes the template's protection off first.
    tables.update_table(TableName=chain.stack.marker_table, DeletionProtectionEnabled=False)
    tables.delete_table(TableName=chain.stack.marker_table)
    new = rotated(secrets, reader.name)
    reader.read_for(BROKEN_S)
    assert reader.cache.status().table.trouble
    assert len(reader.served) == 1
    make_table(tables, chain.stack.marker_table)
    chain.stack.sweep()
    assert reader.converges("table deleted and made again", new)


def make_table(tables: DynamoDBClient, name: str) -> None:
    """An empty marker table."""
    tables.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_an_account_that_is_lost_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS goes away with all its state and comes back empty; the stack and the secret are made again."""
    package, template = build_listener(), ROOT / "infra" / "template.yaml"
    name = f"app/{uuid.uuid4()}"
    with EmbeddedAws() as before:
        use(before, monkeypatch)
        stack = deploy(package, template)
        boto3.client("secretsmanager").create_secret(Name=name, SecretString=CANARY)
        stack.sweep()
        reader = Reader(name, stack.marker_table, before.endpoint_url)
        reader.read_for(2 * CHECK_INTERVAL_S)
    reader.read_for(BROKEN_S)
    # The account comes back at the address that the reader's clients know.
    monkeypatch.setattr(embedded, "free_port", lambda: before.port)
    with before:
        stack = deploy(package, template)
        assert reader.marker_table == stack.marker_table
        new = boto3.client("secretsmanager").create_secret(Name=name, SecretString=CANARY + "!")["VersionId"]
        stack.sweep()
        assert reader.converges("account lost and made again", new)
        assert reader.cache.get_secret_string(name) == CANARY + "!"
        assert 1 == len(reader.cache.status().secrets)
        reader.cache.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for it, but not for ever."""
    late_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < late_s
        time.sleep(0.02)
