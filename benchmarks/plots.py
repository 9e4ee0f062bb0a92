"""The plots of a run as SVG: lines over logarithmic axes, and bars. Legible on light and dark ground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from textwrap import wrap
from typing import Final

from benchmarks.results import Curve, Part, Parts, Plot, Row

WIDTH: Final = 600
"""So narrow that the text can be read on a phone, where a plot is 358 pixels wide."""

HEIGHT: Final = 320
"""The height between the axes."""

LEFT: Final = 88
RIGHT: Final = 34
LINE: Final = 26
TITLE_LETTERS: Final = 54
BOTTOM: Final = 70
BAR: Final = 16
BAR_STEP: Final = 56
BAR_LEFT: Final = 24
BAR_RIGHT: Final = 120

COLOURS: Final = ("#2f81c9", "#2f9e6e", "#c98a1b", "#a35fc0", "#d1495b")

STYLE: Final = "\n".join(
    (
        """
  text { font: 16px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .ground { fill: #ffffff } .title { font-size: 18px; font-weight: 600 } .quiet { fill: #59636e }
  .grid { stroke: #d1d9e0; stroke-width: 0.8 } .limit { stroke: #d1242f; stroke-dasharray: 5 4 }
  .over { fill: #d1242f } .bar { fill: #8fa3b8 } .ours { fill: #2f9e6e } .spread { stroke: #1f2328 }
  polyline { fill: none; stroke-width: 2.2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .ground { fill: #131416 } .quiet { fill: #9198a1 } .grid { stroke: #30363d }
    .limit { stroke: #ff6a62 } .over { fill: #ff6a62 } .bar { fill: #5b6b7d } .spread { stroke: #e6edf3 }
  }""",
        *(
            f"  polyline.c{n} {{ stroke: {colour} }} circle.c{n}, rect.c{n} {{ fill: {colour} }}"
            for n, colour in enumerate(COLOURS)
        ),
    )
)

BARS: Final = {
    "hit": ("ns", "", "One hit, nanoseconds (logarithmic)"),
    "cold_start": ("ms", "fresh process", "Fresh process to the first secret, milliseconds"),
    "memory": ("KiB", "", "Memory per held secret over its text, KiB"),
}
"""The parts drawn as bars: the unit and the note of their rows, and the title."""


def draw(parts: Parts, folder: Path) -> list[Path]:
    """Write every plot and return the paths."""
    made = {plot.name: lines(plot) for part in parts.values() for plot in part.plots}
    made |= {key: bars(*BARS[key], part) for key, part in parts.items() if key in BARS}
    for name, svg in made.items():
        folder.joinpath(f"{name}.svg").write_text(svg, "utf-8")
    return [folder / f"{name}.svg" for name in made]


def titles(key: str, part: Part) -> dict[str, str]:
    """Return the plots of one part: name -> title."""
    return ({key: BARS[key][-1]} if key in BARS else {}) | {plot.name: plot.title for plot in part.plots}


def document(width: float, height: float, content: Iterable[str]) -> str:
    """Return a whole picture."""
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
            f"<style>{STYLE}\n</style>",
            f'<rect class="ground" width="{width:g}" height="{height:g}"/>',
            *content,
            "</svg>\n",
        )
    )


# Plots of lines are drawn below.


class Axis:
    """One axis. It turns values into places, on a logarithmic scale if they span more than a factor of 50."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        self._is_log = low > 0 and high / low > 50
        self._start, self._end = start, end
        self._low, self._high = 0.0, 1.0
        if self._is_log:
            first, last = floor(log10(low) + 1e-9), ceil(log10(high) - 1e-9)
            self._low, self._high = first, last
            self.ticks = [10.0**power for power in range(first, last + 1)]
        else:
            step = nice(high / 5)
            self._high = ceil(high / step - 1e-9) * step
            self.ticks = [step * number for number in range(round(self._high / step) + 1)]

    def place(self, value: float) -> float:
        """Return the place of a value."""
        at = log10(value) if self._is_log else value
        return round(self._start + (at - self._low) / (self._high - self._low) * (self._end - self._start), 1)


def nice(step: float) -> float:
    """Return the next step of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(step))
    return next(power * one for one in (1, 2, 2.5, 5, 10) if power * one >= step - 1e-12)


def lines(plot: Plot) -> str:
    """Return the picture of a plot's curves. Its title and legend stand above the axes."""
    heading = [*title(plot.title)]
    legend_top = 16 + len(heading) * LINE
    top = legend_top + len(plot.curves) * LINE + 46
    limits = [plot.limit] if plot.limit is not None else []
    x = Axis([one for curve in plot.curves for one in curve.x], LEFT, WIDTH - RIGHT)
    y = Axis([one for curve in plot.curves for one in curve.y] + limits, top + HEIGHT, top)
    return document(
        WIDTH,
        top + HEIGHT + BOTTOM,
        [
            *heading,
            *names(plot.curves, legend_top),
            *grid(plot, x, y, top),
            *limit(plot, y),
            *(part for number, curve in enumerate(plot.curves) for part in line(number, curve, x, y)),
        ],
    )


def title(words: str) -> Iterator[str]:
    """Yield the title in lines that are not wider than the picture."""
    for number, part in enumerate(wrap(words, TITLE_LETTERS)):
        yield text(24, 32 + number * LINE, part, "title")


def grid(plot: Plot, x: Axis, y: Axis, top: float) -> Iterator[str]:
    """Yield the axes."""
    bottom = top + HEIGHT
    for tick in x.ticks:
        yield segment("grid", x.place(tick), top, x.place(tick), bottom)
        yield text(x.place(tick), bottom + 22, f"{tick:,g}", "quiet", "middle")
    for tick in y.ticks:
        yield segment("grid", LEFT, y.place(tick), WIDTH - RIGHT, y.place(tick))
        yield text(LEFT - 8, y.place(tick) + 5, f"{tick:,g}", "quiet", "end")
    yield text((LEFT + WIDTH - RIGHT) / 2, bottom + 52, plot.x, "quiet", "middle")
    yield text(24, top - 16, plot.y, "quiet")


def limit(plot: Plot, y: Axis) -> Iterator[str]:
    """Yield the line that the curves should stay below."""
    if plot.limit is not None:
        place = y.place(plot.limit)
        yield segment("limit", LEFT, place, WIDTH - RIGHT, place)
        yield text(LEFT + 6, place - 6, plot.limit_name, "over")


def line(number: int, curve: Curve, x: Axis, y: Axis) -> Iterator[str]:
    """Yield one curve, with its points if there are few."""
    places = [(x.place(at), y.place(value)) for at, value in zip(curve.x, curve.y, strict=True)]
    points = " ".join(f"{left:g},{down:g}" for left, down in places)
    colour = f"c{number % len(COLOURS)}"
    yield f'<polyline class="{colour}" points="{points}"/>'
    for left, down in places if len(places) < 15 else ():
        yield f'<circle class="{colour}" cx="{left:g}" cy="{down:g}" r="3.4"/>'


def names(curves: Sequence[Curve], top: float) -> Iterator[str]:
    """Yield the legend of the colours."""
    for number, curve in enumerate(curves):
        down = top + 8 + number * LINE
        yield box(f"c{number % len(COLOURS)}", 24, down, 20, 5)
        yield text(54, down + 8, curve.name)


# Plots of bars are drawn below.


def bars(unit: str, note: str, words: str, part: Part) -> str:
    """Return medians as bars with their spread, the fastest first. A bar's name stands above it."""
    rows = sorted(
        (one for one in part.rows if one.unit == unit and one.note == note), key=lambda one: one.median
    )
    values = [value for one in rows for value in (one.low, one.median, one.high)]
    axis = Axis(values, BAR_LEFT, WIDTH - BAR_RIGHT)
    heading = [*title(words)]
    top = 30 + len(heading) * LINE
    content = (part for number, one in enumerate(rows) for part in bar(top + number * BAR_STEP, one, axis))
    return document(WIDTH, top + len(rows) * BAR_STEP, [*heading, *content])


def bar(top: float, one: Row, axis: Axis) -> Iterator[str]:
    """Yield the bar of one row."""
    down, end = top + 14, axis.place(one.median)
    kind = "ours" if one.name.startswith("keyturn") else "bar"
    yield text(BAR_LEFT, top + 5, one.name)
    yield box(kind, BAR_LEFT, down, max(end - BAR_LEFT, 1), BAR)
    yield segment("spread", axis.place(one.low), down + BAR / 2, axis.place(one.high), down + BAR / 2)
    yield text(max(end, axis.place(one.high)) + 8, down + 14, f"{one.median:,g} {one.unit}")


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return text at a place. `kind` is a class of the style."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def box(kind: str, x: float, y: float, width: float, height: float) -> str:
    """Return a filled rectangle. `kind` is a class of the style."""
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2"/>'


def segment(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a line. `kind` is a class of the style."""
    return f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'
