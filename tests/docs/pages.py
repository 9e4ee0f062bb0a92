"""The pages of the documentation: their blocks, links and places; and which test runs whose Python blocks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).parents[2]
OUTSIDE: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")

RUN_BY: Final[Mapping[str, str]] = {
    "README.md": "docs/test_readme.py",
    "docs/asyncpg.md": "integrations/test_documentation.py",
    "docs/async.md": "aio/test_documentation.py",
    "docs/compute.md": "integrations/test_compute.py",
    "docs/convergence.md": "convergence/test_documentation.py",
    "docs/deploying-rotation.md": "infra/test_rotation_stack.py",
    "docs/django.md": "integrations/test_documentation.py",
    "docs/http-keys.md": "integrations/test_http.py",
    "docs/index.md": "docs/test_readme.py",
    "docs/lambda.md": "aws/test_extension.py",
    "docs/login.md": "integrations/test_documentation.py",
    "docs/metrics.md": "metrics/test_documentation.py",
    "docs/migrating.md": "settings/test_documentation.py",
    "docs/parameters.md": "parameters/test_documentation.py",
    "docs/psycopg.md": "integrations/test_documentation.py",
    "docs/pymysql-redis.md": "servers/test_pages.py",
    "docs/rotation-functions.md": "rotation/test_documentation.py",
    "docs/settings.md": "settings/test_documentation.py",
    "docs/sqlalchemy.md": "integrations/test_documentation.py",
    "docs/testing.md": "testing/test_documentation.py",
    "docs/tutorial.md": "docs/test_tutorial.py",
    "docs/verifying.md": "verifying/test_documentation.py",
    "docs/web-services.md": "e2e/test_web_services.py",
}
"""Page -> the test, below tests/, that runs its Python blocks. It gets them by `python_blocks`."""

_MARKDOWN: Final = MarkdownIt().enable("table")


class Block(NamedTuple):
    """A block of code: its language, "" where it is only set in or says none, and its text."""

    language: str
    text: str


def pages() -> list[str]:
    """Every page, named as from the root."""
    return sorted([*OUTSIDE, *(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))])


@cache
def tokens(page: str) -> list[Token]:
    """A page as it is parsed, once."""
    return _MARKDOWN.parse((ROOT / page).read_text("utf-8"))


def spans(page: str) -> Iterator[Token]:
    """What stands inside the lines of a page: text, code, links, images."""
    return (span for token in tokens(page) for span in token.children or ())


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    found = (token for token in tokens(page) if token.type in ("fence", "code_block"))
    return (Block(token.info.partition(" ")[0], token.content) for token in found)


def python_blocks(page: str) -> list[str]:
    """The Python blocks of a page, in order."""
    return [block.text for block in blocks(page) if block.language == "python"]


def links(page: str) -> Iterator[str]:
    """The addresses of a page's links and images that lead to files of ours."""
    for span in spans(page):
        address = str(span.attrs.get("href") or span.attrs.get("src") or "")
        if address and not re.match(r"[a-z]+:", address):
            yield address


def places(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    seen: Counter[str] = Counter()
    found = set()
    parsed = tokens(page)
    for token, inline in pairwise(parsed):
        if token.type == "heading_open":
            text = "".join(span.content for span in inline.children or ())
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found
