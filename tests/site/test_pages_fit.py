"""The built site in a headless Chromium: every page fits into a phone, a laptop and two monitors."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from tools.browser import NOT_FOUND, WIDTHS, browser, installed, pages

REQUIRED = os.environ.get("KEYTURN_TEST_BROWSER") == "required"


@pytest.fixture(scope="module")
def misfits() -> Mapping[int, list[str]]:
    """Width -> the parts of pages that do not fit. Each page is loaded once, and laid out at each width."""
    if not REQUIRED and not installed():
        pytest.skip(NOT_FOUND)
    if not REQUIRED and not pages():
        pytest.skip("the site is not built: make docs")
    found: dict[int, list[str]] = {width: [] for width in WIDTHS}
    with browser() as window:
        for page in pages():
            window.open(page)
            for width in WIDTHS:
                window.resize(width)
                found[width] += [f"{page}: {line}" for line in window.misfits()]
    assert len(pages()) > 40
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits(misfits: Mapping[int, list[str]], width: int) -> None:
    """Nothing scrolls sideways or is cut: no page, no table, no code, no picture."""
    assert misfits[width] == [], "\n".join(misfits[width])
