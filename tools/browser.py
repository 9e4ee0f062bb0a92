"""The built site in a headless Chromium: what does not fit into a window, and how a page looks."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from tools.site import SITE

WIDTHS: Final = (390, 1280, 1600, 1920)
"""The widths of a phone, a laptop and two monitors, in CSS pixels."""

SCHEMES: Final = ("light", "dark")
HEIGHT: Final = 900
SEARCH_S: Final = 30
PHONE: Final = 480
"""A window that is narrower than this many pixels is laid out as on a phone."""

BROWSERS: Final = ("chromium", "google-chrome")
DRIVER: Final = "chromedriver"
NOT_FOUND: Final = "Chromium is not installed: make browser-packages (Debian, as root)"

MISFITS: Final = """
const wide = arguments[0], root = document.documentElement, found = [], told = new Set();
const named = element => `${element.tagName.toLowerCase()}.${element.className} `
  + `"${element.textContent.trim().replace(/\\s+/g, ' ').slice(0, 50)}"`;
if (root.scrollWidth > wide) found.push(`the page is ${root.scrollWidth} px wide`);
for (const element of document.querySelectorAll('body *')) {
  const box = element.getBoundingClientRect(), style = getComputedStyle(element);
  // The parts of a part that does not fit are not told as well.
  if (told.has(element.parentElement)) { told.add(element); continue; }
  // A box of one pixel is for screen readers.
  if (box.width <= 1 || style.visibility === 'hidden') continue;
  const inside = element.scrollWidth - element.clientWidth;
  // A drawer that is closed stands outside of the window.
  const outside = element.closest('.content') && (box.right > wide + 1 || box.left < -1);
  const place = `from ${Math.round(box.left)} to ${Math.round(box.right)} px`;
  if (outside) found.push(`${place} goes ${named(element)}`);
  else if (style.overflowX !== 'visible' && element.clientWidth > 1 && inside > 1)
    found.push(`${inside} px are cut or must be scrolled to in ${named(element)}`);
  else continue;
  if (!element.matches('.content')) told.add(element);
}
return found;
"""


def installed() -> tuple[str, str] | None:
    """Return the paths of Chromium and of its driver, or None if one of them is not here."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which(DRIVER)
    return (found, driver) if found and driver else None


def pages() -> list[str]:
    """Return the pages of the built site, named by their paths without the suffix. The list may be empty."""
    found = (page.relative_to(SITE).with_suffix("").as_posix() for page in SITE.rglob("*.html"))
    # The first page of the site's folder only leads on.
    return sorted(page for page in found if page != "index" and not page.startswith("_"))


class Window:
    """A window of the browser. It shows a page at a width, in light or dark colours."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver
        self._width = 0

    def resize(self, width: int) -> None:
        """Make the window `width` CSS pixels wide."""
        self._width = width
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width < PHONE}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme: str) -> None:
        """Ask pages for `light` or `dark` colours."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def open(self, page: str) -> None:
        """Show a page of the built site, and wait until it and its pictures are loaded."""
        self._driver.get((SITE / f"{page}.html").as_uri())

    def misfits(self) -> list[str]:
        """Return a line for each part of the page that is wider than its place."""
        found: object = self._driver.execute_script(MISFITS, self._width)
        return [str(line) for line in found] if isinstance(found, list) else [str(found)]

    def found(self, words: str) -> list[str]:
        """Return the titles of the pages that the site's own search finds, in at most `SEARCH_S` seconds."""
        self._driver.get(f"{(SITE / 'search.html').as_uri()}?q={quote(words)}")
        WebDriverWait(self._driver, SEARCH_S).until(_has_searched)
        return [link.text for link in self._driver.find_elements(By.CSS_SELECTOR, "ul.search li > a")]

    def picture(self) -> bytes:
        """Return the whole page, also what is below the window, as a PNG."""
        height: object = self._driver.execute_script("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": self._width, "height": height, "scale": 1}
        taken = self._driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        return base64.b64decode(taken["data"])


def _has_searched(driver: WebDriver) -> bool:
    summary = driver.find_element(By.CLASS_NAME, "search-summary").text
    return "finished" in summary or "did not match" in summary


@contextmanager
def browser() -> Iterator[Window]:
    """Start Chromium, and end it after the block. Raises FileNotFoundError if it is not installed."""
    programs = installed()
    if programs is None:
        raise FileNotFoundError(NOT_FOUND)
    options = ChromeOptions()
    options.binary_location, driver_path = programs
    for switch in ("--headless=new", "--hide-scrollbars", "--disable-dev-shm-usage"):
        options.add_argument(switch)
    if os.geteuid() == 0:
        # Chromium refuses to start as root inside of its sandbox. It shows our own files only.
        options.add_argument("--no-sandbox")
    driver = Chrome(options, Service(driver_path))
    try:
        yield Window(driver)
    finally:
        driver.quit()
