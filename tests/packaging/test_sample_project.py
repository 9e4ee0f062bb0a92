"""A project of a user: its own environment, keyturn from the wheel, plain `pytest`."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).with_name("sample")
TEST = SAMPLE / "test_orders.py"

INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")


def run(*command: str | Path, folder: Path) -> str:
    """Run a command as a user would, with nothing of ours on the path; what it printed."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample outside of our checkout, with an environment that has keyturn from its wheel."""
    folder = tmp_path_factory.mktemp("user")
    project = folder / "project"
    shutil.copytree(SAMPLE, project)
    build = ("-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT)
    run(sys.executable, *build, folder=folder)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", project / ".venv", folder=folder)
    python = project / ".venv" / "bin" / "python"
    run(python, *INSTALL, "-c", ROOT / "constraints.txt", f"{wheel}[testing]", folder=folder)
    return project


@pytest.mark.e2e
@pytest.mark.proof
def test_it_has_the_wheel_and_nothing_of_the_checkout(project: Path) -> None:
    """Both packages come from the environment, and no path leads to the sources."""
    program = "import keyturn as k, rotation_listener as r, sys; print(k.__file__, r.__file__, *sys.path)"
    said = run(project / ".venv" / "bin" / "python", "-c", program, folder=project).split()
    assert [path for path in said[:2] if not Path(path).is_relative_to(project / ".venv")] == []
    assert [path for path in said if Path(path).is_relative_to(ROOT)] == []


@pytest.mark.e2e
@pytest.mark.proof
def test_a_user_tests_a_rotation(project: Path) -> None:
    """The fixtures are there without an import, and the function comes through the rotation."""
    said = run(project / ".venv" / "bin" / "pytest", "-q", folder=project)
    assert "1 passed" in said


@pytest.mark.e2e
@pytest.mark.proof
def test_the_test_can_fail(project: Path) -> None:
    """A function that keeps its first login's version is found out."""
    orders = project / "orders.py"
    right = orders.read_text()
    bad = right.replace(
        'cache.login("prod/db", lambda version: connect(version), is_refused=is_refused)',
        'connect(cache.get("prod/db"))',
    )
    assert bad != right
    orders.write_text(bad)
    try:
        command: list[str | Path] = [project / ".venv" / "bin" / "pytest", "-q"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    finally:
        orders.write_text(right)
    assert done.returncode == 1
    assert "WrongPasswordError" in done.stdout


def test_it_is_short() -> None:
    """The whole test, its set-up included, has fewer than 20 lines."""
    (test,) = (one for one in ast.parse(TEST.read_text()).body if isinstance(one, ast.FunctionDef))
    assert test.end_lineno is not None
    assert test.end_lineno - test.lineno + 1 < 20
