"""The listener's deployment package, byte for byte the same from the same sources.

The package has `rotation_listener` and the modules of `keyturn` that it reaches by its imports. Lambda's
Python runtime has botocore.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from keyturn.stack.archives import write_zip
from keyturn.stack.files import packages

ENTRIES: Final = ("rotation_listener.handler", "rotation_listener.counter")
"""The handlers of the two functions: the listener, and the counting of a fleet."""

SIZE_MAX: Final = 110 * 1024
"""The size limit in bytes: a cold start fetches the package."""


def build(output: Path) -> bytes:
    """Write the package to `output` and return its bytes."""
    files = {file.relative_to(base).as_posix(): file.read_bytes() for base, file in _files()}
    return write_zip(output, files)


def _files() -> Iterator[tuple[Path, Path]]:
    """Yield every module that the entry points reach, with the folder of its package."""
    sources = packages()
    waiting, reached = [*ENTRIES], set[Path]()
    while waiting:
        name = waiting.pop()
        base = sources.get(name.partition(".")[0])
        file = _file_of(base, name) if base is not None else None
        if base is None or file is None or file in reached:
            continue
        reached.add(file)
        yield base, file
        waiting.append(name.rpartition(".")[0])
        waiting.extend(_imported(file))


def _file_of(base: Path, name: str) -> Path | None:
    path = base.joinpath(*name.split("."))
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


def _imported(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports when it runs. `from a import b` may mean the module `a.b`."""
    tree = ast.parse(file.read_bytes())
    for_checkers = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_checkers:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
