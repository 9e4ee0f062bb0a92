"""No loop stands directly in a block whose end must come: an exception at its jump would skip that end.

Such a block holds a lock, or has a `finally` that gives something back.

Since Python 3.12 the jump back of some loops belongs to no block, and a signal handler may run at a jump
(https://github.com/python/cpython/issues/148278). A loop in a function of its own is safe: its call
belongs to the block.
"""

from __future__ import annotations

import ast
import dis
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "keyturn"


def functions(code: CodeType) -> Iterator[CodeType]:
    """The code itself, and all code inside of it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from functions(inner)


def must_end(node: ast.AST) -> bool:
    """Return True for `with some.lock:`, and for a `try` with a `finally`."""
    if isinstance(node, ast.With):
        return any("lock" in ast.unparse(item.context_expr) for item in node.items)
    return isinstance(node, ast.Try) and bool(node.finalbody)


def guarded_lines(source: str) -> set[int]:
    """The lines that are inside of a block whose end must come."""
    return {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.With, ast.Try)) and must_end(node)
        for line in range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1)
    }


def uncovered_jumps(source: str) -> Iterator[int]:
    """The lines whose jumps back belong to no block."""
    for code in functions(compile(source, "module", "exec")):
        bytecode = dis.Bytecode(code)
        # The table of blocks has no public name for type checkers.
        covered = [range(entry.start, entry.end) for entry in bytecode.exception_entries]  # type: ignore[attr-defined]
        for one in bytecode:
            is_jump = one.opname in (
                "JUMP_BACKWARD",
                "POP_JUMP_BACKWARD_IF_TRUE",
                "POP_JUMP_BACKWARD_IF_FALSE",
            )
            line = one.positions.lineno if one.positions is not None else None
            if is_jump and line is not None and not any(one.offset in block for block in covered):
                yield line


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there all jumps belong to their blocks")
def test_no_block_loses_its_end_at_a_jump() -> None:
    """Also not in a comprehension, which is a part of its function."""
    sources = {file.relative_to(SOURCES): file.read_text("utf-8") for file in SOURCES.rglob("*.py")}
    found = {
        str(name): sorted(set(uncovered_jumps(source)) & guarded_lines(source))
        for name, source in sources.items()
    }
    assert {} == {name: lines for name, lines in found.items() if lines}
