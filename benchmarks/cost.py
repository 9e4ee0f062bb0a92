"""Dollars a month for all requests, compared with polling Secrets Manager at the same freshness."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final, cast

import boto3
from botocore.awsrequest import AWSPreparedRequest
from moto import mock_aws

from benchmarks.aws import NAME, TABLE
from benchmarks.prices import (
    CLOUDWATCH_ALARM,
    CLOUDWATCH_COMPOSITE_ALARM,
    CLOUDWATCH_METRIC,
    LAMBDA_GB_S,
    LAMBDA_REQUEST,
    MONTH_S,
    READ_UNIT,
    SECRETS_MANAGER_CALL,
    WRITE_UNIT,
)
from benchmarks.results import Curve, Part, Parts, Plot, Size, counted, ratio
from keyturn import Peers, SecretCache
from keyturn.aws.catalog import SecretsManagerCatalog
from keyturn.markers.schema import HEAD_KEY
from keyturn.markers.table import MarkerTable
from keyturn.model.names import secret_key
from keyturn.runtime.host import Host
from keyturn.testing.embedded import REGION
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeSecretsManager
from rotation_listener.listener import Listener, Settings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from keyturn.aws.catalog import CatalogClient
    from keyturn.markers.calls import DynamoDBClient

INTERVALS_S: Final = (1.0, 5.0, 15.0, 60.0)
DEFAULT_INTERVAL_S: Final = 5.0
ENVIRONMENTS: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
SECRETS: Final = (1, 10, 100)
FROM_ENVIRONMENTS: Final = 5

LIFE_S: Final = 2 * 3600
"""The seconds that an environment lives: Lambda ends environments every few hours."""

SWEEP_EVERY_S: Final = 300
ROTATIONS_PER_MONTH: Final = 1
EVENTS_PER_ROTATION: Final = 8
"""The native event, and CloudTrail's events of the calls and the service.

Each counts as if it moved the head, which two do with a trail, and three with announcements.
"""

MEMORY_GB: Final = 0.25
EVENT_S: Final = 0.5
SWEEP_S: Final = 2.0
SWEEP_SECRET_S: Final = 0.002
"""Assumed durations in Lambda, several times those measured under its emulator."""

ALARMS: Final = 11
METRICS: Final = 2
WATCHING: Final = ALARMS * CLOUDWATCH_ALARM + METRICS * CLOUDWATCH_METRIC
"""The price of monitoring the listener as the template deploys it, in dollars a month."""

TELLING: Final = CLOUDWATCH_ALARM + CLOUDWATCH_COMPOSITE_ALARM
"""The price of the two alarms more that a stack with a topic has."""

PAGE: Final = 100
MARKER_BYTES: Final = 700
READ_UNIT_BYTES: Final = 4096

DOLLARS: Final[Mapping[str, float]] = {
    "GetSecretValue": SECRETS_MANAGER_CALL,
    "DescribeSecret": SECRETS_MANAGER_CALL,
    "ListSecrets": SECRETS_MANAGER_CALL,
    "head": READ_UNIT / 2,
    "markers": READ_UNIT,
    "GetItem": READ_UNIT,
    "Scan": READ_UNIT,
    "UpdateItem": WRITE_UNIT,
    "UpdateItem, head": 4 * WRITE_UNIT,
    "PutItem": WRITE_UNIT,
}
"""Dollars by call, for markers of at most 1 KB and a head of 4 KB, whose every slot is full."""


@dataclass(frozen=True, slots=True)
class Bill:
    """The calls of one environment's month, of one event, and of one sweep of one secret."""

    environment: Mapping[str, float]
    event: Mapping[str, float]
    sweep: Mapping[str, float]

    def month(self, secrets: int, environments: int) -> float:
        """Return the dollars a month of an account: each secret is held by this number of environments."""
        events = secrets * ROTATIONS_PER_MONTH * EVENTS_PER_ROTATION
        sweeps = MONTH_S / SWEEP_EVERY_S
        pages, scanned = ceil(secrets / PAGE), ceil(secrets * MARKER_BYTES / READ_UNIT_BYTES)
        sweep = dict(self.sweep) | {"ListSecrets": pages, "Scan": scanned}
        sweep_s = SWEEP_S + SWEEP_SECRET_S * secrets
        return (
            secrets * environments * dollars(self.environment)
            + events * (dollars(self.event) + run(EVENT_S))
            + sweeps * (dollars(sweep) + run(sweep_s))
        )


def polling(secrets: int, environments: int, interval_s: float) -> float:
    """Return the dollars a month of calling Secrets Manager once per interval instead."""
    return secrets * environments * MONTH_S / interval_s * SECRETS_MANAGER_CALL


def dollars(calls: Mapping[str, float]) -> float:
    """Return the price of these calls."""
    return sum(DOLLARS[call] * number for call, number in calls.items())


def run(seconds: float) -> float:
    """Return the price of one run of the listener."""
    return LAMBDA_REQUEST + seconds * MEMORY_GB * LAMBDA_GB_S


def measure(_size: Size) -> Parts:
    """Return the only part. It only counts, so both sizes are the same."""
    event, sweep = listener_calls()
    bills = {one: Bill(environment_calls(one), event, sweep) for one in INTERVALS_S}
    bill = bills[DEFAULT_INTERVAL_S]
    from_five = [
        polling(secrets, environments, interval_s) / bills[interval_s].month(secrets, environments)
        for interval_s in (DEFAULT_INTERVAL_S,)
        for secrets in SECRETS
        for environments in ENVIRONMENTS
        if environments >= FROM_ENVIRONMENTS
    ]
    rows = [
        *(
            counted(f"{call}, one environment", "calls/month", number)
            for call, number in bill.environment.items()
        ),
        *(counted(f"{call}, one event", "calls", number) for call, number in event.items()),
        *(counted(f"{call}, one sweep", "calls", number) for call, number in sweep.items()),
        counted("one environment", "$/month", dollars(bill.environment)),
        counted("one environment that polls", "$/month", polling(1, 1, DEFAULT_INTERVAL_S)),
        counted("listener and sweep, one secret", "$/month", bill.month(1, 0)),
        counted("listener and sweep, 100 secrets", "$/month", bill.month(100, 0)),
    ]
    part = Part(
        f"Cost against polling, both at {DEFAULT_INTERVAL_S:g} s",
        "The calls are counted on the code that is shipped. SecretCache lives through a month of an "
        "environment in virtual time: cold start, checks, a re-read each hour, one rotation. The listener "
        "and its sweep run on moto. The prices are the list prices of us-east-1 in 2026. The listener's "
        "durations are assumed to be several times what was measured.",
        tuple(rows),
        (
            ratio(
                f"polling / keyturn from {FROM_ENVIRONMENTS} environments per secret, worst",
                min(from_five),
                "at least",
                40,
            ),
        ),
        plots(bills),
        (
            (
                f"Not counted: the template's {ALARMS} alarms and {METRICS} metrics (${WATCHING:.2f} a month "
                "an account, none within CloudWatch's free ten of each), log and table storage (cents), and "
                "waiting for a check or a poll. A customer's KMS key is not counted either: it makes "
                "polling $8 instead of $5 per million."
            ),
        ),
    )
    return {"cost": part}


def plots(bills: Mapping[float, Bill]) -> tuple[Plot, ...]:
    """Plot how many times cheaper keyturn is, by environments per secret."""
    x = tuple(map(float, ENVIRONMENTS))

    def curve(name: str, secrets: int, interval_s: float) -> Curve:
        bill = bills[interval_s]
        values = (polling(secrets, int(n), interval_s) / bill.month(secrets, int(n)) for n in x)
        return Curve(name, x, tuple(values))

    by_secrets = tuple(curve(f"{n} secret{'s' * (n > 1)}", n, DEFAULT_INTERVAL_S) for n in SECRETS)
    by_interval = tuple(curve(f"interval {one:g} s", 1, one) for one in INTERVALS_S)
    return (
        Plot(
            "cost-secrets",
            f"Times cheaper than polling every {DEFAULT_INTERVAL_S:g} s",
            "environments per secret",
            "times",
            by_secrets,
        ),
        Plot(
            "cost-interval",
            "Times cheaper than polling, one secret",
            "environments per secret",
            "times",
            by_interval,
        ),
    )


# The calls are counted below.


def environment_calls(interval_s: float) -> dict[str, float]:
    """Count the calls of one environment in a month of constant reads, by its production code."""
    life, rotation = Counter(_life(interval_s, rotations=0)), Counter(_life(interval_s, rotations=1))
    rotation.subtract(life)
    lives = MONTH_S / LIFE_S
    return {call: life[call] * lives + rotation[call] * ROTATIONS_PER_MONTH for call in life | rotation}


def _life(interval_s: float, rotations: int) -> dict[str, int]:
    """Count the calls of one life of an environment that is read at every moment that matters."""
    clock = FakeClock()
    secrets, table = FakeSecretsManager(clock), FakeMarkers(clock)
    arn = secrets.create(NAME, "one", "v1")
    key = secret_key(arn, NAME)
    table.set(key, arn, {"AWSCURRENT": "v1"})
    cache = SecretCache(
        check_interval_s=interval_s,
        peers=Peers(source=secrets, markers=table, clock=clock, random=lambda: 0.5),
    )
    table.calls.clear()
    checks = int(LIFE_S / interval_s)
    for number in range(checks):
        if number * interval_s % SWEEP_EVERY_S < interval_s:
            table.sweep()
        if rotations and number == checks // 2:
            secrets.put(NAME, "two", "v2")
            table.set(key, arn, {"AWSCURRENT": "v2"})
            del table.calls["look"], table.calls["write"]
        cache.get(NAME)
        clock.advance(interval_s)
    return dict(secrets.calls) | dict(table.calls)


def listener_calls() -> tuple[dict[str, float], dict[str, float]]:
    """Count the calls of one event that moves AWSCURRENT, and of one sweep of one secret."""
    with mock_aws(), _deployed() as (listener, client, calls):
        arn = client.create_secret(Name=NAME, SecretString="one")["ARN"]
        listener.handle({"keyturn": "sweep"}, lambda: False)
        put = client.put_secret_value(SecretId=NAME, SecretString="two")
        calls.clear()
        listener.handle(_event(arn, put["VersionId"]), lambda: False)
        event: dict[str, float] = dict(calls)
        # A second sweep within one second of the table's clock would find the lease already renewed.
        boto3.client("dynamodb", region_name=REGION).update_item(
            TableName=TABLE,
            Key={"pk": {"S": HEAD_KEY}},
            UpdateExpression="SET swept_as_of_s = :long_ago",
            ExpressionAttributeValues={":long_ago": {"N": "1"}},
        )
        calls.clear()
        listener.handle({"keyturn": "sweep"}, lambda: False)
        return event, dict(calls)


@contextmanager
def _deployed() -> Iterator[tuple[Listener, SecretsManagerClient, Counter[str]]]:
    """Yield the listener on moto, its client, and the count of its calls."""
    client, database = (
        boto3.client("secretsmanager", region_name=REGION),
        boto3.client("dynamodb", region_name=REGION),
    )
    database.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )
    calls: Counter[str] = Counter()

    def sent(request: AWSPreparedRequest, **_event: object) -> None:
        target, body = request.headers["X-Amz-Target"], request.body
        assert isinstance(target, bytes)
        assert isinstance(body, bytes)
        operation = target.decode().rpartition(".")[2]
        asked = json.loads(body)
        assert operation != "GetItem" or asked["ConsistentRead"]
        is_head = operation == "UpdateItem" and asked["Key"] == {"pk": {"S": HEAD_KEY}}
        calls[f"{operation}, head" if is_head else operation] += 1

    for one in (client, database):
        one.meta.events.register_first("before-send", sent)
    clock = FakeClock()
    host = Host(wall=clock.wall, sleep=clock.advance, random=lambda: 0.0, new_epoch=lambda: "e")
    table = MarkerTable(cast("DynamoDBClient", database), TABLE, host)
    catalog = SecretsManagerCatalog(cast("CatalogClient", client))
    yield Listener(Settings(TABLE), catalog, table, host), client, calls


def _event(arn: str, version_id: str) -> dict[str, object]:
    """Return Secrets Manager's native event."""
    return {
        "detail-type": "Secret Label Updated",
        "source": "aws.secretsmanager",
        "id": "1",
        "resources": [arn],
        "detail": {"name": NAME, "labelUpdated": "AWSCURRENT", "versionId": version_id},
    }
