"""A metrics hook for OpenTelemetry.

    SecretCache(metrics=OtelMetrics())

OpenTelemetry has no convention for caches, so the names are keyturn's own, under `keyturn.`. By its general
rules (https://opentelemetry.io/docs/specs/semconv/general/metrics/) durations are in seconds, counts name
what is counted, and what failed has the attribute `error.type`. No attribute holds an ARN, since the number
of attribute sets would grow with the number of secrets. AWS calls themselves are measured by botocore's
instrumentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from opentelemetry.metrics import Meter, get_meter

from keyturn.metrics.hook import Metric

STAGE: Final = "keyturn.stage"
"""The attribute of `keyturn.login.bridges`: the staging label of the version that was accepted."""


ERROR_TYPE: Final = "error.type"
"""The attribute of what failed: the name of the error's class. What succeeded does not have it."""

REQUEST_BOUNDARIES_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The boundaries that the conventions give histograms of requests. The SDK's default is for milliseconds."""

AGE_BOUNDARIES_S: Final = (1, 2.5, 5, 10, 15, 30, 60, 120, 300, 450, 600, 900, 1800, 3600)
"""The boundaries for ages: from the check interval to hours without a sweep."""


class Instrument(NamedTuple):
    """The name, unit and description of an instrument, and the boundaries of a histogram's buckets."""

    name: str
    unit: str
    description: str
    boundaries: tuple[float, ...] = ()


DURATIONS: Final[Mapping[Metric, Instrument]] = {
    Metric.CHECK_S: Instrument(
        "keyturn.check.duration", "s", "Duration of a check of the marker table.", REQUEST_BOUNDARIES_S
    ),
    Metric.READ_S: Instrument(
        "keyturn.read.duration",
        "s",
        "Duration of a request to Secrets Manager or Parameter Store.",
        REQUEST_BOUNDARIES_S,
    ),
    Metric.LAG_S: Instrument(
        "keyturn.rotation.lag",
        "s",
        "Time from the marker of a new version to its first use in this process.",
        AGE_BOUNDARIES_S,
    ),
    Metric.SWEPT_AGE_S: Instrument(
        "keyturn.sweep.age", "s", "Age of the last sweep's statement at a successful check.", AGE_BOUNDARIES_S
    ),
}
"""What is recorded in histograms."""

COUNTS: Final[Mapping[Metric, Instrument]] = {
    Metric.CHECKS_FAILED: Instrument("keyturn.check.failures", "{check}", "Checks that failed."),
    Metric.READS_FAILED: Instrument("keyturn.read.failures", "{read}", "Reads that failed."),
    Metric.INVALIDATIONS: Instrument(
        "keyturn.invalidations", "{invalidation}", "Held secrets that must be read again early."
    ),
    Metric.READS_IN_VAIN: Instrument(
        "keyturn.read.in_vain", "{read}", "Reads that a marker caused and that changed nothing."
    ),
    Metric.MARKERS_HELD_OFF: Instrument(
        "keyturn.markers.held_off", "{secret}", "Secrets whose markers caused too many reads in vain."
    ),
    Metric.STALE_SERVED: Instrument(
        "keyturn.refresh.failures", "{refresh}", "Refreshes that failed while the known version is served."
    ),
    Metric.BRIDGES: Instrument(
        "keyturn.login.bridges", "{login}", "Logins with another version than the cached AWSCURRENT."
    ),
    Metric.REFUSALS: Instrument("keyturn.login.refusals", "{attempt}", "Login attempts that were refused."),
    Metric.LOGINS_FAILED: Instrument("keyturn.login.failures", "{login}", "Logins that failed."),
    Metric.RETIREMENTS: Instrument(
        "keyturn.retirements", "{credential}", "Old credentials that were taken away between rotations."
    ),
    Metric.RETIREMENTS_HELD: Instrument(
        "keyturn.retirements.held", "{look}", "Looks after which an old credential was kept for its holders."
    ),
}
"""What is counted."""


class OtelMetrics:
    """Records measurements by the instruments of a meter: by default that of the global meter provider.

    Threads may share it, and so may caches. It needs the extra `otel`.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter = meter or get_meter("keyturn")
        self._record: dict[Metric, Callable[[float, Mapping[str, str]], None]] = {}
        for metric, one in DURATIONS.items():
            histogram = self._meter.create_histogram(
                one.name, one.unit, one.description, explicit_bucket_boundaries_advisory=one.boundaries
            )
            self._record[metric] = histogram.record
        for metric, one in COUNTS.items():
            self._record[metric] = self._meter.create_counter(one.name, one.unit, one.description).add

    def record(
        self,
        metric: Metric,
        value: float,
        *,
        secret: str = "",  # noqa: ARG002 # left out: see the module
        stage: str = "",
        error: str = "",
    ) -> None:
        """Record one measurement. The name of the secret is left out: see the module."""
        record = self._record.get(metric)
        if record is not None:
            attributes = {STAGE: stage, ERROR_TYPE: error}
            record(value, {name: one for name, one in attributes.items() if one})
