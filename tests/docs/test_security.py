"""docs/security.md names the test of each claim, and that test is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.docs.pages import ROOT

_TEST = re.compile(r"`((?:[a-z_]+/)*(?:test_[a-z_]+\.py|…))(?:::(test_\w+)(…?))?`")
"""A file below tests/, or `…` for the file before; a test of it, which `…` may cut off."""


def named_tests() -> Iterator[tuple[str, str, bool]]:
    """Yield each file that the page names, the test that it names of it, and whether that name is cut off."""
    before = ""
    for file, test, cut in _TEST.findall((ROOT / "docs" / "security.md").read_text("utf-8")):
        before = before if file == "…" else file
        if before:
            yield before, test, bool(cut)


def test_every_named_test_is_there() -> None:
    """A test that was moved or renamed is no evidence any more."""
    missing = []
    for file, test, is_cut in named_tests():
        path = ROOT / "tests" / file
        text = path.read_text("utf-8") if path.is_file() else ""
        if not re.search(rf"def {test}{'' if is_cut else '[(]'}" if test else "def test_", text):
            missing.append(f"{file}::{test}")
    assert [] == missing


def test_every_row_about_an_attacker_names_a_test() -> None:
    """Each row of the tables of what an attacker can do ends with its evidence."""
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    attackers = page.partition("## What each attacker can do")[2].partition("\n## ")[0]
    rows = [line for line in attackers.splitlines() if line.startswith("| ") and "| test |" not in line]
    assert len(rows) > 30
    assert [] == [row for row in rows if not _TEST.search(row.rsplit("|", 2)[1])]
