"""The hook for OpenTelemetry: each measurement reaches its instrument, by OpenTelemetry's own SDK."""

from __future__ import annotations

import re

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
    Sum,
)

from keyturn import (
    AccessDeniedError,
    LoginRefusedError,
    MarkerTableError,
    Metric,
    Peers,
    SecretCache,
    StageNotFoundError,
)
from keyturn.metrics.otel import (
    AGE_BOUNDARIES_S,
    COUNTS,
    DURATIONS,
    ERROR_TYPE,
    REQUEST_BOUNDARIES_S,
    STAGE,
    OtelMetrics,
)
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.world import NAME, World

CANARY = "canary-otel"


class Told:
    """What a reader of OpenTelemetry's SDK has collected, by the instruments' names."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        provider = MeterProvider(metric_readers=[self._reader], shutdown_on_exit=False)
        self.hook = OtelMetrics(provider.get_meter("keyturn"))

    def collected(self) -> dict[str, tuple[str | None, Sum | Histogram]]:
        data = self._reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: (metric.unit, metric.data)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if isinstance(metric.data, Sum | Histogram)
        }


def test_every_metric_has_an_instrument() -> None:
    """A member that is added to `Metric` is not forgotten, and durations are seconds."""
    assert set(Metric) == DURATIONS.keys() | COUNTS.keys()
    assert {"s"} == {one.unit for one in DURATIONS.values()}
    assert all(metric.unit == "Seconds" for metric in DURATIONS)
    names = [one.name for one in (*DURATIONS.values(), *COUNTS.values())]
    assert len(set(names)) == len(names)
    assert all(name.startswith("keyturn.") for name in names)


@pytest.mark.parametrize("metric", Metric)
def test_a_measurement_arrives(metric: Metric) -> None:
    """With its value, its unit, and no name of a secret in its attributes."""
    told = Told()
    told.hook.record(metric, 2.5 if metric in DURATIONS else 1, secret="prod/db", stage="")
    instrument = {**DURATIONS, **COUNTS}[metric]
    unit, data = told.collected()[instrument.name]
    (point,) = data.data_points
    assert instrument.unit == unit
    assert {} == dict(point.attributes or {})
    assert (point.value if isinstance(point, NumberDataPoint) else point.sum) == (
        2.5 if metric in DURATIONS else 1
    )


def test_a_cache_tells_it() -> None:
    """A read, a bridge with its label, refusals and a failed login; no value is in any of it."""
    told, clock = Told(), FakeClock()
    secrets = FakeSecretsManager(clock)
    secrets.create("prod/db", CANARY, "v1")
    cache = SecretCache(
        metrics=told.hook, peers=Peers(source=secrets, clock=clock, sleep=clock.advance, random=lambda: 0.0)
    )
    cache.get("prod/db")
    secrets.put("prod/db", "two", "v2", "AWSPENDING")

    def connect(version: SecretVersion) -> str:
        if version.version_id != accepted:
            raise PermissionError
        return version.version_id

    def is_refused(error: Exception) -> bool:
        return isinstance(error, PermissionError)

    accepted = "v2"
    cache.login("prod/db", connect, is_refused=is_refused)
    accepted = "none"
    with pytest.raises(LoginRefusedError):
        cache.login("prod/db", connect, is_refused=is_refused, budget_s=0)
    found = told.collected()
    (bridge,) = found["keyturn.login.bridges"][1].data_points
    assert {STAGE: "AWSPENDING"} == dict(bridge.attributes or {})
    assert {"keyturn.read.duration", "keyturn.login.refusals", "keyturn.login.failures"} <= found.keys()
    assert CANARY not in repr(found)


def cache_of(world: World, told: Told) -> SecretCache:
    """A cache whose hook is that of OpenTelemetry."""
    peers = Peers(source=world.secrets, markers=world.table, clock=world.clock, sleep=world.clock.advance)
    return SecretCache(metrics=told.hook, peers=peers)


def attributes(told: Told) -> dict[str, list[dict[str, object]]]:
    """The sets of attributes of each instrument that has recorded something."""
    return {
        name: [dict(point.attributes or {}) for point in data.data_points]
        for name, (_, data) in told.collected().items()
    }


def test_a_failure_has_the_type_of_its_error() -> None:
    """`error.type` is the name of a class: on the failure, and on the duration of what failed."""
    told, world = Told(), World()
    cache = cache_of(world, told)
    world.mark()
    cache.get(NAME)
    world.clock.advance(5)
    cache.get(NAME)
    assert [] == [one for sets in attributes(told).values() for one in sets if ERROR_TYPE in one]
    world.table.fail = lambda: MarkerTableError("markers", f"denied, {CANARY}")
    world.secrets.fail = lambda secret_id: AccessDeniedError(secret_id, f"{world.arn} {CANARY}")
    world.clock.advance(400)
    cache.get(NAME)
    found = attributes(told)
    denied, no_table = {ERROR_TYPE: "AccessDeniedError"}, {ERROR_TYPE: "MarkerTableError"}
    assert [denied] == found["keyturn.read.failures"] == found["keyturn.refresh.failures"]
    assert [no_table] == found["keyturn.check.failures"]
    assert [{}, denied] == found["keyturn.read.duration"]
    assert [{}, no_table] == found["keyturn.check.duration"]
    assert not any(part in repr(found) for part in (CANARY, world.arn, NAME))


def test_a_refused_login_has_the_type_of_the_drivers_error() -> None:
    """A refusal has the class that the driver raised, the login keyturn's own: no text of either."""
    told, world = Told(), World()

    class InvalidPasswordError(Exception):
        status = 401

    def connect(_version: SecretVersion) -> None:
        raise InvalidPasswordError(CANARY)

    with pytest.raises(LoginRefusedError):
        cache_of(world, told).login(NAME, connect, budget_s=0)
    found = attributes(told)
    assert [{ERROR_TYPE: "InvalidPasswordError"}] == found["keyturn.login.refusals"]
    assert [{ERROR_TYPE: "LoginRefusedError"}] == found["keyturn.login.failures"]
    assert CANARY not in repr(found)


def test_an_answer_is_no_error() -> None:
    """A missing version is an answer: its read has a duration without a type of error, and no failure."""
    told, world = Told(), World()
    with pytest.raises(StageNotFoundError):
        cache_of(world, told).get(NAME, stage="AWSPENDING")
    assert {"keyturn.read.duration": [{}]} == attributes(told)


def test_buckets_are_in_seconds() -> None:
    """A read of 20 ms is not in the first bucket: OpenTelemetry's own boundaries are for milliseconds."""
    told = Told()
    told.hook.record(Metric.READ_S, 0.02)
    told.hook.record(Metric.LAG_S, 20)
    found = told.collected()
    for name, boundaries in (
        ("keyturn.read.duration", REQUEST_BOUNDARIES_S),
        ("keyturn.rotation.lag", AGE_BOUNDARIES_S),
    ):
        (point,) = found[name][1].data_points
        assert isinstance(point, HistogramDataPoint)
        assert boundaries == tuple(point.explicit_bounds)
        assert 0 == point.bucket_counts[0]


def test_the_names_keep_the_conventions() -> None:
    """Lower-case words with dots and underscores, no unit in a name, and what is counted in braces."""
    for one in (*DURATIONS.values(), *COUNTS.values()):
        assert re.fullmatch(r"keyturn(\.[a-z]+(_[a-z]+)*)+", one.name)
        assert not re.search(r"(_total|_seconds|_s|_count)$", one.name)
        assert one.unit == "s" or re.fullmatch(r"\{[a-z]+\}", one.unit)
