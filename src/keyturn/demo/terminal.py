"""The outcome of a run as a table for a terminal, 120 columns wide."""

from __future__ import annotations

from rich import box
from rich.table import Table

from keyturn.demo.report import Report
from keyturn.demo.words import COLUMNS, COUNTED, PRICES, cells


def table(report: Report) -> Table:
    """Return a table of each contender's logins and costs."""
    whole = Table(
        box=box.SIMPLE_HEAD,
        title=f"{len(report.moves)} rotations, {report.seconds:.0f} s",
        caption=f"{COUNTED}\n{PRICES}",
        caption_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in COLUMNS:
        whole.add_column(column.heading, justify=column.align)
    for row in report.contenders:
        whole.add_row(f"[bold]{row.title}[/bold]\n{row.setting}", *cells(row))
    return whole
