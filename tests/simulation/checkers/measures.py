"""What a metrics hook is told: no value, nothing that cannot be, and no more than has happened."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from keyturn.metrics.hook import Metric
from tests.simulation.checkers import secrecy
from tests.simulation.checkers.broken import BrokenPromiseError

STAGES = ("", "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS")


@dataclass(slots=True)
class Measures:
    """The hook of one reader. `happened` counts what it may be told of; `names`: whom it may be about."""

    names: Collection[str]
    happened: Callable[[Metric], int | None]
    told: Counter[Metric] = field(default_factory=Counter)

    def record(
        self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
    ) -> None:
        """Judge one measurement."""
        secrecy.no_canary(f"{value} {secret} {stage} {error}", "a metric")
        possible = math.isfinite(value) and value >= 0 and (metric.unit == "Seconds" or value == 1)
        possible = possible and error.isidentifier() if error else possible
        if not possible or stage not in STAGES or not (secret == "" or secret in self.names):
            said = f"{metric.value} of {secret!r} {stage!r} {error!r} is {value}"
            raise BrokenPromiseError("metrics", said)
        told, happened = self.told[metric] + 1, self.happened(metric)
        self.told[metric] = told
        if happened is not None and told > happened:
            what = f"{metric.value} was told {told} times and happened {happened} times"
            raise BrokenPromiseError("metrics", what)
