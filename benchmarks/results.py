"""The result of a run of the benchmarks: `results.json`, with one schema for all its parts."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles
from typing import Final, Literal

from pydantic import TypeAdapter

FOLDER: Final = Path("build/bench")
PATH: Final = FOLDER / "results.json"

PACKAGES: Final = (
    "aws-lambda-powertools",
    "aws-secretsmanager-caching",
    "awslambdaric",
    "boto3",
    "botocore",
    "cachetools",
    "ministack",
    "pydantic-settings",
)


Size = Literal["full", "quick"]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: the median of `samples` measurements with their 10th and 90th percentile."""

    name: str
    unit: str
    median: float
    low: float
    high: float
    samples: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One comparison with a target: `value` should be `kind` `limit`.

    `because` explains a miss that is known: why it stays, in words for the page.
    """

    name: str
    value: float
    kind: Literal["at most", "at least"]
    limit: float
    unit: str = "x"
    because: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.kind == "at most" else self.value >= self.limit

    @property
    def verdict(self) -> str:
        """Return whether the target is met, in words; for a miss also why, if that is known."""
        if self.met:
            return "met"
        return f"missed: {self.because}" if self.because else "**missed**"


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot: `y` over `x`."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves over the same axes. `limit` is a line that they should stay below."""

    name: str
    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    limit: float | None = None
    limit_name: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement: what was measured and how (`how`), and what was not (`notes`)."""

    title: str
    how: str
    rows: tuple[Row, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()


Parts = dict[str, Part]
"""Parts by their key in `results.json`."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a run, without its name."""

    system: str
    processor: str
    processors: int | None
    python: str


@dataclass(frozen=True, slots=True)
class Run:
    """The date, the machine and the duration of a part's measurement."""

    date: str
    size: Size
    seconds: float
    machine: Machine
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Results:
    """All parts, and the run that each is from."""

    runs: dict[str, Run] = field(default_factory=dict)
    parts: Parts = field(default_factory=dict)


def row(name: str, unit: str, samples: Sequence[float], note: str = "") -> Row:
    """Return the figure of these samples (at least one)."""
    cuts = quantiles(samples, n=10, method="inclusive") if len(samples) > 1 else [samples[0]] * 9
    low, middle, high = (rounded(one) for one in (cuts[0], median(samples), cuts[-1]))
    return Row(name, unit, middle, low, high, len(samples), note)


def counted(name: str, unit: str, number: float, note: str = "") -> Row:
    """Return a figure that is counted or computed, not sampled."""
    return row(name, unit, [number], note)


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that `share` (0 to 1) of all samples do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def rounded(number: float) -> float:
    """Return a number with the digits of a measurement."""
    return float(f"{number:.4g}")


def ratio(
    name: str,
    value: float,
    kind: Literal["at most", "at least"],
    limit: float,
    unit: str = "x",
    *,
    because: str = "",
) -> Ratio:
    """Return a comparison with its target."""
    return Ratio(name, rounded(value), kind, limit, unit, because)


def machine() -> Machine:
    """Return this machine."""
    return Machine(
        f"{platform.system()} {platform.machine()}", _processor(), os.cpu_count(), platform.python_version()
    )


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of the compared packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def run(size: Size, seconds: float) -> Run:
    """Return a run of today on this machine."""
    return Run(date.today().isoformat(), size, round(seconds, 1), machine(), versions())  # noqa: DTZ011


def read(path: Path = PATH) -> Results:
    """Return the results in a file; empty results if there is none."""
    if not path.exists():
        return Results()
    document: dict[str, object] = json.loads(path.read_text("utf-8"))
    runs = _RUNS.validate_python(document.pop("runs", {}))
    return Results(runs, {key: _PART.validate_python(part) for key, part in document.items()})


def write(results: Results, path: Path = PATH) -> None:
    """Write `results.json`: the parts by their keys, and `runs`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {key: part_document(part) for key, part in sorted(results.parts.items())}
    runs = {key: asdict(one) for key, one in results.runs.items()}
    path.write_text(json.dumps({"runs": runs, **document}, indent=1) + "\n", "utf-8")


def part_document(part: Part) -> dict[str, object]:
    """Return a part for JSON. Each comparison has its verdict, for programs that read the file."""
    document = asdict(part)
    document["ratios"] = [asdict(one) | {"met": one.met} for one in part.ratios]
    return document


_PART: Final = TypeAdapter(Part)
_RUNS: Final = TypeAdapter(dict[str, Run])


def _processor() -> str:
    """Return the processor's model, if the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
