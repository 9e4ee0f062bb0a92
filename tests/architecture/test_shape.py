"""What keeps the code readable: short functions, short lines, a promise on every test."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import ROOT, python_files

FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 110


def functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a file, inner ones too."""
    nodes = ast.walk(ast.parse(text))
    return (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def long_functions(text: str) -> Iterator[str]:
    """Each function that is too long to be seen at once, with its lines."""
    for node in functions(text):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield f"{node.name} has {lines} lines"


def long_lines(text: str) -> Iterator[str]:
    """Each line that is too long."""
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > LINE_COLUMNS_MAX:
            yield f"line {number} has {len(line)} columns"


def silent_tests(text: str) -> Iterator[str]:
    """Each test without a docstring."""
    for node in functions(text):
        if node.name.startswith("test_") and not ast.get_docstring(node):
            yield f"{node.name} promises nothing"


def test_functions_fit_on_a_screen() -> None:
    """No function is longer than 70 lines, its docstring counted."""
    found = {file.relative_to(ROOT): list(long_functions(file.read_text("utf-8"))) for file in python_files()}
    assert {file: names for file, names in found.items() if names} == {}


def test_lines_fit_in_a_window() -> None:
    """No line is longer than 110 columns, long strings included."""
    found = {file.relative_to(ROOT): list(long_lines(file.read_text("utf-8"))) for file in python_files()}
    assert {file: lines for file, lines in found.items() if lines} == {}


def test_every_test_states_its_promise() -> None:
    """Every test, methods included, has a docstring."""
    files = [file for file in python_files() if file.name.startswith("test_")]
    found = {file.relative_to(ROOT): list(silent_tests(file.read_text("utf-8"))) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


def test_a_long_function_is_seen() -> None:
    """71 lines are too many, also for a method; 70 are not."""
    body = "        x = 1\n"
    assert list(long_functions("class A:\n    def f():\n" + 69 * body)) == []
    assert list(long_functions("class A:\n    def f():\n" + 70 * body)) == ["f has 71 lines"]


def test_a_long_line_is_seen() -> None:
    """111 columns are too many; 110 are not."""
    assert list(long_lines("#" * 110)) == []
    assert list(long_lines("\n" + "#" * 111)) == ["line 2 has 111 columns"]


def test_a_silent_test_is_seen() -> None:
    """A test method without a docstring is reported; a helper needs none."""
    text = "class A:\n    def test_a(self): ...\n    def helper(self): ...\n"
    assert list(silent_tests(text)) == ["test_a promises nothing"]
