"""What the fault tests measured, for one table at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Figures(NamedTuple):
    """One fault: what it did to the reader meanwhile, and how soon it was over."""

    fault: str
    gets: int
    slowest_s: float
    converged_s: float
    secret_reads: int
    table_reads: int


measured: list[Figures] = []

HEADINGS = ("fault", "gets", "slowest get", "converged", "GetSecretValue", "table reads")


def table(rows: list[Figures]) -> Iterator[str]:
    """The lines of the table; `converged` counts from the end of the fault."""
    cells = [
        HEADINGS,
        *(
            (
                row.fault,
                f"{row.gets}",
                f"{row.slowest_s:.2f} s",
                f"{row.converged_s:.2f} s",
                *map(str, row[4:]),
            )
            for row in rows
        ),
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    for first, *others in cells:
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *numbers])
