"""The pages: every link leads somewhere, every page is in the index, every Python block is run by a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import keyturn
import keyturn.testing
from tests.docs.pages import ROOT, RUN_BY, links, pages, places, python_blocks
from tools.site import edit_links, marked, toctrees, wrong_links

INDEX = "docs/index.md"


def broken(page: str) -> list[str]:
    """The links of a page that lead to no file of the repository, or to no heading of a page."""
    found = []
    for address in links(page):
        path, _, place = address.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        name = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else ""
        if not target.exists() or (place and place not in (places(name) if name in pages() else ())):
            found.append(address)
    return found


@pytest.mark.parametrize("page", pages())
def test_every_link_leads_somewhere(page: str) -> None:
    """To a file that is there, and to a heading of it."""
    assert broken(page) == []


def test_links_are_seen() -> None:
    """The check has something to check, and knows headings by their anchors."""
    assert {"docs/index.md", "docs/chain.svg"} <= set(links("README.md"))
    assert "a-rotation-function" in places("docs/login.md")
    assert "the-keyturn-command" in places("docs/cli.md")


def test_every_page_is_in_the_index() -> None:
    """Under one of its headings, so that it is in the site's navigation."""
    lead = (address.partition("#")[0] for address in links(INDEX) if not address.endswith(".svg"))
    listed = {((ROOT / INDEX).parent / path).resolve() for path in lead}
    reference = {ROOT / "docs" / "reference" / "index.rst"}
    assert listed == {ROOT / page for page in pages() if page != INDEX} | reference


def test_the_reference_has_every_public_name() -> None:
    """Each name of `keyturn` by itself, those of `keyturn.testing` by their module."""
    folder = ROOT / "docs" / "reference"
    told = {file.stem: file.read_text("utf-8").split() for file in folder.glob("*.rst")}
    documented = {
        word.removeprefix("keyturn.").removesuffix("()") for word in told["keyturn"] + told["errors"]
    }
    assert set(keyturn.__all__) - documented == set()
    assert {"keyturn.testing", ":imported-members:"} <= set(told["testing"])
    assert told.keys() - {"index"} == set(told["index"]) & told.keys()


def test_the_reference_has_every_module_that_the_pages_import() -> None:
    """What an example imports can be looked up."""
    text = " ".join(file.read_text("utf-8") for file in (ROOT / "docs" / "reference").glob("*.rst"))
    trees = [ast.parse(block) for page in RUN_BY for block in python_blocks(page)]
    imported = {
        node.module or ""
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keyturn")
    }
    assert len(imported) > 10
    assert {module for module in imported if module not in text} == set()


def test_every_python_block_is_run() -> None:
    """A page that has one is in the table, and the test that the table names asks for the page's blocks."""
    assert {page for page in pages() if python_blocks(page)} == RUN_BY.keys()
    asked = {
        (test, node.args[0].value)
        for test in set(RUN_BY.values())
        for node in ast.walk(ast.parse((ROOT / "tests" / test).read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"python_blocks", "blocks"}
        and isinstance(node.args[0], ast.Constant)
    }
    assert {(test, page) for page, test in RUN_BY.items()} - asked == set()


def test_a_list_of_the_index_is_navigation() -> None:
    """A page is listed with its title; what is no page of ours is not, nor is a section without a list."""
    index = (
        "# Index\n\n## Next\n\n| [One](one.md) |\n\n"
        "## How-to\n\n- [One](one.md): first\n- [Two](../two/README.md)\n- [AWS](https://a.md)\n"
    )
    (tree,) = toctrees(index)
    assert "One <one>\nTwo <../two/README>\n```" in tree
    assert ":caption: How-to\n" in tree


def test_pages_can_be_edited_where_the_repository_is_known(tmp_path: Path) -> None:
    """The address is `Repository` of `[project.urls]`. Without it no page has a link that edits it."""
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "keyturn"\n')
    assert edit_links(project) == {}
    project.write_text('[project.urls]\nRepository = "https://forge.example/keyturn"\n')
    assert edit_links(project)["source_repository"] == "https://forge.example/keyturn"


def test_what_a_docstring_sets_in_is_code() -> None:
    """Python as Python, all else as text; the arguments of `Args:` are none."""
    lines = ["A tree.", "", "    a", "    └── b", "", "So:", "", "    x = 1", "", "Args:", "    x: one"]
    expected = [
        *("A tree.", "", ".. code-block:: text", "", "    a", "    └── b", ""),
        *("So:", "", ".. code-block:: python", "", "    x = 1", "", "Args:", "    x: one"),
    ]
    assert expected == list(marked(lines))


def test_a_wrong_link_of_the_site_is_seen(tmp_path: Path) -> None:
    """One to a page or place that is not there, and whatever is loaded from elsewhere."""
    (tmp_path / "a.html").write_text('<a href="b.html#here">b</a><a href="https://elsewhere">out</a>')
    (tmp_path / "b.html").write_text('<p id="here"><a href="a.html">a</a>')
    assert list(wrong_links(tmp_path)) == []
    (tmp_path / "b.html").write_text('<a href="c.html">c</a><script src="https://elsewhere/x.js"></script>')
    expected = [
        "a.html: b.html#here leads nowhere",
        "b.html: c.html leads nowhere",
        "b.html loads https://elsewhere/x.js",
    ]
    assert expected == sorted(wrong_links(tmp_path), key=expected.index)
