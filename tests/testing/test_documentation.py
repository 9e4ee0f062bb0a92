"""docs/testing.md is true: its examples are tests, which pass; its table has every fixture."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import python_blocks
from tests.testing.test_plugin import FIXTURES, run

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text("utf-8")


def test_every_example_passes(tmp_path: Path) -> None:
    """All blocks of the page, as one module, under pytest with keyturn's plugin alone."""
    examples = python_blocks("docs/testing.md")
    assert PAGE.count("```") == 2 * len(examples)
    module = "\n\n".join(examples)
    (tmp_path / "test_page.py").write_text(module)
    said = run(tmp_path, "-W", "error")
    assert f"{module.count('def test_')} passed" in said, said


def test_every_fixture_is_in_the_table() -> None:
    """One row for each, and no row for another."""
    assert sorted(FIXTURES) == sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
