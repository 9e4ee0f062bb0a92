"""docs/testing.md is true: its examples are tests, which pass; its table has every fixture."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from keyturn import testing
from keyturn.testing import plugin
from tests.docs.pages import python_blocks
from tests.testing.test_plugin import FIXTURES, run

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text("utf-8")


@pytest.mark.proof
def test_every_example_passes(tmp_path: Path) -> None:
    """All blocks of the page, under pytest with keyturn's plugin alone: one module, and that with a name."""
    examples = python_blocks("docs/testing.md")
    assert PAGE.count("```") == 2 * len(examples)
    (named,) = (example for example in examples if example.startswith("# test_application.py\n"))
    (tmp_path / "test_application.py").write_text(named)
    (tmp_path / "application.py").write_text(python_blocks("README.md")[0])
    (tmp_path / "test_page.py").write_text("\n\n".join(one for one in examples if one != named))
    said = run(tmp_path, "-W", "error")
    assert f"{PAGE.count('def test_')} passed" in said, said


def test_every_fixture_is_in_the_table() -> None:
    """One row for each, and no row for another."""
    assert sorted(FIXTURES) == sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))


def test_every_fixture_has_its_type_in_the_table() -> None:
    """By the name that can be imported, and it is what the fixture is annotated to give."""
    told = dict(re.findall(r"^\| `(\w+)` \|.*\| `([\w.]+)` \|$", PAGE, re.MULTILINE))
    tree = ast.parse(Path(plugin.__file__).read_text("utf-8"))
    functions = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name in FIXTURES]
    given = {one.name: ast.unparse(one.returns or one).removeprefix("Iterator[") for one in functions}
    assert {name: path.rpartition(".")[2] for name, path in told.items()} == {
        name: annotation.removesuffix("]") for name, annotation in given.items()
    }
    for path in told.values():
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module or "builtins"), name)


def test_every_peer_in_memory_is_on_the_page() -> None:
    """Each fake that is exported is named where peers are described."""
    peers = [name for name in testing.__all__ if name.startswith(("Fake", "Recorded"))]
    assert len(peers) >= 6
    assert [name for name in peers if f"`{name}`" not in PAGE and f"{name}(" not in PAGE] == []


def test_everything_a_rotation_can_do_is_on_the_page() -> None:
    """Each public method of `Rotation`, of `RotatingSecret` and of the bus is mentioned."""
    methods = [
        name
        for kind in (testing.Rotation, testing.RotatingSecret, testing.EventBus)
        for name in vars(kind)
        if not name.startswith("_") and callable(vars(kind)[name])
    ]
    assert {"fail_after", "rollback", "doubling"} <= set(methods)
    assert [name for name in methods if not re.search(rf"[.`]{name}\b", PAGE)] == []
