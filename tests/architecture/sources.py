"""The project's source files, and what one file's syntax tree says about it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[2]
Definition: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name (a package by its own name) and its text."""

    name: str
    text: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `import a.b` and `from a.b import c` are `a.b` and `a.b.c`.

    `bound_as` is the name in the importing module, `target` what it stands for there.
    """

    path: str
    bound_as: str
    target: str
    line: int


@cache
def shipped_modules() -> dict[str, Module]:
    """Every module of the wheel by its dotted name."""
    roots = {"keyturn": ROOT / "src", "rotation_listener": ROOT}
    return {
        module.name: module
        for package, base in roots.items()
        for file in sorted((base / package).rglob("*.py"))
        for module in [_read(file, base)]
    }


@cache
def written_files() -> dict[str, ast.Module]:
    """Every Python file of the repository that people write: path from the root -> its syntax tree."""
    folders = ("benchmarks", "examples", "rotation_listener", "src", "tests", "tools")
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): _parsed(file.read_text("utf-8")) for file in files}


@cache
def definitions(tree: ast.Module) -> tuple[Definition, ...]:
    """Every class and function of a file, also those inside others; several checks ask for them."""
    return tuple(node for node in ast.walk(tree) if isinstance(node, Definition))


def _read(file: Path, base: Path) -> Module:
    parts = file.relative_to(base).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    return Module(name, file.read_text("utf-8"), is_package)


def imports(module: Module) -> Iterator[Import]:
    """All imports of a module, those inside functions and `if TYPE_CHECKING` too."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    bound_as = alias.asname or alias.name.partition(".")[0]
                    target = alias.name if alias.asname else bound_as
                    yield Import(alias.name, bound_as, target, node.lineno)
            case ast.ImportFrom(names=names):
                base = _absolute(module, node)
                for alias in names:
                    path = f"{base}.{alias.name}"
                    yield Import(path, alias.asname or alias.name, path, node.lineno)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    package = module.name.split(".")
    kept = package[: len(package) - node.level + module.is_package]
    return ".".join([*kept, node.module] if node.module else kept)
