"""The results as a page with plots, or their summary as a table, from results.json alone.

python -m benchmarks.markdown docs          writes docs/performance.md and docs/performance/*.svg
python -m benchmarks.markdown --summary     prints the comparisons that have a target
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from benchmarks import plots, results
from benchmarks.results import Part, Ratio, Results, Row, Run

ORDER: Final = (
    "hit",
    "threads",
    "async",
    "async_stalls",
    "async_logins",
    "cold_start",
    "cold_imports",
    "check",
    "rotation",
    "memory",
    "eviction",
    "hang",
    "http",
    "verify",
    "fleet",
    "scale",
    "storm",
    "sweep",
    "cost",
    "listener",
    "serve",
)

PICTURES: Final = "performance"

INTRODUCTION: Final = """# Performance

This page shows what keyturn costs and what its peers cost. `make bench` measures all of it in a single
run, and writes `build/bench/results.json` and the plots. `python -m benchmarks.markdown docs` makes the page
from that file, so no figure is typed. Each figure is a median with its 10th and 90th percentile. Counted or
computed figures have no percentiles. The peers are at their released versions, and are used as their
documentation says."""


def page(found: Results) -> str:
    """Return the whole page."""
    parts = [(key, found.parts[key]) for key in ORDER if key in found.parts]
    sections = (section(key, part, found.runs[key]) for key, part in parts)
    return "\n\n".join((INTRODUCTION, summary(found), *sections)) + "\n"


def summary(found: Results) -> str:
    """Return every comparison that has a target, with its date and machine."""
    ratios = [
        (found.parts[key].title, one)
        for key in ORDER
        if key in found.parts
        for one in found.parts[key].ratios
    ]
    table = [line(("what", "measured", "target", "")), line(("---", "---:", "---:", "---"))]
    table += [line((f"{title}: {one.name}", value(one), target(one), one.verdict)) for title, one in ratios]
    return "\n".join((*measured(found), "", *table))


def measured(found: Results) -> Iterator[str]:
    """Yield the date and the machine, in several sentences if the parts are of several runs."""
    seen = {}
    for key in ORDER:
        if key in found.runs:
            run = found.runs[key]
            seen[run.date, run.size, run.machine.processor] = run
    for run in seen.values():
        packages = ", ".join(f"{name} {number}" for name, number in run.versions.items())
        yield (
            f"Measured on {run.date} ({run.size} run): {run.machine.system}, {run.machine.processor}, "
            f"{run.machine.processors} processors, Python {run.machine.python}. Packages: {packages}."
        )


def section(key: str, part: Part, run: Run) -> str:
    """Return the section of one measurement."""
    table = [line(("", "median", "10 %", "90 %", "")), line(("---", "---:", "---:", "---:", "---"))]
    table += [line(cells(row)) for row in part.rows]
    notes = [f"- {note}" for note in part.notes]
    pictures = [f"![{title}]({PICTURES}/{name}.svg)" for name, title in plots.titles(key, part).items()]
    blocks = [f"## {part.title}", part.how, *pictures, *(["\n".join(table)] if part.rows else [])]
    blocks += ["\n".join(curves(part))] if part.plots else []
    blocks += ["\n".join(notes)] if notes else []
    return "\n\n".join([*blocks, f"({run.size} run of {run.seconds:g} s with what was measured beside it)"])


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of one figure."""
    spread = (number(row.low), number(row.high)) if row.samples > 1 else ("", "")
    return (row.name, f"{number(row.median)} {row.unit}", *spread, row.note)


def curves(part: Part) -> Iterator[str]:
    """Yield the plots as tables, one row for each curve. Long curves are only in the picture."""
    for plot in part.plots:
        x = plot.curves[0].x
        if len(x) > 15 or any(curve.x != x for curve in plot.curves):
            continue
        yield f"**{plot.title}** ({plot.y})\n"
        yield line((plot.x, *(number(one) for one in x)))
        yield line(("---", *("---:" for _ in x)))
        for curve in plot.curves:
            yield line((curve.name, *(number(one) for one in curve.y)))
        yield ""


def value(one: Ratio) -> str:
    """Return the measured value."""
    return f"{number(one.value)} {one.unit}"


def target(one: Ratio) -> str:
    """Return the target."""
    return f"{'≤' if one.kind == 'at most' else '≥'} {number(one.limit)}"


def number(figure: float) -> str:
    """Return a figure with the digits of a measurement."""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.4g}"


def line(texts: Iterable[str]) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(one.replace("|", "\\|") for one in texts) + " |"


def main(arguments: list[str]) -> None:
    """Write the page, or print the summary."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.markdown", description=__doc__)
    parser.add_argument("--summary", action="store_true", help="only the comparisons")
    parser.add_argument("--results", type=Path, default=results.PATH)
    parser.add_argument("folder", type=Path, nargs="?", default=results.FOLDER)
    asked = parser.parse_args(arguments)
    found = results.read(asked.results)
    if asked.summary:
        print(summary(found))
    else:
        publish(found, asked.folder)


def publish(found: Results, folder: Path) -> None:
    """Write the page and its plots."""
    pictures = folder / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    plots.draw(found.parts, pictures)
    folder.joinpath(f"{PICTURES}.md").write_text(page(found), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
