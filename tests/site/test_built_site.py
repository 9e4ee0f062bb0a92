"""The built site in a headless Chromium: every page fits its window, and the search finds common words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from tools.browser import NOT_FOUND, WIDTHS, Window, browser, installed, pages

REQUIRED = os.environ.get("KEYTURN_TEST_BROWSER") == "required"


@pytest.fixture(scope="module")
def window() -> Iterator[Window]:
    """A window of Chromium. Without Chromium or the site the tests are skipped, unless they are required."""
    if not REQUIRED and installed() is None:
        pytest.skip(NOT_FOUND)
    if not REQUIRED and not pages():
        pytest.skip("the site is not built: make docs")
    assert len(pages()) > 40
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def misfits(window: Window) -> Mapping[int, list[str]]:
    """Width -> the parts of pages that do not fit. Each page is loaded once, and laid out at each width."""
    found: dict[int, list[str]] = {width: [] for width in WIDTHS}
    for page in pages():
        window.open(page)
        for width in WIDTHS:
            window.resize(width)
            found[width] += [f"{page}: {line}" for line in window.misfits()]
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits(misfits: Mapping[int, list[str]], width: int) -> None:
    """Nothing scrolls sideways or is cut: no page, no table, no code, no picture."""
    assert misfits[width] == [], "\n".join(misfits[width])


@pytest.mark.parametrize("words", ["FastAPI", "Celery", "gunicorn", "Kubernetes", "MySQL"])
def test_the_search_finds(window: Window, words: str) -> None:
    """The names under which people look for their own case lead to a page."""
    assert window.found(words) != []
