"""Importing keyturn costs next to nothing: the heavy packages wait until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = frozenset(
    {"aws_secretsmanager_caching", "boto3", "botocore", "cryptography", "pydantic", "pydantic_settings"}
)


def loaded_by(statement: str) -> frozenset[str]:
    """The heavy packages that one statement loads in a fresh interpreter."""
    # What a start-up hook of the environment loaded before is not the statement's doing.
    probe = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return HEAVY.intersection(name.partition(".")[0] for name in answer.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "keyturn",
        "keyturn.aio.client",
        "keyturn.client",
        "keyturn.markers",
        "keyturn.markers.recorder",
        "keyturn.integrations.awslambda",
        "rotation_listener.events",
    ],
)
def test_importing_is_light(module: str) -> None:
    """The import loads no AWS client, no upstream cache and no pydantic."""
    assert loaded_by(f"import {module}") == frozenset()


def test_the_listener_needs_only_boto3() -> None:
    """The deployed function loads neither pydantic nor the upstream cache: its zip has neither."""
    assert loaded_by("import rotation_listener.handler") <= {"boto3", "botocore"}


def test_a_heavy_import_is_seen() -> None:
    """A module that loads botocore on import is found out."""
    assert loaded_by("import botocore.exceptions") == {"botocore"}


def test_the_library_needs_nothing_that_only_some_systems_have() -> None:
    """Without fork and the modules of POSIX a cache answers, and command and test kit load."""
    program = """
import importlib.util, os, sys
del os.fork, os.register_at_fork
sys.modules.update(dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios")))
from keyturn import Peers, SecretCache
from keyturn.testing.fakes import FakeSecretsManager
import keyturn.testing.embedded
if importlib.util.find_spec("click") and importlib.util.find_spec("rich"):
    import keyturn.cli.root, keyturn.cli.stack
if importlib.util.find_spec("pytest") and importlib.util.find_spec("moto"):
    import keyturn.testing.plugin
secrets = FakeSecretsManager()
secrets.create("prod/db", "value")
print(SecretCache(marker_table=False, peers=Peers(source=secrets)).get("prod/db").version_id)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (0, "") == (answer.returncode, answer.stderr)
