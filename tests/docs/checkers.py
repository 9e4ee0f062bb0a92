"""The type checkers of users' projects: mypy --strict, and Pyright in its strict mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT


def written(folder: Path, files: dict[str, str]) -> list[str]:
    """Write the files into a folder and return their names."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return list(files)


def mypy(folder: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Return what mypy --strict says of these files, of which it finds keyturn installed."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src"), "MYPY_CACHE_DIR": str(folder / "cache")}
    return ran([*command, *written(folder, files)], folder, environment)


def pyright(folder: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Return what Pyright, in its strict mode, says of these files."""
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT / "src")]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    written(folder, files)
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--project", str(folder)]
    return ran(command, folder, dict(os.environ))


def ran(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a type checker in a folder."""
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@dataclass(frozen=True)
class Checker:
    """A type checker: how it is asked, and how it names two mistakes."""

    name: str
    check: Callable[[Path, dict[str, str]], subprocess.CompletedProcess[str]]
    not_indexable: str
    wrong_return: str


CHECKERS: Final = (
    Checker("mypy", mypy, "not indexable", "Incompatible return value type"),
    Checker("pyright", pyright, "reportIndexIssue", "reportReturnType"),
)
