"""Extensions of Sphinx for docs/conf.py: lists become navigation, and docstrings are plain text."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import keyturn

if TYPE_CHECKING:
    from docutils.nodes import document
    from sphinx.application import Sphinx

ROOT: Final = Path(__file__).parents[1]
SITE: Final = ROOT / "build" / "docs"
"""The folder that `make docs` writes."""

INDEX: Final = "docs/index"
HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
PAGE: Final = re.compile(r"^- \[(.+?)\]\((?!https?:)(\S+?)\.(?:md|rst)\)", re.MULTILINE)
FUNCTION: Final = re.compile(r"<(?:built-in )?function (\w+)>")
HELD: Final = re.compile(r"\b(Limits|Peers)\((?:source|check_interval_s)=[^()]*\)")
"""A default that shows all of its fields. `Limits` and `Peers` are documented by themselves."""

PYTHONS: Final = re.compile("Alias for field number|Call self as a function")
"""The texts that Python itself gives a named tuple's field and `__call__`. They say nothing."""

STACKS_FROM: Final = 3
"""A table with this many columns has no room on a phone."""

NAMES: Final = re.compile(r"\['(\w+)', '(\w+)'\]")


def toctrees(index: str) -> Iterator[str]:
    """Yield a hidden toctree for each section of the index that lists pages: its heading, and these pages."""
    _, *rest = HEADING.split(index)
    for caption, section in zip(rest[::2], rest[1::2], strict=True):
        pages = "\n".join(f"{title} <{page}>" for title, page in PAGE.findall(section))
        if pages:
            yield f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def edit_links(project: Path = ROOT / "pyproject.toml") -> dict[str, str]:
    """Return the theme's options for links that edit a page.

    They lead to `Repository` of `[project.urls]`. Without that address no page has such a link.
    """
    urls = tomllib.loads(project.read_text("utf-8"))["project"].get("urls", {})
    if "Repository" not in urls:
        return {}
    return {"source_repository": urls["Repository"], "source_branch": "main", "source_directory": ""}


def marked(lines: list[str]) -> Iterator[str]:
    """Yield a docstring with its indented blocks marked as code, as in Markdown. reST would quote them."""
    before, inside = "", False
    for number, line in enumerate(lines):
        starts = line.startswith("    ") and not lines[number - 1].strip() and not before.endswith("Args:")
        if starts and not inside:
            inside = True
            code = "\n".join(_block(lines[number:]))
            yield from (f".. code-block:: {_language(code)}", "")
        elif line.strip() and not line.startswith("    "):
            before, inside = line, False
        yield line


def _block(lines: list[str]) -> Iterator[str]:
    """Yield the lines of the indented block at the beginning of `lines`, without their first four blanks."""
    for line in lines:
        if line.strip() and not line.startswith("    "):
            return
        yield line[4:]


def _language(text: str) -> str:
    """Return `python` if the text is Python, else `text`."""
    try:
        ast.parse(text)
    except SyntaxError:
        return "text"
    return "python"


class Links(HTMLParser):
    """The links and the loaded files of a page, and the places in it that links can point to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.linked: set[str] = set()
        self.loaded: set[str] = set()
        self.places: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect an element's links and places. HTMLParser calls this for each element."""
        given = {name: value for name, value in attrs if value is not None}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        self.linked |= {given["href"]} if tag == "a" and "href" in given else set()
        self.loaded |= {given["href"]} if tag == "link" and "href" in given else set()
        self.loaded |= {given["src"]} if "src" in given else set()


def wrong_links(site: Path) -> Iterator[str]:
    """Yield each file that a built site loads from elsewhere, and each link that leads nowhere."""
    pages = {page: Links(page.read_text("utf-8")) for page in site.rglob("*.html")}
    for page, links in pages.items():
        for address in sorted(links.linked | links.loaded):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in links.loaded:
                    yield f"{page.relative_to(site)} loads {address}"
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
            places = pages[target].places if target in pages else {unquote(parts.fragment)}
            if not target.is_file() or unquote(parts.fragment) not in places:
                yield f"{page.relative_to(site)}: {address} leads nowhere"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extensions. Sphinx calls this."""
    app.connect("builder-inited", _import_types)
    app.connect("source-read", _with_toctrees)
    app.connect("autodoc-process-docstring", _as_rest)
    app.connect("autodoc-process-signature", _with_shown_signature)
    app.connect("sphinx-click-process-envvars", _with_single_variables)
    app.connect("doctree-resolved", _with_named_cells)
    app.connect("build-finished", _check_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


NOT_IMPORTED = ("keyturn.cdk", "keyturn.demo.", "keyturn.integrations.django.mysql.")
"""Modules that no page is about, or whose packages are not installed here: autodoc has mocks for the CDK."""


def _import_types(_app: Sphinx) -> None:
    """Import into every module the names that it imports only for type checkers: its annotations use them."""
    for found in pkgutil.walk_packages(keyturn.__path__, "keyturn."):
        if not found.name.startswith(NOT_IMPORTED) and not found.name.endswith("__main__"):
            _import_types_of(importlib.import_module(found.name))


def _import_types_of(module: ModuleType) -> None:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            code = compile(ast.Module(node.body, type_ignores=[]), module.__name__, "exec")
            # A type may be subscriptable in its stubs alone.
            with suppress(ImportError, TypeError):
                exec(code, vars(module))  # noqa: S102 # our own imports


def _with_toctrees(_app: Sphinx, name: str, source: list[str]) -> None:
    if name == INDEX:
        source[0] += "".join(toctrees(source[0]))


def _as_rest(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    from sphinx.ext.napoleon.docstring import GoogleDocstring

    text = [] if re.match(PYTHONS, lines[0] if lines else "") else marked(lines)
    # If napoleon were given the kind of object, it would take the words before a colon for an attribute's
    # type.
    lines[:] = GoogleDocstring("\n".join(text)).lines()


def _with_shown_signature(
    _app: Sphinx,
    _what: str,
    _name: str,
    _object: object,
    _options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Show a default that is a function by its name, since its repr is no Python, and an object by its class.

    Show nothing for a protocol.
    """
    if signature is None:
        return None, returns
    if signature == "(*args, **kwargs)":
        return "", returns
    return HELD.sub(r"\1()", FUNCTION.sub(r"\1", signature)), returns


def _with_single_variables(_app: Sphinx, _context: object, lines: list[str]) -> None:
    """Show an option that two variables can set."""
    lines[:] = [NAMES.sub(r"\1, \2", line) for line in lines]


def _with_named_cells(_app: Sphinx, doctree: document, _page: str) -> None:
    """Let each cell of a table with three columns or more name its column.

    The style shows these names on a phone, where a row is a list.
    """
    from docutils import nodes

    for table in doctree.findall(nodes.table):
        head, *rows = (list(row.children) for row in table.findall(nodes.row))
        if len(head) < STACKS_FROM:
            continue
        table["classes"].append("stacks")
        for row in rows:
            for title, cell in zip(head[1:], row[1:], strict=True):
                first = next(iter(cell.findall(nodes.paragraph)), None)
                if first is not None and title.astext():
                    first.insert(0, nodes.inline("", f"{title.astext()}: ", classes=["heading"]))


def _check_links(app: Sphinx, error: Exception | None) -> None:
    from sphinx.util.logging import getLogger

    for wrong in sorted(wrong_links(Path(app.outdir))) if error is None else ():
        getLogger(__name__).warning(wrong)
