"""One world for the listener's tests: Secrets Manager that can answer late, a real table on moto."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from keyturn.markers.recorder import Recorder
from keyturn.markers.sweeper import Parallel, Sweeper, in_turn
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Marker
from keyturn.model.names import secret_key
from keyturn.model.protocols import Catalog, Listing
from keyturn.model.versions import Described
from keyturn.runtime.host import Host
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.hosts import host_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAME, TABLE, SETTLE_S = "prod/db", "markers", 6.0


@dataclass
class LaggingCatalog:
    """A `Catalog` of eventual consistency: `late` answers come first, then the truth."""

    truth: FakeSecretsManager
    late: deque[Described] = field(default_factory=deque)
    listed: list[Described] | None = None
    before_answer: Callable[[], None] = lambda: None

    def describe(self, secret_id: str) -> Described:
        self.before_answer()
        answer = self.truth.describe(secret_id)
        return self.late.popleft() if self.late else answer

    def list(self) -> Iterator[Described]:
        yield from self.truth.list() if self.listed is None else self.listed


@dataclass
class World:
    """A secret `prod/db` at version v1, an empty marker table, and a recorder between them."""

    table: MarkerTable
    client: DynamoDBClient
    calls: Counter[str]
    naps_s: list[float]
    clock: FakeClock = field(default_factory=FakeClock)
    secrets: FakeSecretsManager = field(init=False)
    catalog: LaggingCatalog = field(init=False)
    arn: str = field(init=False)
    host: Host = field(init=False)

    def __post_init__(self) -> None:
        self.secrets = FakeSecretsManager(self.clock)
        self.catalog = LaggingCatalog(self.secrets)
        self.arn = self.secrets.create(NAME, "one", "v1")
        self.host = host_of(self.clock, sleep=self.nap)

    @property
    def key(self) -> str:
        return secret_key(self.arn, NAME)

    def found(self) -> Marker:
        """The marker, which must be there."""
        marker = self.table.look(self.key).marker
        assert marker is not None
        return marker

    @property
    def current(self) -> str | None:
        """What the marker says of AWSCURRENT."""
        return self.found().stages.get("AWSCURRENT")

    @property
    def writes(self) -> int:
        """How often markers were written, one or many together."""
        return self.calls["markers"]

    @property
    def recorder(self) -> Recorder:
        return self.recorder_with()

    def recorder_with(
        self, *, catalog: Catalog | None = None, sleep: Callable[[float], None] | None = None
    ) -> Recorder:
        """The recorder of this world, perhaps with other secrets or with another way to wait."""
        host = self.host._replace(sleep=sleep or self.nap)
        return Recorder(catalog or self.catalog, self.table, host, settle_s=SETTLE_S)

    def sweeper(
        self,
        *,
        catalog: Catalog | None = None,
        sleep: Callable[[float], None] | None = None,
        parameters: Listing | None = None,
        parallel: Parallel = in_turn,
    ) -> Sweeper:
        """The sweep of this world, perhaps with other secrets or with another way to wait."""
        host = self.host._replace(sleep=sleep or self.nap)
        return Sweeper(
            catalog or self.catalog,
            self.table,
            host,
            settle_s=SETTLE_S,
            parameters=parameters,
            parallel=parallel,
        )

    def nap(self, seconds: float) -> None:
        self.naps_s.append(seconds)
        self.clock.advance(seconds)

    def described(self) -> Described:
        """The truth now, without counting it as a call of the listener."""
        return next(one for one in self.secrets.list() if one.name == NAME)

    def rotate(self, *version_ids: str) -> None:
        """Move AWSCURRENT over new versions, in this order."""
        for version_id in version_ids:
            self.secrets.put(NAME, "a value", version_id)


def writes_markers(request: Mapping[str, object]) -> bool:
    """Whether a request to DynamoDB puts markers, and not a head."""
    requests = request.get("TransactItems", [{"Put": request}])
    return "'arn':" in str(requests) and "Put" in str(requests)


@pytest.fixture
def world() -> Iterator[World]:
    """The world before the first event."""
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        client.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        calls: Counter[str] = Counter()
        client.meta.events.register(
            "before-call.dynamodb", lambda *, model, **_: calls.update([getattr(model, "name", "?")])
        )
        client.meta.events.register(
            "provide-client-params.dynamodb.*",
            lambda *, params, **_: calls.update(["markers"] if writes_markers(params) else []),
        )
        naps_s = list[float]()
        table = MarkerTable(client, TABLE, host_of(sleep=naps_s.append))
        yield World(table, client, calls, naps_s)
