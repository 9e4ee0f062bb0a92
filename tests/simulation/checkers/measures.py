"""What a metrics hook is told: no value, nothing that cannot be, and no more than has happened."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from keyturn.telemetry import Metric
from tests.simulation.checkers import secrecy
from tests.simulation.checkers.broken import require

STAGES = ("", "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS")


@dataclass(slots=True)
class Measures:
    """The hook of one reader. `happened` counts what it may be told of; `names`: whom it may be about."""

    names: Collection[str]
    happened: Callable[[Metric], int | None]
    told: Counter[Metric] = field(default_factory=Counter)

    def record(self, metric: Metric, value: float, *, secret: str = "", stage: str = "") -> None:
        """Judge one measurement."""
        secrecy.no_canary(f"{value} {secret} {stage}", "a metric")
        said = f"{metric.value} of {secret!r} {stage!r} is {value}"
        require(math.isfinite(value) and value >= 0, "metrics", said)
        require(metric.unit == "Seconds" or value == 1, "metrics", said)
        require(secret in ("", *self.names) and stage in STAGES, "metrics", said)
        self.told[metric] += 1
        happened = self.happened(metric)
        require(
            happened is None or self.told[metric] <= happened,
            "metrics",
            f"{metric.value} was told {self.told[metric]} times and happened {happened} times",
        )
