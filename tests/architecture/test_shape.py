"""What keeps the code readable: short functions and classes, few arguments, a promise on every test.

Ruff checks what it can, among it the length of lines (E501) and the docstring of every test function (D103).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from tests.architecture.sources import definitions, written_files

FUNCTION_LINES_MAX = 70
CLASS_LINES_MAX = 300
CLIENTS = ("SecretCache", "AsyncSecretCache")
CLIENT_LINES_MAX = 350
"""The public clients may be longer: their methods only hand on, and their docstrings are the reference."""

CONSTRUCTOR_ARGUMENTS_MAX = 10


def lines(node: ast.stmt) -> int:
    """Return how many lines a function or class has, its docstring included and its decorators not."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def methods(tree: ast.Module) -> Iterator[tuple[ast.ClassDef, ast.FunctionDef]]:
    """Yield each method with its class."""
    for owner in definitions(tree):
        if isinstance(owner, ast.ClassDef):
            yield from ((owner, node) for node in owner.body if isinstance(node, ast.FunctionDef))


def long_functions(tree: ast.Module) -> Iterator[str]:
    """Yield each function that is too long to be seen at once; inner functions and methods count, too."""
    for node in definitions(tree):
        if not isinstance(node, ast.ClassDef) and lines(node) > FUNCTION_LINES_MAX:
            yield f"function {node.name} has {lines(node)} lines"


def long_classes(tree: ast.Module) -> Iterator[str]:
    """Yield each class that does too much for its length."""
    for node in definitions(tree):
        if isinstance(node, ast.ClassDef):
            lines_max = CLIENT_LINES_MAX if node.name in CLIENTS else CLASS_LINES_MAX
            if lines(node) > lines_max:
                yield f"class {node.name} has {lines(node)} lines"


def wide_constructors(tree: ast.Module) -> Iterator[str]:
    """Yield each class that is made from too many arguments; the fields of a dataclass are no constructor."""
    for owner, node in methods(tree):
        taken = node.args
        count = len(taken.posonlyargs + taken.args + taken.kwonlyargs) - 1
        if node.name == "__init__" and count > CONSTRUCTOR_ARGUMENTS_MAX:
            yield f"constructor of {owner.name} has {count} arguments"


def silent_tests(tree: ast.Module) -> Iterator[str]:
    """Yield each test method without a docstring."""
    for _, node in methods(tree):
        if node.name.startswith("test_") and not ast.get_docstring(node):
            yield f"{node.name} promises nothing"


def found(check: Callable[[ast.Module], Iterator[str]]) -> set[str]:
    """Return what a check finds in the whole repository."""
    return {f"{path}: {finding}" for path, tree in written_files().items() for finding in check(tree)}


def test_functions_fit_on_a_screen() -> None:
    """No function is longer than 70 lines, its docstring counted."""
    assert found(long_functions) == set()


def test_classes_do_one_thing() -> None:
    """No class is longer than 300 lines; a public client has at most 350."""
    assert found(long_classes) == set()


def test_constructors_take_few_arguments() -> None:
    """No constructor takes more than ten arguments beside `self`."""
    assert found(wide_constructors) == set()


def test_every_test_method_states_its_promise() -> None:
    """Every test that is a method has a docstring, as ruff demands of functions."""
    assert found(silent_tests) == set()


def test_a_long_function_is_seen() -> None:
    """71 lines are too many, also for a method; 70 are not."""
    body = "        x = 1\n"
    assert list(long_functions(ast.parse("class A:\n    def f():\n" + 69 * body))) == []
    assert list(long_functions(ast.parse("class A:\n    def f():\n" + 70 * body))) == [
        "function f has 71 lines"
    ]


def test_a_long_class_is_seen() -> None:
    """301 lines are too many, and 351 for a public client."""
    body = "    x = 1\n"
    assert list(long_classes(ast.parse("class A:\n" + 299 * body))) == []
    assert list(long_classes(ast.parse("class A:\n" + 300 * body))) == ["class A has 301 lines"]
    assert list(long_classes(ast.parse("class SecretCache:\n" + 349 * body))) == []
    assert list(long_classes(ast.parse("class SecretCache:\n" + 350 * body))) == [
        "class SecretCache has 351 lines"
    ]


def test_a_wide_constructor_is_seen() -> None:
    """Eleven arguments are too many, keywords counted; `self` is none."""
    text = "class A:\n    def __init__(self, {}, *, k): ..."
    ten, eleven = (text.format(", ".join(f"a{number}" for number in range(count))) for count in (9, 10))
    assert list(wide_constructors(ast.parse(ten))) == []
    assert list(wide_constructors(ast.parse(eleven))) == ["constructor of A has 11 arguments"]


def test_a_silent_test_is_seen() -> None:
    """A test method without a docstring is reported; a helper needs none."""
    text = "class A:\n    def test_a(self): ...\n    def helper(self): ...\n"
    assert list(silent_tests(ast.parse(text))) == ["test_a promises nothing"]
