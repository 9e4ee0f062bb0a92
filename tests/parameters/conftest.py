"""A world with parameters: moto's Parameter Store, whose calls are counted, and a marker table in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_ssm import SSMClient
from mypy_boto3_ssm.literals import ParameterTypeType

from keyturn import Limits, Peers, SecretCache
from keyturn.markers.decisions import ParameterHint
from keyturn.markers.recorder import Recorder
from keyturn.markers.sweeper import Sweeper
from keyturn.model.protocols import Seen
from keyturn.model.versions import AWSCURRENT, Described
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeSecretsManager
from tests.hosts import host_of

NAME = "/prod/db/password"
ARN_PREFIX = "arn:aws:ssm:eu-west-1:123456789012:parameter"
ARN = ARN_PREFIX + NAME


@dataclass
class World:
    """One account with parameters and secrets, one marker table, one clock."""

    ssm: SSMClient
    clock: FakeClock = field(default_factory=FakeClock)
    calls: Counter[str] = field(default_factory=Counter)
    fail: Callable[[str], Exception | None] = lambda _: None
    events: int = 0

    def __post_init__(self) -> None:
        self.table = FakeMarkers(self.clock)
        self.secrets = FakeSecretsManager(self.clock)
        self.ssm.meta.events.register("before-call.ssm.*", self._count)

    @property
    def reads(self) -> int:
        """How often Parameter Store was asked for values."""
        return sum(self.calls[name] for name in ("GetParameter", "GetParameters", "GetParametersByPath"))

    def put(self, value: str, name: str = NAME, kind: ParameterTypeType = "SecureString") -> None:
        self.ssm.put_parameter(Name=name, Value=value, Type=kind, Overwrite=True)

    def event(self, name: str = NAME, *, deleted: bool = False) -> None:
        """What the listener does when Parameter Store tells of a change."""
        self.events += 1
        hint = ParameterHint(f"{ARN_PREFIX}{name}", f"event-{self.events}", deleted=deleted)
        self._recorder().record_parameter(hint)

    def sweep(self, *, parameters: bool = True) -> None:
        """One run of the listener's sweep; it lists parameters, or does not."""
        listed = _Listed(self) if parameters else None
        sweeper = Sweeper(
            self.secrets, _SweptTable(self), host_of(self.clock), settle_s=6.0, parameters=listed
        )
        sweeper.run(lambda: False)

    def cache(self, clock: FakeClock | None = None, **limits: float) -> SecretCache:
        peers = Peers(source=self.secrets, markers=self.table, clock=clock or self.clock, random=lambda: 0.0)
        named = Limits(**limits)  # type: ignore[arg-type] # numbers
        return SecretCache(ssm_client=self.ssm, limits=named, peers=peers)

    def _recorder(self) -> Recorder:
        return Recorder(self.secrets, self.table, host_of(self.clock), settle_s=6.0)

    def _count(self, model: object, **_: object) -> None:
        name = str(getattr(model, "name", ""))
        self.calls[name] += 1
        failure = self.fail(name)
        if failure is not None:
            raise failure


@dataclass
class _Listed:
    """What DescribeParameters shows; moto's has no ARN."""

    world: World

    def list(self) -> Iterator[Described]:
        for page in self.world.ssm.get_paginator("describe_parameters").paginate():
            for one in page["Parameters"]:
                name = one["Name"]
                yield Described(f"{ARN_PREFIX}{name}", name, {AWSCURRENT: str(one["Version"])})


class _SweptTable:
    """The table in memory as a sweep needs it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.absent = self.look = world.table.look
        self.write, self.tell = world.table.write, world.table.tell

    def now_s(self) -> float:
        return self._world.clock.wall()

    def scan(self) -> Iterator[Seen]:
        return (self._world.table.look(key) for key in tuple(self._world.table.items))

    def renew(self, swept_as_of_s: float) -> None:
        self._world.table.sweep(swept_as_of_s)


@pytest.fixture(scope="session")
def session() -> boto3.Session:
    """A session that reads the large model of Systems Manager once."""
    return boto3.Session(region_name="eu-west-1")


@pytest.fixture
def world(session: boto3.Session) -> Iterator[World]:
    """An account with one SecureString, at version 1."""
    with mock_aws():
        world = World(session.client("ssm"))
        world.put("one")
        world.calls.clear()
        yield world
