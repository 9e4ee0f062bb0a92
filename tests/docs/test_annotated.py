"""Annotated Python blocks of the pages pass strict type checkers as they stand, as in a user's project."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.docs.checkers import CHECKERS, Checker
from tests.docs.pages import python_blocks

COPIED = ("README.md", "docs/lambda.md", "docs/metrics.md")
"""The pages whose blocks are whole programs, for readers to copy."""


def is_annotated(block: str) -> bool:
    """Return True if the block has functions, and each of them says what it takes and returns."""
    nodes = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.FunctionDef)]
    return bool(nodes) and all(
        node.returns is not None and all(argument.annotation for argument in node.args.args) for node in nodes
    )


def annotated() -> dict[str, str]:
    """The annotated blocks, by the names of the files that they become."""
    return {
        f"{Path(page).stem.replace('-', '_').lower()}_{number}.py": block
        for page in COPIED
        for number, block in enumerate(python_blocks(page))
        if is_annotated(block)
    }


@pytest.mark.parametrize("page", COPIED)
def test_the_handlers_are_annotated(page: str) -> None:
    """The handlers that readers copy have types."""
    assert any(is_annotated(block) for block in python_blocks(page))


@pytest.mark.proof
@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.name)
def test_annotated_blocks_pass_a_strict_check(checker: Checker, tmp_path: Path) -> None:
    """No annotated block needs a cast, an assertion or a comment for a type checker; a wrong one is seen."""
    said = checker.check(tmp_path, annotated())
    assert 0 == said.returncode, said.stdout
    wrong = {"wrong.py": annotated()["readme_0.py"].replace("version.fields()", "version.json()")}
    assert checker.not_indexable in checker.check(tmp_path, wrong).stdout
