"""The pictures of the pages: they follow the reader's theme, and their text can be read on a phone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import ROOT

PICTURES: Final = sorted((ROOT / "docs").rglob("*.svg"))
PHONE: Final = 358
"""The width of a picture on a phone, in pixels: 390 without the page's margins."""

SMALLEST: Final = 9.0
"""Text that is smaller than this many pixels is no text on a phone."""

COLOURED: Final = re.compile(r"(?:fill|stroke)=.#")


def named(picture: Path) -> str:
    """The picture's name in the test's id."""
    return picture.relative_to(ROOT / "docs").as_posix()


def test_there_are_pictures() -> None:
    """The tests below have something to check."""
    assert {"chain.svg", "timeline.svg", "window.svg", "_static/logo.svg"} <= set(map(named, PICTURES))


@pytest.mark.parametrize("picture", PICTURES, ids=named)
def test_a_picture_follows_the_theme(picture: Path) -> None:
    """All its colours are in its style, which has a second set for dark ground."""
    drawing = picture.read_text("utf-8")
    assert "@media (prefers-color-scheme: dark)" in drawing
    assert COLOURED.findall(drawing) == []


@pytest.mark.parametrize("picture", PICTURES, ids=named)
def test_the_text_of_a_picture_can_be_read_on_a_phone(picture: Path) -> None:
    """Scaled down to the width of a phone, its smallest text has nine pixels."""
    drawing = ET.parse(picture).getroot()  # noqa: S314 - our own
    style = drawing.findtext("{*}style") or ""
    sizes = [float(size) for size in re.findall(r"(?:font|font-size): (\d+)px", style)]
    _, _, width, _ = map(float, drawing.attrib["viewBox"].split())
    assert bool(sizes) == (drawing.find(".//{*}text") is not None)
    assert [size for size in sizes if size * PHONE / width < SMALLEST] == []
