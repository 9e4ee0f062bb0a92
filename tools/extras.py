"""The purpose of each extra, and the tests that need no extra: both found from the imports of the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "aiohttp": ("keyturn.integrations.aiohttp",),
    "asyncpg": ("keyturn.integrations.asyncpg",),
    "cdk": ("keyturn.cdk",),
    "cli": ("keyturn.cli",),
    "demo": ("keyturn.demo", "keyturn.testing.embedded", "keyturn.testing.locked"),
    "django": ("keyturn.integrations.django",),
    "httpx": ("keyturn.integrations.httpx",),
    "otel": ("keyturn.metrics.otel",),
    "powertools": ("keyturn.integrations.powertools",),
    "psycopg": ("keyturn.integrations.psycopg", "keyturn.rotation.postgresql"),
    "pymysql": ("keyturn.integrations.pymysql", "keyturn.rotation.mysql"),
    "redis": ("keyturn.integrations.redis", "keyturn.rotation.redis"),
    "requests": ("keyturn.integrations.requests",),
    "serve": ("keyturn.serve",),
    "sqlalchemy": ("keyturn.integrations.sqlalchemy",),
    "testing": ("keyturn.testing.account", "keyturn.testing.moto", "keyturn.testing.plugin"),
    "trio": ("keyturn.aio.trio_bell",),
    "urllib3": ("keyturn.integrations.urllib3",),
}
"""Extra -> its purpose: modules of keyturn; a package stands for all its modules."""

OWN: Final[Mapping[str, Path]] = {
    "keyturn": ROOT / "src",
    "rotation_listener": ROOT,
    "tests": ROOT,
    "tools": ROOT,
    "benchmarks": ROOT,
}
"""The repository's own packages, and the folder that has each."""

PROVIDED: Final = frozenset({"nacl", "snapshot_restore_py"})
"""Packages of PyMySQL's own extra and of Lambda's runtimes: modules that import them work without them."""


def extra_of(module: str) -> str | None:
    """Return the extra that a module of keyturn needs, or None for a module of the core."""
    for extra, purposes in EXTRAS.items():
        if any(module == one or module.startswith(f"{one}.") for one in purposes):
            return extra
    return None


def runtime_imports(text: str) -> Iterator[str]:
    """Yield the full names that a source imports when it runs, also inside functions, but not only for types.

    A module that the source starts as `python -m NAME` counts as imported.
    """
    waiting: list[ast.AST] = [ast.parse(text)]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=other):
                waiting.extend(other)
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                yield from _started(
                    [one.value if isinstance(one, ast.Constant) else None for one in elements]
                )
                waiting.extend(elements)
            case _:
                waiting.extend(ast.iter_child_nodes(node))


def _started(command: list[object]) -> Iterator[str]:
    """Yield the module, or the `__main__` of a package, that a command of these words runs by `-m`."""
    for option, module in pairwise(command):
        if option == "-m" and isinstance(module, str) and module.replace(".", "_").isidentifier():
            yield f"{module}.__main__"


def foreign_packages(file: Path) -> frozenset[str]:
    """Return the packages that a source imports from outside the standard library and the repository."""
    packages = {name.partition(".")[0] for name in runtime_imports(file.read_text("utf-8"))}
    return frozenset(packages - sys.stdlib_module_names - OWN.keys() - PROVIDED)


def source_of(name: str) -> Path | None:
    """Return the file of one of the repository's modules, by its name or by the name of something in it."""
    base = OWN.get(name.partition(".")[0])
    while base is not None and name:
        path = base.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
        name = name.rpartition(".")[0]
    return None


def sources_of(purpose: str) -> list[Path]:
    """Return the files of a module of keyturn, or of all modules of a package."""
    file = source_of(purpose)
    if file is None:
        return []
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def module_name(file: Path) -> str:
    """Return the full name of a module of the wheel."""
    base = OWN["keyturn"] if file.is_relative_to(OWN["keyturn"]) else ROOT
    parts = file.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def needs(test: Path) -> frozenset[str]:
    """Return the packages beyond the core that a test file, its conftests and its helpers need.

    Modules of the core count as needing nothing, whatever they import: if one of them needed an extra, its
    tests should fail.
    """
    folders = [folder for folder in test.parents if folder.is_relative_to(ROOT)]
    conftests = [folder / "conftest.py" for folder in folders if (folder / "conftest.py").is_file()]
    waiting, seen, found = [test, *conftests], set[Path](), set[str]()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        found |= foreign_packages(file)
        for name in runtime_imports(file.read_text("utf-8")):
            source = source_of(name)
            if source is None:
                continue
            if name.partition(".")[0] in ("keyturn", "rotation_listener"):
                found |= extra_packages(name)
            else:
                waiting.append(source)
    return frozenset(found)


@cache
def extra_packages(name: str) -> frozenset[str]:
    """Return the packages of the extra that a module of keyturn belongs to; none for the core."""
    purposes = EXTRAS.get(extra_of(name) or "", ())
    return frozenset().union(*(foreign_packages(file) for one in purposes for file in sources_of(one)))


@cache
def is_installed(package: str) -> bool:
    """Return True if a top-level package can be imported here.

    A mere folder, such as `build`, is no package.
    """
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def missing_for(test: Path) -> list[str]:
    """Return the packages that a test file needs and that are not installed here."""
    return sorted(package for package in needs(test) if not is_installed(package))
