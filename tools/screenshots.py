"""Pictures of the built site's pages at four widths, light and dark, in build/screenshots.

`python -m tools.screenshots docs/index docs/login` takes those of two pages; without a name it takes all.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Final

from tools.browser import SCHEMES, WIDTHS, browser, pages

FOLDER: Final = Path("build") / "screenshots"


def main(wanted: list[str]) -> int:
    """Take the pictures, and return how many pages were not found."""
    unknown = set(wanted) - set(pages())
    for page in sorted(unknown):
        print(f"there is no page {page} in the built site", file=sys.stderr)
    FOLDER.mkdir(parents=True, exist_ok=True)
    chosen = [page for page in pages() if not wanted or page in wanted]
    with browser() as window:
        for page, scheme, width in product(chosen, SCHEMES, WIDTHS):
            window.prefer(scheme)
            window.resize(width)
            window.open(page)
            file = FOLDER / f"{page.replace('/', '-')}-{width}-{scheme}.png"
            file.write_bytes(window.picture())
    print(f"{len(chosen)} pages in {FOLDER}, each at {', '.join(map(str, WIDTHS))} px, light and dark")
    return len(unknown)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
