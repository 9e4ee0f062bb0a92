"""What a story is about: a user of a server, its secret, and the marker table."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

import boto3
from botocore.config import Config

import keyturn
from keyturn import Limits, SecretCache
from keyturn.metrics.hook import Metric
from keyturn.rotation import announcing
from keyturn.testing import Rotation
from keyturn.testing.embedded import EmbeddedAws
from keyturn.testing.fakes import RecordedMetrics
from keyturn.testing.rotation import RotationFunction, StepFunctions
from tests.stories.drivers import Access, Driver, Fields, Held
from tests.stories.workers import Job, LogIn

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

Clients: TypeAlias = tuple["SecretsManagerClient", "DynamoDBClient"]

Strategy: TypeAlias = Literal["single user", "alternating users", "two passwords"]

CHECK_INTERVAL_S: Final = 0.3
SETTLE_S: Final = 1.0


class Node(Protocol):
    """A server on which users have passwords."""

    def admit(self, user: str, *passwords: str) -> None:
        """Let the user in with each of these passwords and no other. Create the user if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and the drivers that log in to it.

    `place` has the host and port that clients are told, and the name of the database. `nodes` are the servers
    that answer there: one, or a primary and its replica. `switch` lets another of them answer.
    """

    place: Mapping[str, str | int]
    nodes: Sequence[Node]
    drivers: Sequence[Driver]
    switch: Callable[[int], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Setting:
    """Where stories are told: what starts the server, how passwords can rotate there, and its replica."""

    title: str
    start: Callable[[], AbstractContextManager[Server]]
    strategies: Sequence[Strategy]
    has_replica: bool = False


@dataclass
class Stage:
    """One user of a server, and the secret with which it logs in.

    `announces`: whether the steps of a rotation are announced. `previous` is the option of a login.
    """

    secrets: SecretsManagerClient
    tables: DynamoDBClient
    server: Server
    strategy: Strategy
    announces: bool
    previous: bool = False
    user: str = field(default_factory=lambda: f"app_{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.name = f"stories/{self.user}"
        self.table = f"markers-{self.user}"
        self.tables.create_table(
            TableName=self.table,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        first = {**self.server.place, "username": self.user, "password": f"first-{uuid.uuid4().hex}"}
        for number in range(len(self.server.nodes)):
            self.admit(number, self.user, str(first["password"]))
        self.secrets.create_secret(Name=self.name, SecretString=json.dumps(first))
        # On the emulator this enables rotation and leaves the value as it is.
        self.secrets.rotate_secret(SecretId=self.name)
        self.announce(self.name, version_id=None, step=None)

    def admit(self, node: int, user: str, *passwords: str) -> None:
        """Let the user in with these passwords on one of the server's nodes."""
        self.server.nodes[node].admit(user, *passwords)

    def announce(self, secret_id: str, *, version_id: str | None, step: str | None) -> None:
        """Announce a step of a rotation as a rotation function does."""
        keyturn.announce(
            secret_id,
            version_id=version_id,
            step=step,
            marker_table=self.table,
            client=self.secrets,
            dynamodb_client=self.tables,
        )

    def rotation(self, nodes: Sequence[int] = (0,)) -> Rotation:
        """Return a rotation that has not begun. setSecret changes these nodes only."""
        return Rotation(self.secrets, self.name, self._function(nodes))

    def _function(self, nodes: Sequence[int]) -> RotationFunction:
        function = StepFunctions(
            self.secrets,
            self._new_value,
            set_value=lambda current, pending: self.set(current, pending, nodes),
        )
        return announcing(function, announce=self.announce) if self.announces else function

    def _new_value(self, current: str) -> str:
        fields: dict[str, object] = json.loads(current)
        if self.strategy == "alternating users":
            clone = f"{self.user}_clone"
            fields["username"] = self.user if fields["username"] == clone else clone
        return json.dumps({**fields, "password": f"rotated-{uuid.uuid4().hex}"})

    def set(self, current: str, pending: str, nodes: Sequence[int]) -> None:
        """setSecret: let the new password in, by the strategy."""
        old, new = json.loads(current), json.loads(pending)
        kept = [old["password"]] if self.strategy == "two passwords" else []
        for node in nodes:
            self.admit(node, new["username"], new["password"], *kept)

    def catch_up(self, node: int, stage: str) -> None:
        """Let the node have the password of the version under this stage: the replication has arrived."""
        fields = self.read(stage)
        self.admit(node, fields["username"], fields["password"])

    def read(self, stage: str = "AWSCURRENT") -> Fields:
        """Read the fields of a version from Secrets Manager."""
        answer = self.secrets.get_secret_value(SecretId=self.name, VersionStage=stage)
        fields: dict[str, object] = json.loads(answer["SecretString"])
        return {name: str(value) for name, value in fields.items()}

    def jobs(self) -> list[Job]:
        """Return two workers for each driver: keyturn's, and one that refreshes and retries once."""
        return [
            job for driver in self.server.drivers for job in (self._keyturns(driver), self._usual(driver))
        ]

    def _keyturns(self, driver: Driver) -> Job:
        metrics = RecordedMetrics()
        return Job(
            driver.title,
            "keyturn",
            self._through_a_cache(driver, metrics),
            lambda: len(metrics.of(Metric.REFUSALS)),
        )

    def _usual(self, driver: Driver) -> Job:
        held = Held(self.read)
        return Job(driver.title, "usual", _retrying(driver, held), lambda: held.refused)

    @contextmanager
    def _through_a_cache(self, driver: Driver, metrics: RecordedMetrics) -> Iterator[LogIn]:
        """Give a login by a cache of its own."""
        cache = SecretCache(
            self.secrets,
            marker_table=self.table,
            dynamodb_client=self.tables,
            check_interval_s=CHECK_INTERVAL_S,
            limits=Limits(settle_s=SETTLE_S),
            metrics=metrics,
        )
        with cache, driver.keyturn(Access(cache, self.name, self.previous)) as log_in:
            yield log_in


@contextmanager
def clients_of(aws: EmbeddedAws) -> Iterator[Clients]:
    """Clients of this account with room for all workers."""
    config = Config(max_pool_connections=50)
    secrets = boto3.client("secretsmanager", config=config, **aws.client_arguments)
    tables = boto3.client("dynamodb", config=config, **aws.client_arguments)
    yield secrets, tables
    secrets.close()
    tables.close()


@contextmanager
def _retrying(driver: Driver, held: Held) -> Iterator[LogIn]:
    with driver.usual(held) as log_in:
        yield lambda: held.refresh_and_retry_once(log_in)
