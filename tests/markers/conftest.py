"""A marker table on moto, with every call to DynamoDB counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from keyturn.markers.table import MarkerTable
from keyturn.runtime.host import Host
from tests.hosts import host_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE = "markers"


@dataclass
class World:
    """The table, its raw client, the calls it got and the pauses it was given."""

    client: DynamoDBClient
    calls: list[str] = field(default_factory=list)
    naps_s: list[float] = field(default_factory=list)
    host: Host = field(init=False)

    def __post_init__(self) -> None:
        self.host = host_of(sleep=self.naps_s.append)
        self.client.meta.events.register("before-call.dynamodb", self._count)

    def _count(self, *, model: object, **_: object) -> None:
        self.calls.append(getattr(model, "name", "?"))

    def table(self, name: str = TABLE) -> MarkerTable:
        return MarkerTable(self.client, name, self.host)

    def make_table(self, name: str = TABLE, key: str = "pk") -> str:
        """Make a table; its ARN."""
        made = self.client.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return made["TableDescription"]["TableArn"]

    def counted(self) -> Counter[str]:
        """The calls since the last asking."""
        calls = Counter(self.calls)
        self.calls.clear()
        return calls


@pytest.fixture
def world() -> Iterator[World]:
    """An empty marker table."""
    with mock_aws():
        world = World(boto3.client("dynamodb", region_name="eu-west-1"))
        world.make_table()
        world.counted()
        yield world


@pytest.fixture
def table(world: World) -> MarkerTable:
    """The empty table as keyturn sees it."""
    return world.table()
