"""CONTRIBUTING.md shows the house as it is: every folder, in the order of its floor."""

from __future__ import annotations

import re
import tomllib
from typing import Final

import pytest

from tests.docs.pages import ROOT

PAGE: Final = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SOURCE: Final = ROOT / "src" / "keyturn"


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def layers() -> list[list[str]]:
    """The folders of each floor of the contract, the highest floor first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = (one for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    return [layer.split(" | ") for layer in contract["layers"]]


def code(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def folders(text: str) -> list[str]:
    """The folders and modules that a cell names, as the contract names them."""
    return [name.strip("/").removesuffix(".py") for name in code(text)]


def test_the_layout_has_every_folder_in_the_order_of_the_contract() -> None:
    """A row stands below the rows of all folders that may import it."""
    floor_of = {name: floor for floor, names in enumerate(layers()) for name in names}
    told = [name for row in rows("Layout") for name in folders(row[0]) if name in floor_of]
    assert set(told) == floor_of.keys() - {"live", "refusals"}
    assert told == sorted(told, key=lambda name: floor_of[name])


def test_a_module_that_hands_names_on_is_told() -> None:
    """`live` and `refusals` stand in the row of the folder that their names come from."""
    told = {row[0]: row[1] for row in rows("Layout")}
    assert "live" in folders(told["`settings/`"])
    assert "refusals" in folders(told["`login/`"])


@pytest.mark.parametrize("heading", ["Layout", "Add something"])
def test_every_path_is_there(heading: str) -> None:
    """A file or folder that these tables name exists, below src/keyturn or the root."""
    paths = [name for row in rows(heading) for name in code(" ".join(row)) if re.search(r"/|\.py$", name)]
    assert len(paths) > 5
    assert [path for path in paths if not any((base / path).exists() for base in (SOURCE, ROOT))] == []
