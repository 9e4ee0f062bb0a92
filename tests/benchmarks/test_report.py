"""What a run leaves behind can be read again, and page and plots are made from it alone."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import markdown, plots, results
from benchmarks.__main__ import names
from benchmarks.measurements import BOUNDS_S
from benchmarks.results import Curve, Part, Plot, Results, ratio, row

PART = Part(
    "A hit",
    "How.",
    (row("get", "ns", [3.0, 1.0, 2.0]), row("peer", "ns", [200.0])),
    (ratio("peer / get", 100, "at least", 50),),
    (Plot("growth", "Growth", "x", "y", (Curve("one", (1, 1000), (1, 10)),), limit=5, limit_name="5 < 6"),),
    ("A note.",),
)


@pytest.fixture
def found() -> Results:
    """Results of one part."""
    return Results({"hit": results.run("quick", 1.0)}, {"hit": PART})


def test_results_are_read_as_written(found: Results, tmp_path: Path) -> None:
    """What was written is read again; for others each comparison says whether it was met."""
    path = tmp_path / "results.json"
    results.write(found, path)
    assert results.read(path) == found
    assert json.loads(path.read_text())["hit"]["ratios"][0]["met"] is True


def test_every_part_has_its_place_on_the_page() -> None:
    """Each key that a measurement of a run returns, by its source."""
    sources = (Path(markdown.__file__).parent / f"{name}.py" for name in BOUNDS_S)
    returned = (line for one in sources for line in one.read_text("utf-8").splitlines() if "return {" in line)
    keys = {key for line in returned for key in re.findall(r'"(\w+)": [a-zP]', line)}
    assert keys == set(markdown.ORDER)


def test_no_results_are_none(tmp_path: Path) -> None:
    """Before the first run there are no parts."""
    assert results.read(tmp_path / "results.json") == Results()


def test_the_page_has_every_figure(found: Results) -> None:
    """Median, spread, comparison, note, and on what it was measured."""
    page = markdown.page(found)
    for text in (
        "| get | 2 ns | 1.2 | 2.8 |  |",
        "| A hit: peer / get | 100 x | ≥ 50 | met |",
        "- A note.",
        "quick run",
        "| one | 1 | 10 |",
    ):
        assert text in page


def test_plots_are_well_formed(found: Results, tmp_path: Path) -> None:
    """Each plot is XML, and every point lies in the picture."""
    paths = plots.draw(found.parts, tmp_path)
    assert {path.stem for path in paths} == {"growth", "hit"}
    for path in paths:
        picture = ET.fromstring(path.read_text())  # noqa: S314 # our own
        _, _, width, height = map(float, picture.attrib["viewBox"].split())
        for point in picture.iter("{http://www.w3.org/2000/svg}circle"):
            assert 0 < float(point.attrib["cx"]) < width
            assert 0 < float(point.attrib["cy"]) < height


def test_an_unknown_measurement_is_refused() -> None:
    """A name that measures nothing is told, not skipped."""
    assert names("hit,cost") == ["hit", "cost"]
    with pytest.raises(argparse.ArgumentTypeError, match="no such measurement: colder"):
        names("colder")


def test_every_measurement_is_there() -> None:
    """Each name is a module, and both sizes of it have a bound."""
    folder = Path(results.__file__).parent
    assert [name for name in BOUNDS_S if not (folder / f"{name}.py").is_file()] == []
    assert all(set(bounds) == {"full", "quick"} for bounds in BOUNDS_S.values())
