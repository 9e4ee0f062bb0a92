"""The whole chain: Secrets Manager, its event, the deployed listener, the marker table, a warm reader."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest

from keyturn import Limits, SecretCache
from keyturn.demo.stage import Stack
from keyturn.testing.rotation import Rotation, StepFunctions

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.e2e

CHECK_INTERVAL_S = 0.5
SETTLE_S = 1
PATIENCE_S = 20
"""How long a busy machine may take to start the listener; tests on a fake clock say what is promised."""

NAME = "app/db"


class Warm:
    """A warm process: it has read the secret `app/db` once and counts its calls since."""

    def __init__(self, stack: Stack) -> None:
        self.calls: Counter[str] = Counter()
        clients = boto3.client("secretsmanager"), boto3.client("dynamodb")
        for client in clients:
            client.meta.events.register("before-send", self._count)
        self.cache = SecretCache(
            clients[0],
            marker_table=stack.marker_table,
            dynamodb_client=clients[1],
            check_interval_s=CHECK_INTERVAL_S,
            limits=Limits(settle_s=SETTLE_S),
        )
        self.first = self.cache.get(NAME).version_id
        self.calls.clear()

    def uses(self, version_id: str) -> bool:
        """Return True as soon as it uses this version, False if it never does."""
        late_s = time.monotonic() + PATIENCE_S
        while self.cache.get(NAME).version_id != version_id and time.monotonic() < late_s:
            time.sleep(0.02)
        return self.cache.get(NAME).version_id == version_id

    def keep_reading(self, seconds: float) -> None:
        """Read all the time, for some seconds."""
        late_s = time.monotonic() + seconds
        while time.monotonic() < late_s:
            self.cache.get(NAME)
            time.sleep(0.02)

    def _count(self, event_name: str, **_request: object) -> None:
        self.calls[event_name.rpartition(".")[2]] += 1


@pytest.fixture
def warm(stack: Stack, client: SecretsManagerClient) -> Iterator[Warm]:
    """A warm process with the first version of the secret."""
    client.create_secret(Name=NAME, SecretString="one")
    warm = Warm(stack)
    with warm.cache:
        yield warm


def rotation(client: SecretsManagerClient) -> Rotation:
    """A rotation of the secret, known to no server."""
    return Rotation(client, NAME, StepFunctions(client, lambda current: current + "'"))


def test_rotations_reach_a_warm_process(client: SecretsManagerClient, warm: Warm) -> None:
    """Each new version comes to be used without a restart, for one GetSecretValue."""
    for number in range(1, 4):
        turn = rotation(client)
        turn.run()
        assert warm.uses(turn.version_id)
        assert warm.calls["GetSecretValue"] == number
    assert warm.cache.get_secret_string(NAME) == "one'''"


@pytest.mark.proof
def test_a_rollback_reaches_a_warm_process(client: SecretsManagerClient, warm: Warm) -> None:
    """A version that was left is used again when Secrets Manager says so twice, a settle time apart."""
    turn = rotation(client)
    turn.run()
    assert warm.uses(turn.version_id)
    turn.rollback()
    assert warm.uses(warm.first)
    assert warm.cache.get_secret_string(NAME) == "one"


def test_a_put_reaches_a_warm_process(client: SecretsManagerClient, warm: Warm) -> None:
    """A value that somebody put by hand is noticed as a rotation is."""
    put = client.put_secret_value(SecretId=NAME, SecretString="two")
    assert warm.uses(put["VersionId"])
    assert warm.calls["GetSecretValue"] == 1


@pytest.mark.proof
def test_nothing_changed_costs_no_read(client: SecretsManagerClient, warm: Warm, stack: Stack) -> None:
    """A sweep, a cancelled rotation and a change of another secret cause checks and no GetSecretValue."""
    stack.sweep()
    turn = rotation(client)
    turn.run(until="testSecret")
    turn.abandon()
    client.create_secret(Name="another", SecretString="1")
    client.put_secret_value(SecretId="another", SecretString="2")
    warm.keep_reading(3 * CHECK_INTERVAL_S)
    assert warm.calls["GetItem"] >= 2
    assert warm.calls["GetSecretValue"] == 0


def test_a_sweep_covers_what_no_event_announced(stack: Stack, warm: Warm) -> None:
    """After a sweep the process holds its copy as covered: the table would tell of a change."""
    (held,) = warm.cache.status().secrets
    assert not held.covered
    stack.sweep()
    warm.keep_reading(2 * CHECK_INTERVAL_S)
    (held,) = warm.cache.status().secrets
    assert held.covered, held.why
