"""The old password ends when nobody holds it: on real servers, with environments that report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import boto3
import pytest
from moto import mock_aws

from keyturn.convergence.table import ConvergenceTable
from keyturn.model.markers import Report
from keyturn.model.names import secret_key
from keyturn.rotation import Retirement, RotationFunction, Strategy
from keyturn.testing import Rotation
from keyturn.testing.fakes import FakeClock
from keyturn.testing.moto import mend_moto
from keyturn.testing.rotation import STEPS
from tests.servers import databases, others, test_rotating_mysql, test_rotating_redis

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.e2e

TABLE = "fleet"
EARLIEST_S, LATEST_S = 900.0, 86_400.0


class Server(Protocol):
    """A server with the user of a secret."""

    name: str

    @property
    def strategy(self) -> Strategy: ...

    def lets_in(self, password: str) -> bool: ...

    def refusals(self) -> int:
        """How many logins the server has refused since it runs."""
        ...


class MariaDb:
    """MariaDB, and a user with odd characters in name and password."""

    def __init__(self, stage: test_rotating_mysql.Stage) -> None:
        self.stage, self.name, self.strategy = stage, stage.name, stage.strategy("two")

    def lets_in(self, password: str) -> bool:
        return self.stage.lets_in(self.stage.user, password)

    def refusals(self) -> int:
        ((_, number),) = self.stage.sql("SHOW GLOBAL STATUS LIKE 'Access_denied_errors'")
        return int(str(number))


class RedisOrValkey:
    """A Redis or a Valkey server, and a user with odd characters in name and password."""

    def __init__(self, stage: test_rotating_redis.Stage) -> None:
        self.stage, self.name, self.strategy = stage, test_rotating_redis.NAME, stage.strategy()

    def lets_in(self, password: str) -> bool:
        return bool(self.stage.accepting(password))

    def refusals(self) -> int:
        return len(self.stage.refusals())


@dataclass
class Scene:
    """A server, the environments of a fleet with the password that each holds, and the rotation function."""

    client: SecretsManagerClient
    dynamodb: DynamoDBClient
    server: Server
    clock: FakeClock = field(default_factory=lambda: FakeClock(time.time()))
    held: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        retirement = Retirement(
            convergence_table=TABLE,
            earliest_s=EARLIEST_S,
            latest_s=LATEST_S,
            client=self.dynamodb,
            clock=self.clock,
        )
        self.function = RotationFunction(
            self.server.strategy, self.client, announce=test_rotating_redis.unheard, retirement=retirement
        )

    def read(self, environment: str) -> None:
        """Let an environment read AWSCURRENT, and report that it holds it."""
        answer = self.client.get_secret_value(SecretId=self.server.name, VersionStage="AWSCURRENT")
        self.held[environment] = json.loads(answer["SecretString"])["password"]
        held, now_s = {secret_key(answer["ARN"], answer["Name"]): answer["VersionId"]}, time.time()
        ConvergenceTable(self.dynamodb, TABLE).write(Report(environment, held, now_s, now_s + 900, "orders"))

    def all_log_in(self) -> bool:
        """Whether the server lets all environments in by what they hold."""
        return all(self.server.lets_in(password) for password in self.held.values())

    def retire(self) -> bool:
        said = self.function({"Step": "retireSecret", "SecretId": self.server.name})
        return said is not None and said["retired"] is True


@pytest.fixture
def clients() -> Iterator[tuple[SecretsManagerClient, DynamoDBClient]]:
    """Secrets Manager, and DynamoDB with a convergence table."""
    with mock_aws():
        client, dynamodb = boto3.client("secretsmanager"), boto3.client("dynamodb")
        mend_moto(client)
        dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client, dynamodb


@pytest.fixture(params=["mariadb", "redis", "valkey"])
def scene(
    request: pytest.FixtureRequest, clients: tuple[SecretsManagerClient, DynamoDBClient]
) -> Iterator[Scene]:
    """A fleet of two environments, on each of the servers."""
    client, _ = clients
    if request.param == "mariadb":
        with databases.mariadb() as server:
            server.run("CREATE DATABASE shop", "CREATE TABLE shop.lines (a INT)", "CREATE ROLE reader")
            stage = test_rotating_mysql.Stage(client, server)
            yield Scene(*clients, MariaDb(stage))
            stage.close()
    else:
        with getattr(others, request.param)("--requirepass", test_rotating_redis.ADMIN) as port:
            yield Scene(*clients, RedisOrValkey(test_rotating_redis.Stage(client, [port])))


def test_one_environment_stays_behind(scene: Scene) -> None:
    """No login is refused; the old password ends once nobody holds it, or when the time is over."""
    scene.read("a")
    scene.read("b")
    first = scene.held["b"]
    rotation = Rotation(scene.client, scene.server.name, scene.function)
    for step in STEPS:
        rotation.run(until=step)
        assert scene.all_log_in()
    scene.read("a")
    scene.clock.advance(EARLIEST_S - 100)
    assert not scene.retire()
    scene.clock.advance(200)
    # The environment b has not read the new version: its password works on.
    assert not scene.retire()
    assert scene.all_log_in()
    scene.read("b")
    assert scene.retire()
    assert scene.all_log_in()
    assert 0 == scene.server.refusals()
    assert not scene.server.lets_in(first)
    # Once more is no more than a look, and the next rotation is as ever.
    assert scene.retire()
    refused = scene.server.refusals()
    Rotation(scene.client, scene.server.name, scene.function).run()
    assert scene.all_log_in()
    scene.read("a")
    # Now b never reads again. At the latest time its password ends.
    scene.clock.wall_s = time.time()
    scene.clock.advance(LATEST_S - 100)
    assert not scene.retire()
    assert scene.all_log_in()
    assert refused == scene.server.refusals()
    scene.clock.advance(200)
    assert scene.retire()
    assert scene.server.lets_in(scene.held["a"])
    assert not scene.server.lets_in(scene.held["b"])


def test_after_a_roll_back_the_next_rotation_helps(scene: Scene) -> None:
    """AWSCURRENT went back to the password that was taken away: AWSPREVIOUS shows whose the user is."""
    rotation = Rotation(scene.client, scene.server.name, scene.function)
    rotation.run()
    scene.clock.advance(LATEST_S + 100)
    assert scene.retire()
    rotation.rollback()
    scene.read("a")
    assert not scene.all_log_in()
    Rotation(scene.client, scene.server.name, scene.function).run()
    assert scene.all_log_in()
