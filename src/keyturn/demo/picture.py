"""The timeline of a run as an SVG picture. It shows the version of each login, and when logins fail."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Final

from keyturn.demo.contenders import CONTENDERS
from keyturn.demo.records import Record, Run

WIDTH: Final = 1200
LEFT: Final = 300
RIGHT: Final = 166
FAILED: Final = 98
REFUSED: Final = 24
TOP: Final = 122
BOTTOM: Final = 62
BAR_HEIGHT: Final = 13
TICK_HEIGHT: Final = 5
LANE_HEIGHT: Final = 21
GROUP_GAP: Final = 12
AXIS_STEP_S: Final = 5

COLOURS: Final = ("#8fa3b8", "#4e9fd1", "#3fae8a", "#d9a13b", "#b784c9", "#8d9b4e")
"""One colour per version, in turn. Dark text is legible on all; they differ on light and dark ground."""

STYLE: Final = "\n".join(
    (
        """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .ground { fill: #ffffff } .title { font-size: 19px; font-weight: 600 } .name { font-weight: 600 }
  .quiet { fill: #59636e } .inside { fill: #10151a; font-size: 11px }
  .axis { stroke: #d1d9e0 } .move { stroke: #1f2328; stroke-width: 1.4; stroke-dasharray: 4 3 }
  .window { fill: #ece6d2 } .failing { fill: #ffd9d6; stroke: #d1242f; stroke-width: 0.8 }
  .refused { stroke: #d1242f; stroke-width: 1.6 } .bad { fill: #d1242f; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .ground { fill: #0d1117 } .quiet { fill: #9198a1 } .inside { fill: #10151a }
    .axis { stroke: #30363d } .move { stroke: #e6edf3 } .refused { stroke: #ff6a62 } .bad { fill: #ff6a62 }
    .window { fill: #35331f } .failing { fill: #4a1d20; stroke: #ff6a62 }
  }""",
        *(f"  .version{number} {{ fill: {colour} }}" for number, colour in enumerate(COLOURS)),
    )
)


class Timeline:
    """The drawing of one run. Its horizontal axis is seconds since every worker was warm."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._labels = ("v1", *(move.label for move in run.moves))
        lanes = sum(len(workers) for workers in run.workers.values())
        self._floor = TOP + lanes * LANE_HEIGHT + len(run.workers) * GROUP_GAP

    def svg(self) -> str:
        """Return the whole picture as an SVG document."""
        height = self._floor + BOTTOM
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
                f"<style>{STYLE}\n</style>",
                f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
                *self._heading(),
                *self._windows(),
                *self._axis(),
                *self._groups(),
                *self._moves(),
                "</svg>\n",
            )
        )

    def _x(self, at_s: float) -> float:
        run = self._run
        part = (at_s - run.ready_s) / (run.ended_s - run.ready_s)
        return round(LEFT + min(max(part, 0.0), 1.0) * (WIDTH - LEFT - RIGHT), 1)

    def _kind(self, outcome: Record) -> str:
        """Return the style of a login: that of its version, or that of a failure."""
        if outcome.kind == "failed":
            return "failing"
        return f"version{self._labels.index(outcome.what) % len(COLOURS)}"

    def _heading(self) -> Iterator[str]:
        yield text(24, 34, "Logins of warm processes while the password rotates", "title")
        yield text(24, 58, "one lane per process; its colour is the version it gets in with", "quiet")
        x = 24
        for number, label in enumerate(self._labels):
            yield box(x, 74, 26, BAR_HEIGHT, f"version{number % len(COLOURS)}")
            yield text(x + 13, 84.5, label, "inside", "middle")
            x += 32
        yield box(x + 10, 74, 26, BAR_HEIGHT, "failing")
        yield text(x + 42, 85, "logins fail")
        yield stroke("refused", x + 130, 78, 78 + TICK_HEIGHT)
        yield text(x + 138, 85, "attempt refused by the server")
        yield box(x + 350, 72, 26, 17, "window")
        yield text(x + 382, 85, "setSecret to finishSecret")
        yield stroke("move", x + 562, 72, 90)
        yield text(x + 570, 85, "AWSCURRENT moves")
        for right, lines in ((FAILED, ("logins", "failed")), (REFUSED, ("attempts", "refused"))):
            for up, words in zip((21, 7), lines, strict=True):
                yield text(WIDTH - right, TOP - up, words, "quiet", "end")

    def _windows(self) -> Iterator[str]:
        for move in self._run.moves:
            x = self._x(move.set_s)
            yield box(x, TOP - 4, self._x(move.at_s) - x, self._floor - TOP + 4, "window")

    def _axis(self) -> Iterator[str]:
        length_s = self._run.ended_s - self._run.ready_s
        for second in range(0, int(length_s) + 1, AXIS_STEP_S):
            x = self._x(self._run.ready_s + second)
            yield stroke("axis", x, TOP, self._floor)
            yield text(x, self._floor + 20, str(second), "quiet", "middle")
        yield text((LEFT + WIDTH - RIGHT) / 2, self._floor + 44, "seconds", "quiet", "middle")

    def _moves(self) -> Iterator[str]:
        for move in self._run.moves:
            x = self._x(move.at_s)
            yield stroke("move", x, TOP - 4, self._floor)
            yield text(x, TOP - 8, f"→ {move.label}", anchor="middle")

    def _groups(self) -> Iterator[str]:
        y = float(TOP + GROUP_GAP / 2)
        for key, workers in self._run.workers.items():
            middle = y + len(workers) * LANE_HEIGHT / 2
            yield text(24, middle - 4, CONTENDERS[key].title, "name")
            yield text(24, middle + 11, CONTENDERS[key].setting, "quiet")
            for worker in workers:
                yield from self._lane(worker, y)
                y += LANE_HEIGHT
            y += GROUP_GAP

    def _lane(self, worker: str, y: float) -> Iterator[str]:
        outcomes = sorted(
            [*self._run.of(worker, "login"), *self._run.of(worker, "failed")], key=lambda one: one.at_s
        )
        first = [next(alike) for _, alike in groupby(outcomes, self._kind)]
        ends = [*(one.at_s for one in first[1:]), self._run.ended_s]
        for one, end_s in zip(first, ends, strict=True):
            yield from self._stretch(one, end_s, y)
        refused = self._run.of(worker, "refused")
        for one in refused:
            yield stroke("refused", self._x(one.at_s), y + BAR_HEIGHT + 1, y + BAR_HEIGHT + 1 + TICK_HEIGHT)
        failed = self._run.of(worker, "failed")
        yield text(WIDTH - FAILED, y + 11, str(len(failed)), "bad" if failed else "quiet", "end")
        yield text(WIDTH - REFUSED, y + 11, str(len(refused)), "quiet", "end")

    def _stretch(self, outcome: Record, end_s: float, y: float) -> Iterator[str]:
        """Draw the bar of a time in which all logins had the same outcome."""
        x, width = self._x(outcome.at_s), self._x(end_s) - self._x(outcome.at_s)
        yield box(x, y, width, BAR_HEIGHT, self._kind(outcome))
        if outcome.kind == "login" and width >= len(outcome.what) * 10:
            yield text(x + 5, y + 10.5, outcome.what, "inside")


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return text at a place. `kind` is a class of the style."""
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Return a filled rectangle. `kind` is a class of the style."""
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{max(width, 0):.1f}" height="{height}" rx="2"/>'


def stroke(kind: str, x: float, y1: float, y2: float) -> str:
    """Return a vertical line. `kind` is a class of the style."""
    return f'<line class="{kind}" x1="{x}" x2="{x}" y1="{y1}" y2="{y2}"/>'
