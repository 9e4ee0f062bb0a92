"""The timeline of a run as an SVG picture. It shows the version of each login, and when logins fail."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Final

from keyturn.demo.contenders import CONTENDERS
from keyturn.demo.records import Record, Run

WIDTH: Final = 600
"""So narrow that the text can be read on a phone, where the picture is 358 pixels wide."""

LEFT: Final = 16
RIGHT: Final = 164
FAILED: Final = 96
REFUSED: Final = 16
TOP: Final = 212
BOTTOM: Final = 62
BAR_HEIGHT: Final = 17
TICK_HEIGHT: Final = 5
LANE_HEIGHT: Final = 25
GROUP_HEAD: Final = 26
GROUP_GAP: Final = 14
AXIS_STEP_S: Final = 10

COLOURS: Final = ("#8fa3b8", "#4e9fd1", "#3fae8a", "#d9a13b", "#b784c9", "#8d9b4e")
"""One colour per version, in turn. Dark text is legible on all; they differ on light and dark ground."""

STYLE: Final = "\n".join(
    (
        """
  text { font: 16px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .ground { fill: #ffffff } .title { font-size: 20px; font-weight: 600 } .name { font-weight: 600 }
  .quiet { fill: #59636e } .inside { fill: #10151a }
  .name, .setting { paint-order: stroke; stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round }
  .axis { stroke: #d1d9e0 } .move { stroke: #1f2328; stroke-width: 1.4; stroke-dasharray: 4 3 }
  .window { fill: #ece6d2 } .failing { fill: #ffd9d6; stroke: #d1242f; stroke-width: 0.8 }
  .refused { stroke: #d1242f; stroke-width: 1.6 } .bad { fill: #d1242f; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .ground { fill: #131416 } .quiet { fill: #9198a1 } .inside { fill: #10151a }
    .axis { stroke: #30363d } .move { stroke: #e6edf3 } .refused { stroke: #ff6a62 } .bad { fill: #ff6a62 }
    .name, .setting { stroke: #131416 } .window { fill: #35331f } .failing { fill: #4a1d20; stroke: #ff6a62 }
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
        self._floor = TOP + lanes * LANE_HEIGHT + len(run.workers) * (GROUP_HEAD + GROUP_GAP)

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
                *self._lanes(),
                *self._moves(),
                *self._names(),
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
        yield text(LEFT, 32, "Logins while the password rotates", "title")
        yield text(LEFT, 58, "One lane per process. Its colour is the version it logs in with:", "quiet")
        for number, label in enumerate(self._labels):
            x = LEFT + number * 44
            yield box(x, 72, 36, BAR_HEIGHT, f"version{number % len(COLOURS)}")
            yield text(x + 18, 86, label, "inside", "middle")
        yield box(LEFT, 102, 36, BAR_HEIGHT, "failing")
        yield text(62, 116, "logins fail")
        yield stroke("refused", 200, 106, 106 + TICK_HEIGHT * 2)
        yield text(210, 116, "attempt refused by the server")
        yield box(LEFT, 130, 36, BAR_HEIGHT, "window")
        yield text(62, 144, "setSecret to finishSecret")
        yield stroke("move", 290, 128, 150)
        yield text(300, 144, "AWSCURRENT moves")
        for right, lines in ((FAILED, ("logins", "failed")), (REFUSED, ("attempts", "refused"))):
            for up, words in zip((28, 8), lines, strict=True):
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
            yield text(x, self._floor + 22, str(second), "quiet", "middle")
        yield text((LEFT + WIDTH - RIGHT) / 2, self._floor + 46, "seconds", "quiet", "middle")

    def _moves(self) -> Iterator[str]:
        for move in self._run.moves:
            x = self._x(move.at_s)
            yield stroke("move", x, TOP - 4, self._floor)
            yield text(x, TOP - 8, f"→ {move.label}", anchor="middle")

    def _tops(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """Yield each contender with its workers and the upper edge of its lanes."""
        y = TOP + GROUP_GAP / 2
        for key, workers in self._run.workers.items():
            y += GROUP_HEAD
            yield key, workers, y
            y += len(workers) * LANE_HEIGHT + GROUP_GAP

    def _lanes(self) -> Iterator[str]:
        for _, workers, top in self._tops():
            for number, worker in enumerate(workers):
                yield from self._lane(worker, top + number * LANE_HEIGHT)

    def _names(self) -> Iterator[str]:
        """Name the contenders. The words stand on the lines of the rotations, so they are drawn last."""
        for key, _, top in self._tops():
            yield text(LEFT, top - 10, CONTENDERS[key].title, "name")
            yield text(WIDTH - REFUSED, top - 10, CONTENDERS[key].setting, "quiet setting", "end")

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
        yield text(WIDTH - FAILED, y + 14, str(len(failed)), "bad" if failed else "quiet", "end")
        yield text(WIDTH - REFUSED, y + 14, str(len(refused)), "quiet", "end")

    def _stretch(self, outcome: Record, end_s: float, y: float) -> Iterator[str]:
        """Draw the bar of a time in which all logins had the same outcome."""
        x, width = self._x(outcome.at_s), self._x(end_s) - self._x(outcome.at_s)
        yield box(x, y, width, BAR_HEIGHT, self._kind(outcome))
        if outcome.kind == "login" and width >= len(outcome.what) * 13:
            yield text(x + 4, y + 14, outcome.what, "inside")


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return text at a place. `kind` is a class of the style."""
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Return a filled rectangle. `kind` is a class of the style."""
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{max(width, 0):.1f}" height="{height}" rx="2"/>'


def stroke(kind: str, x: float, y1: float, y2: float) -> str:
    """Return a vertical line. `kind` is a class of the style."""
    return f'<line class="{kind}" x1="{x}" x2="{x}" y1="{y1}" y2="{y2}"/>'
