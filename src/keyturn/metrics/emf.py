"""A cache's metrics in CloudWatch's embedded metric format: log lines that become metrics.

metrics = EmfMetrics()
cache = SecretCache(marker_table="keyturn-markers", metrics=metrics)
"""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from keyturn.errors import ConfigurationError
from keyturn.metrics.hook import Metric
from keyturn.model.protocols import Clock
from keyturn.runtime.host import SystemClock, environment
from keyturn.runtime.process import watch_process

VALUES_MAX: Final = 100
"""Values of one metric in one line (the format's specification)."""

DIMENSION_LENGTH_MAX: Final = 1024
"""Characters of a dimension's value (the specification)."""

NAMESPACE_LENGTH_MAX: Final = 255
"""Characters of a namespace (PutMetricData in CloudWatch's API reference)."""

FLUSH_INTERVAL_S: Final = 60.0
"""CloudWatch keeps these metrics by the minute."""

FUNCTION_VARIABLE: Final = "AWS_LAMBDA_FUNCTION_NAME"


class _Group(NamedTuple):
    """What gets a line of its own: the measurements with these dimensions beside the service."""

    secret: str
    stage: str


_Values = dict[Metric, list[float]]


class EmfMetrics:
    """A metrics hook that gathers, and writes at most once per `flush_interval_s`. Threads may share it.

    Counts are summed; every duration is kept, so that percentiles are true and their number is that of
    checks or reads. A line is written by the first measurement after the interval, and by `flush`: what
    was gathered since is lost when the process ends without one.

    Args:
        service: the dimension that all metrics have; by default the Lambda function's name.
        namespace: CloudWatch's namespace.
        by_secret: the metrics once more with the secret's name as a dimension. CloudWatch bills each
            metric of each secret.
        flush_interval_s: seconds.
        output: takes one line, without its end; by default the standard output.
        clock: where the time comes from.

    A forked child begins with nothing gathered. Raises `ConfigurationError` for arguments that cannot work.
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
            raise ConfigurationError(f"no service: pass service, or set {FUNCTION_VARIABLE} as Lambda does")
        if not 1 <= len(namespace) <= NAMESPACE_LENGTH_MAX or namespace.startswith(":"):
            raise ConfigurationError(
                f"namespace {namespace[:80]!r}: give 1 to {NAMESPACE_LENGTH_MAX} characters, no colon first"
            )
        if not 0 < flush_interval_s < math.inf:
            raise ConfigurationError(f"flush_interval_s is {flush_interval_s!r}; give seconds, above 0")
        self._service = _dimension(service)
        self._namespace = namespace
        self._by_secret = by_secret
        self._flush_interval_s = flush_interval_s
        self._output = output or _to_stdout
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._gathered: dict[_Group, _Values] = {}
        self._since_s = 0.0
        watch_process(self)

    def record(self, metric: Metric, value: float, *, secret: str = "", stage: str = "") -> None:
        """Gather one measurement; first write what was gathered, if the interval has passed."""
        group = _Group(_dimension(secret) if self._by_secret else "", stage)
        with self._lock:
            now_s = self._clock.wall()
            # A wall clock that was set back ends the interval, too.
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
        """Write what was gathered, now. Raises what `output` raises."""
        with self._lock:
            lines = self._taken()
        self._write(lines)

    def after_fork(self) -> None:
        """In a forked child: what was gathered is the parent's, and a lost thread may hold the lock."""
        self._lock, self._gathered = threading.Lock(), {}

    def forget(self) -> None:
        """Before a SnapStart snapshot: write it once, not in each clone."""
        self.flush()

    def _taken(self) -> list[str]:
        """The lines of what was gathered, which is then no more."""
        gathered, self._gathered = self._gathered, {}
        return [line for group, values in gathered.items() for line in self._lines(group, values)]

    def _lines(self, group: _Group, values: _Values) -> Iterator[str]:
        """As many lines as the metric with the most values needs, by the time when the first was measured."""
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
    """As CloudWatch takes it: ASCII, and not too long."""
    return value.encode("ascii", "replace").decode("ascii")[:DIMENSION_LENGTH_MAX]


def _to_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
