"""`python -m keyturn.demo.markdown REPORT`: print the table of a run in Markdown, from its report alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from keyturn.demo.report import Report, read
from keyturn.demo.words import COLUMNS, COUNTED, PRICES, cells


def markdown(report: Report) -> str:
    """Return the table. Before it stand date and machine of the run, after it the meaning of its figures."""
    rows = [(f"**{row.title}**\n{row.setting}", *cells(row)) for row in report.contenders]
    table = [
        line(column.heading for column in COLUMNS),
        line("---:" if column.align == "right" else "---" for column in COLUMNS),
        *map(line, rows),
    ]
    return "\n".join((measured(report), "", *table, "", COUNTED, PRICES))


def measured(report: Report) -> str:
    """Return the date, the machine and the versions of the run."""
    machine = report.machine
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    windows = [move.window_s for move in report.moves]
    return (
        f"{len(report.moves)} rotations in {report.seconds:.0f} s, finishSecret {min(windows):.1f} to "
        f"{max(windows):.1f} s after setSecret. Measured on {report.date}, {machine.system}, "
        f"{machine.processors} processors, Python {machine.python}. Packages: {versions}."
    )


def line(cells: Iterable[str]) -> str:
    """Return one line of a table. A new line within a cell becomes `<br>`."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"


def main(arguments: list[str]) -> None:
    """Print the table of the report that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m keyturn.demo.markdown", description=__doc__)
    parser.add_argument("report", type=Path, help="a report.json that the demonstration wrote")
    print(markdown(read(parser.parse_args(arguments).report)))


if __name__ == "__main__":
    main(sys.argv[1:])
