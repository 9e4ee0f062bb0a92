"""The pytest plugin costs a test run that does not use it next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("boto3", "botocore", "cryptography", "moto", "pydantic", "rotation_listener", "werkzeug", "yaml")

LIGHT = f"""
import sys

HEAVY = {HEAVY!r}

def loaded():
    return sorted({{name.partition(".")[0] for name in sys.modules}}.intersection(HEAVY))

def test_nothing_heavy_is_loaded():
    assert "keyturn.testing.plugin" in sys.modules
    assert loaded() == []

def test_a_fixture_loads_what_it_needs(keyturn_clock):
    assert loaded() == []

def test_the_account(keyturn_aws):
    assert {{"boto3", "moto"}} <= set(loaded())
"""

BARE = """
import sys

sys.modules["moto"] = None

def test_without_the_extra(keyturn_aws):
    pass
"""

FIXTURES = ("keyturn_aws", "keyturn_cache", "keyturn_clock", "listener", "marker_table", "rotating_secret")


def run(folder: Path, *arguments: str) -> str:
    """pytest with this plugin alone, in a project of its own."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "keyturn.testing.plugin", "-q", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_loading_it_is_light(tmp_path: Path) -> None:
    """Before a fixture is used no AWS client, moto, pydantic or YAML parser is imported."""
    (tmp_path / "test_light.py").write_text(LIGHT)
    assert "3 passed" in run(tmp_path)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_each_fixture_tells_what_it_is(fixture: str, tmp_path: Path) -> None:
    """`pytest --fixtures` has a sentence on each."""
    lines = run(tmp_path, "--fixtures", "--no-header").splitlines()
    (at,) = (index for index, line in enumerate(lines) if line.startswith(f"{fixture} --"))
    assert lines[at + 1].startswith("    ")
    assert "no docstring" not in lines[at + 1]


def test_without_the_extra(tmp_path: Path) -> None:
    """A fixture says what to install."""
    (tmp_path / "test_bare.py").write_text(BARE)
    said = run(tmp_path)
    assert "1 error" in said
    assert "pip install 'keyturn[testing]'" in said
