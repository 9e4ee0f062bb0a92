"""The house: a folder imports only those below it, and no import runs in a circle.

The contracts are in pyproject.toml, `[tool.importlinter]`; import-linter reads them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter checks the contracts; it is a tool of the checkout")

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"


def verdict(folder: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the checkout in this folder."""
    environment = {"PYTHONPATH": f"{folder / 'src'}:{folder}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", LINT]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source, in which imports may be planted."""
    folder = tmp_path_factory.mktemp("house")
    for name in ("src", "rotation_listener"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_imports_run_downward() -> None:
    """No folder imports one above it, no module sits in a circle, and every folder has its floor."""
    said = verdict(ROOT)
    assert 0 == said.returncode, said.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        pytest.param(
            "src/keyturn/cache/cache.py",
            "def f():\n    from keyturn.login import logins",
            "A folder imports only those below it",
            id="upward, inside a function",
        ),
        pytest.param(
            "src/keyturn/misc/__init__.py",
            "",
            "A folder imports only those below it",
            id="a folder without a floor",
        ),
        pytest.param(
            "rotation_listener/handler.py",
            "import keyturn.aws.secretsmanager",
            "The listener is built from markers, aws and what is below",
            id="the listener imports what reads values",
        ),
        pytest.param(
            "src/keyturn/cache/freshness.py",
            "from keyturn.runtime.host import SystemClock",
            "Decisions use no clock, no environment and no AWS package",
            id="a decision reads the real clock",
        ),
        pytest.param(
            "src/keyturn/cache/held.py",
            "import keyturn.cache.refresh",
            "No circle of modules or folders",
            id="a circle inside a folder",
        ),
    ],
)
def test_a_wrong_import_is_seen(copy: Path, file: str, line: str, contract: str) -> None:
    """Each kind of wrong import breaks its contract by name."""
    planted = copy / file
    before = planted.read_text("utf-8") if planted.exists() else None
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f"{before or ''}\n{line}\n", "utf-8")
    try:
        said = verdict(copy)
    finally:
        if before is None:
            shutil.rmtree(planted.parent)
        else:
            planted.write_text(before, "utf-8")
    assert 0 != said.returncode
    assert f"{contract} BROKEN" in said.stdout
