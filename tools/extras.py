"""What each extra is for, and which tests do without any: both by what the sources import."""

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
    "bench": ("cachetools",),
    "cli": ("keyturn.cli",),
    "demo": ("keyturn.demo", "keyturn.testing.embedded"),
    "dev": ("hypothesis", "mypy", "schemathesis"),
    "django": ("keyturn.integrations.django",),
    "docs": ("furo", "myst_parser", "sphinx", "sphinx_click"),
    "psycopg": ("keyturn.integrations.psycopg", "keyturn.rotation.postgresql"),
    "pymysql": ("keyturn.integrations.pymysql",),
    "redis": ("keyturn.integrations.redis",),
    "serve": ("keyturn.serve",),
    "sqlalchemy": ("keyturn.integrations.sqlalchemy",),
    "testing": ("keyturn.testing.account", "keyturn.testing.moto", "keyturn.testing.plugin"),
}
"""Extra -> what it is for: modules of keyturn (a package stands for all in it), or else packages."""

OWN: Final[Mapping[str, Path]] = {
    "keyturn": ROOT / "src",
    "rotation_listener": ROOT,
    "tests": ROOT,
    "tools": ROOT,
    "benchmarks": ROOT,
}
"""The repository's own packages, and the folder that each is in."""

PROVIDED: Final = frozenset({"snapshot_restore_py"})
"""What only Lambda's managed runtimes have; who imports it does without it elsewhere."""


def extra_of(module: str) -> str | None:
    """The extra that a module of keyturn is for, or None for one of the core."""
    for extra, purposes in EXTRAS.items():
        if any(module == one or module.startswith(f"{one}.") for one in purposes):
            return extra
    return None


def runtime_imports(text: str) -> Iterator[str]:
    """What a source imports when it runs, by full names: also inside functions, not what only types need.

    What it starts as `python -m NAME` counts as imported.
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
    """What a command of these words runs by `-m`: a module, or the `__main__` of a package."""
    for option, module in pairwise(command):
        if option == "-m" and isinstance(module, str) and module.replace(".", "_").isidentifier():
            yield f"{module}.__main__"


def foreign_packages(file: Path) -> frozenset[str]:
    """The packages of neither the standard library nor the repository that a source imports."""
    packages = {name.partition(".")[0] for name in runtime_imports(file.read_text("utf-8"))}
    return frozenset(packages - sys.stdlib_module_names - OWN.keys() - PROVIDED)


def source_of(name: str) -> Path | None:
    """The file of one of our modules, by its name or by that of something in it."""
    base = OWN.get(name.partition(".")[0])
    while base is not None and name:
        path = base.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
        name = name.rpartition(".")[0]
    return None


def sources_of(purpose: str) -> list[Path]:
    """The files of a module of keyturn, or of all modules of a package."""
    file = source_of(purpose)
    if file is None:
        return []
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def module_name(file: Path) -> str:
    """The full name of a module of the wheel."""
    base = OWN["keyturn"] if file.is_relative_to(OWN["keyturn"]) else ROOT
    parts = file.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def needs(test: Path) -> frozenset[str]:
    """The packages beyond the core that a test file needs, with its conftests and the helpers it imports.

    Modules of the core count as needing nothing, whatever they import: if one of them needed an
    extra, its tests would have to fail.
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
    """The packages that what a module of keyturn is in needs of its extra; none for the core."""
    purposes = EXTRAS.get(extra_of(name) or "", ())
    return frozenset().union(*(foreign_packages(file) for one in purposes for file in sources_of(one)))


@cache
def is_installed(package: str) -> bool:
    """Whether a top-level package can be imported here: a mere folder, as `build` is here, is none."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def missing_for(test: Path) -> list[str]:
    """The packages that are not here and that a test file needs."""
    return sorted(package for package in needs(test) if not is_installed(package))
