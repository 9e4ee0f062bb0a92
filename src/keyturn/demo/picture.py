"""The timeline of a run as an SVG picture: who held which version when, and whose logins were refused."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from keyturn.demo.contenders import CONTENDERS
from keyturn.demo.records import Run

WIDTH: Final = 1200
LEFT: Final = 300
RIGHT: Final = 100
TOP: Final = 118
BOTTOM: Final = 62
BAR_HEIGHT: Final = 13
TICK_HEIGHT: Final = 5
LANE_HEIGHT: Final = 21
GROUP_GAP: Final = 12
AXIS_STEP_S: Final = 5

COLOURS: Final = ("#8fa3b8", "#4e9fd1", "#3fae8a", "#d9a13b", "#b784c9", "#8d9b4e")
"""One per version, in turn; all keep dark text legible and differ on a light and a dark ground."""

STYLE: Final = """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .ground { fill: #ffffff } .title { font-size: 19px; font-weight: 600 } .name { font-weight: 600 }
  .quiet { fill: #59636e } .inside { fill: #10151a; font-size: 11px }
  .axis { stroke: #d1d9e0 } .move { stroke: #1f2328; stroke-width: 1.4; stroke-dasharray: 4 3 }
  .refused { stroke: #d1242f; stroke-width: 1.6 } .bad { fill: #d1242f; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .ground { fill: #0d1117 } .quiet { fill: #9198a1 } .inside { fill: #10151a }
    .axis { stroke: #30363d } .move { stroke: #e6edf3 } .refused { stroke: #ff6a62 } .bad { fill: #ff6a62 }
  }"""


class Timeline:
    """The drawing of one run. Horizontally: seconds since every worker was warm."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._labels = ("v1", *(move.label for move in run.moves))
        lanes = sum(len(workers) for workers in run.workers.values())
        self._floor = TOP + lanes * LANE_HEIGHT + len(run.workers) * GROUP_GAP

    def svg(self) -> str:
        """The whole picture, as a document of its own."""
        height = self._floor + BOTTOM
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
                f"<style>{STYLE}\n</style>",
                f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
                *self._heading(),
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

    def _colour(self, label: str) -> str:
        return COLOURS[self._labels.index(label) % len(COLOURS)]

    def _heading(self) -> Iterator[str]:
        yield text(24, 34, "Which version of a password warm processes use while it rotates", "title")
        yield text(24, 58, "one lane per process; its colour is the version it logs in with", "quiet")
        x = LEFT
        for label in self._labels:
            yield box(x, 72, 26, BAR_HEIGHT, self._colour(label))
            yield text(x + 13, 82.5, label, "inside", "middle")
            x += 34
        yield stroke("refused", x + 14, 72, 72 + BAR_HEIGHT)
        yield stroke("refused", x + 18, 72, 72 + BAR_HEIGHT)
        yield text(x + 26, 83, "login refused")
        yield stroke("move", x + 134, 70, 88)
        yield text(x + 142, 83, "AWSCURRENT moves")
        yield text(WIDTH - 24, TOP - 8, "refused", "quiet", "end")

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
        held = self._run.of(worker, "held")
        ends = [*(one.at_s for one in held[1:]), self._run.ended_s]
        for one, end_s in zip(held, ends, strict=True):
            x, width = self._x(one.at_s), self._x(end_s) - self._x(one.at_s)
            yield box(x, y, width, BAR_HEIGHT, self._colour(one.what))
            if width >= len(one.what) * 10:
                yield text(x + 5, y + 10.5, one.what, "inside")
        refused = self._run.of(worker, "refused")
        for one in refused:
            yield stroke("refused", self._x(one.at_s), y + BAR_HEIGHT, y + BAR_HEIGHT + TICK_HEIGHT)
        yield text(WIDTH - 24, y + 11, str(len(refused)), "bad" if refused else "quiet", "end")


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Words at a place; `kind` is a class of the style."""
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle."""
    return f'<rect x="{x}" y="{y}" width="{max(width, 0):.1f}" height="{height}" rx="2" fill="{colour}"/>'


def stroke(kind: str, x: float, y1: float, y2: float) -> str:
    """A vertical line; `kind` is a class of the style."""
    return f'<line class="{kind}" x1="{x}" x2="{x}" y1="{y1}" y2="{y2}"/>'
