"""The pytest plugin costs a test run that does not use it next to nothing."""

from __future__ import annotations

import os
import re
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

OLDER = """
import boto3
from botocore.config import Config

# As at the top of a module under test. Nothing listens at this proxy: a call that leaves the process fails.
settings = Config(proxies={"https": "http://127.0.0.1:9"}, retries={"total_max_attempts": 1})
real = {"aws_access_key_id": "somebodys", "aws_secret_access_key": "somebodys"}
client = boto3.client("secretsmanager", region_name="us-east-1", config=settings, **real)

def test_a_client_that_is_older_than_moto(keyturn_rotating_secret):
    secret = keyturn_rotating_secret("prod/db", "first")
    assert client.get_secret_value(SecretId="prod/db")["SecretString"] == "first"
    client.put_secret_value(SecretId="prod/db", SecretString="second")
    assert secret.current_version_id == client.get_secret_value(SecretId="prod/db")["VersionId"]
"""

FIXTURES = (
    "keyturn_aws",
    "keyturn_cache",
    "keyturn_clock",
    "keyturn_listener",
    "keyturn_make_cache",
    "keyturn_marker_table",
    "keyturn_rotating_secret",
)

FAMILIAR = """
import pytest

@pytest.fixture
def listener():
    return "the project's own"

@pytest.fixture
def marker_table():
    return "the project's own"

def test_both(listener, marker_table, keyturn_rotating_secret, keyturn_cache, keyturn_marker_table):
    assert listener == marker_table == "the project's own"
    secret = keyturn_rotating_secret("prod/db", "one")
    assert keyturn_cache.get_secret_string("prod/db") == "one"
    assert keyturn_marker_table != marker_table
"""


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


def test_each_fixture_tells_what_it_is(tmp_path: Path) -> None:
    """`pytest --fixtures` has a sentence on each, and each begins with keyturn's own name."""
    told = re.findall(
        r"^(\w+) -- .*keyturn/testing/plugin\.py.*\n    (.*)", run(tmp_path, "--fixtures"), re.MULTILINE
    )
    assert {name for name, _ in told} == set(FIXTURES)
    assert [name for name, sentence in told if "no docstring" in sentence] == []
    assert [name for name, _ in told if not name.startswith("keyturn_")] == []


@pytest.mark.proof
def test_a_projects_own_names_are_free(tmp_path: Path) -> None:
    """A project with fixtures `listener` and `marker_table` of its own uses the kit beside them."""
    (tmp_path / "test_familiar.py").write_text(FAMILIAR)
    assert "1 passed" in run(tmp_path)


def test_no_client_reaches_an_account(tmp_path: Path) -> None:
    """Also one that a module under test made at its import, before any test had loaded moto."""
    (tmp_path / "test_older.py").write_text(OLDER)
    assert "1 passed" in run(tmp_path)


def test_without_the_extra(tmp_path: Path) -> None:
    """A fixture says what to install."""
    (tmp_path / "test_bare.py").write_text(BARE)
    said = run(tmp_path)
    assert "1 error" in said
    assert "pip install 'keyturn[testing]'" in said
