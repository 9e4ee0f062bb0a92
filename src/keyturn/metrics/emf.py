"""Writes a cache's metrics in CloudWatch's embedded metric format: log lines that become metrics.

Give them to the cache as its hook:

    metrics = EmfMetrics()
    cache = SecretCache(marker_table="keyturn-markers", metrics=metrics)
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from keyturn.errors import ConfigurationError
from keyturn.metrics.hook import Metric
from keyturn.model.instant import Clock
from keyturn.runtime.host import SystemClock, environment
from keyturn.runtime.locks import new_lock
from keyturn.runtime.process import watch_process

VALUES_MAX: Final = 100
"""One line has at most so many values of one metric (the format's specification)."""

DIMENSION_LENGTH_MAX: Final = 1024
"""A dimension's value has at most so many characters (the specification)."""

NAMESPACE_LENGTH_MAX: Final = 255
"""A namespace has at most so many characters (PutMetricData in CloudWatch's API reference)."""

FLUSH_INTERVAL_S: Final = 60.0
"""CloudWatch keeps these metrics with a resolution of one minute."""

FUNCTION_VARIABLE: Final = "AWS_LAMBDA_FUNCTION_NAME"


class _Group(NamedTuple):
    """The dimensions of one line beside the service. An empty one is left out."""

    secret: str
    stage: str


_Values = dict[Metric, list[float]]


class EmfMetrics:
    """A metrics hook that gathers measurements and writes them once per `flush_interval_s`.

    Counts are summed. Every duration is kept, so the percentiles are exact, and the number of durations is
    the number of checks or reads. The first measurement after the interval writes the lines, and so does
    `flush`. Measurements are lost if the process ends without a `flush`. A forked child begins without any.
    Threads may share this object.

    Args:
        service: a dimension of all metrics; by default the Lambda function's name.
        namespace: CloudWatch's namespace.
        by_secret: whether to write the metrics a second time, with the secret's name as a dimension.
            CloudWatch bills each metric of each secret.
        flush_interval_s: the interval in seconds.
        output: takes one line without its end; by default it writes to the standard output.
        clock: this host's clocks.

    Raises `ConfigurationError` for arguments that cannot work.
    """

    def __init__(
        self,
        *,
        service: str | None = None,
        namespace: str = "keyturn",
        by_secret: bool = False,
        flush_interval_s: float = FLUSH_INTERVAL_S,
        output: Callable[[str], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        service = environment().get(FUNCTION_VARIABLE, "") if service is None else service
        if not service.strip():
            raise ConfigurationError(
                f"the metrics have no service: pass service=, or set {FUNCTION_VARIABLE} as Lambda does"
            )
        if not 1 <= len(namespace) <= NAMESPACE_LENGTH_MAX or namespace.startswith(":"):
            raise ConfigurationError(
                f"namespace is {namespace[:80]!r}; give 1 to {NAMESPACE_LENGTH_MAX} characters, the first of "
                "them no colon"
            )
        if not 0 < flush_interval_s < math.inf:
            raise ConfigurationError(f"flush_interval_s is {flush_interval_s!r}; give seconds above 0")
        self._service = _dimension(service)
        self._namespace = namespace
        self._by_secret = by_secret
        self._flush_interval_s = flush_interval_s
        self._output = output or _to_stdout
        self._clock = clock or SystemClock()
        self._lock = new_lock()
        self._gathered: dict[_Group, _Values] = {}
        self._since_s = 0.0
        watch_process(self)

    def record(
        self,
        metric: Metric,
        value: float,
        *,
        secret: str = "",
        stage: str = "",
        error: str = "",  # noqa: ARG002 # a dimension more would be a metric more to pay for
    ) -> None:
        """Gather one measurement. If the interval has passed, first write the measurements from before."""
        group = _Group(_dimension(secret) if self._by_secret else "", stage)
        with self._lock:
            now_s = self._clock.wall()
            # The interval ends as well if the wall clock was set back.
            due = [] if 0 <= now_s - self._since_s < self._flush_interval_s else self._taken()
            if not self._gathered:
                self._since_s = now_s
            values = self._gathered.setdefault(group, {}).setdefault(metric, [])
            if metric.unit == "Count" and values:
                values[0] += value
            else:
                values.append(round(value, 6))
        self._write(due)

    def flush(self) -> None:
        """Write all gathered measurements now. Raises what `output` raises."""
        with self._lock:
            lines = self._taken()
        self._write(lines)

    def after_fork(self) -> None:
        """Drop the measurements in a forked child, since they are the parent's.

        The lock is made anew, because the thread that may hold it does not exist in the child.
        """
        self._lock, self._gathered = new_lock(), {}

    def forget(self) -> None:
        """Write all gathered measurements before a SnapStart snapshot. Else each clone would write them."""
        self.flush()

    def _taken(self) -> list[str]:
        """Return the lines of all gathered measurements, and begin with none."""
        gathered, self._gathered = self._gathered, {}
        return [line for group, values in gathered.items() for line in self._lines(group, values)]

    def _lines(self, group: _Group, values: _Values) -> Iterator[str]:
        """Yield as many lines as the metric with the most values needs.

        Their time is that of the first measurement.
        """
        dimensions = {"service": self._service, **{name: one for name, one in group._asdict().items() if one}}
        sets = [["service"], *(["service", name] for name in dimensions if name != "service")]
        for start in range(0, max(map(len, values.values())), VALUES_MAX):
            part = {metric: these[start : start + VALUES_MAX] for metric, these in values.items()}
            yield self._line(dimensions, sets, {metric: these for metric, these in part.items() if these})

    def _line(self, dimensions: Mapping[str, str], sets: list[list[str]], values: _Values) -> str:
        directive = {
            "Namespace": self._namespace,
            "Dimensions": sets,
            "Metrics": [{"Name": metric.value, "Unit": metric.unit} for metric in values],
        }
        named = {metric.value: these if len(these) > 1 else these[0] for metric, these in values.items()}
        metadata = {"Timestamp": int(self._since_s * 1000), "CloudWatchMetrics": [directive]}
        return json.dumps({"_aws": metadata, **dimensions, **named}, separators=(",", ":"))

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            self._output(line)


def _dimension(value: str) -> str:
    """Return a dimension's value as CloudWatch takes it: in ASCII, and not too long."""
    return value.encode("ascii", "replace").decode("ascii")[:DIMENSION_LENGTH_MAX]


def _to_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
