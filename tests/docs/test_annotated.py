"""Annotated Python blocks of the pages pass mypy --strict as they stand, as in a user's project."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, python_blocks

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


def verdict(folder: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What mypy --strict says of these files, of which it finds keyturn installed."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src"), "MYPY_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        [*command, *files], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("page", COPIED)
def test_the_handlers_are_annotated(page: str) -> None:
    """The handlers that readers copy have types."""
    assert any(is_annotated(block) for block in python_blocks(page))


@pytest.mark.proof
def test_annotated_blocks_pass_a_strict_check(tmp_path: Path) -> None:
    """No annotated block needs a cast, an assertion or a comment for mypy; a wrong one is seen."""
    said = verdict(tmp_path, annotated())
    assert 0 == said.returncode, said.stdout
    wrong = {"wrong.py": annotated()["readme_0.py"].replace("version.fields()", "version.json()")}
    assert "not indexable" in verdict(tmp_path, wrong).stdout
