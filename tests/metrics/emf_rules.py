"""What CloudWatch demands of a line in its embedded metric format.

From "Specification: Embedded metric format" in the CloudWatch User Guide, its text and its JSON schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

LINE_BYTES_MAX: Final = 256 * 1024
"""The page says 1 MB by now; this is what it said before."""

METRICS_MAX: Final = 100
VALUES_MAX: Final = 100
DIMENSIONS_MAX: Final = 30
DIMENSION_NAME_MAX: Final = 250
DIMENSION_VALUE_MAX: Final = 1024
NAME_MAX: Final = 1024
UNITS: Final = frozenset({"Seconds", "Microseconds", "Milliseconds", "Count", "Bytes", "Percent", "None"})
"""Those of the specification's units that are no rates and no multiples of bytes and bits."""


def breaches(line: str) -> list[str]:
    """Every rule that a line breaks; empty for a line that CloudWatch takes."""
    if len(line.encode()) > LINE_BYTES_MAX:
        return ["the line is too long"]
    if "\n" in line:
        return ["the line is more than one"]
    try:
        root: object = json.loads(line, parse_constant=_no_constant)
    except ValueError as error:
        return [f"not JSON: {error}"]
    if not isinstance(root, dict):
        return ["the root is no object"]
    return list(_of_root(root))


def _no_constant(name: str) -> object:
    raise ValueError(f"JSON has no {name}")


def _of_root(root: dict[str, object]) -> Iterator[str]:
    metadata = root.get("_aws")
    if not isinstance(metadata, dict):
        yield "no _aws"
        return
    yield from (f"_aws has {name!r}" for name in metadata.keys() - {"Timestamp", "CloudWatchMetrics"})
    timestamp = metadata.get("Timestamp")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int) or timestamp < 10**12:
        yield f"Timestamp {timestamp!r} is no whole number of milliseconds"
    directives = metadata.get("CloudWatchMetrics")
    if not isinstance(directives, list) or not directives:
        yield "no CloudWatchMetrics"
        return
    for directive in directives:
        yield from _of_directive(directive, root)


def _of_directive(directive: dict[str, object], root: dict[str, object]) -> Iterator[str]:
    if directive.keys() != {"Namespace", "Dimensions", "Metrics"}:
        yield f"a directive has {sorted(directive)}"
        return
    namespace, sets, metrics = directive["Namespace"], directive["Dimensions"], directive["Metrics"]
    if not isinstance(namespace, str) or not 1 <= len(namespace) <= NAME_MAX:
        yield f"namespace {namespace!r}"
    if not isinstance(sets, list) or not sets:
        yield "no set of dimensions"
        return
    for names in sets:
        yield from _of_dimensions(names, root)
    if not isinstance(metrics, list) or not 1 <= len(metrics) <= METRICS_MAX:
        yield "not 1 to 100 metrics"
        return
    for metric in metrics:
        yield from _of_metric(metric, root)


def _of_dimensions(names: list[str], root: dict[str, object]) -> Iterator[str]:
    if len(names) > DIMENSIONS_MAX:
        yield "too many dimensions"
    for name in names:
        value = root.get(name)
        if not 1 <= len(name) <= DIMENSION_NAME_MAX:
            yield f"dimension {name!r}"
        if not isinstance(value, str) or not value.strip() or len(value) > DIMENSION_VALUE_MAX:
            yield f"dimension {name} is {value!r}"
        elif not value.isascii():
            yield f"dimension {name} is not ASCII"


def _of_metric(metric: dict[str, object], root: dict[str, object]) -> Iterator[str]:
    yield from (f"a metric has {key!r}" for key in metric.keys() - {"Name", "Unit", "StorageResolution"})
    name, unit = metric.get("Name"), metric.get("Unit", "None")
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_MAX:
        yield f"metric {name!r}"
        return
    if unit not in UNITS:
        yield f"unit {unit!r}"
    target = root.get(name)
    values = target if isinstance(target, list) else [target]
    if not 1 <= len(values) <= VALUES_MAX:
        yield f"{name} has {len(values)} values"
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        yield f"{name} is no number"
