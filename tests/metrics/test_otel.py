"""The hook for OpenTelemetry: each measurement reaches its instrument, by OpenTelemetry's own SDK."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, InMemoryMetricReader, NumberDataPoint, Sum

from keyturn import LoginRefusedError, Metric, Peers, SecretCache
from keyturn.metrics.otel import COUNTS, DURATIONS, STAGE, OtelMetrics
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeClock, FakeSecretsManager

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
