"""The two zip files: what they hold depends on the sources alone, not on the checkout that they come from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import build_layer, build_listener
from tools.build_listener import ROOT

pytestmark = pytest.mark.proof

MADE = {"build_listener": build_listener.build, "build_layer": build_layer.build}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another checkout of the same sources: other dates, other permissions, and what Python leaves behind."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("src", "rotation_listener", "tools"):
        shutil.copytree(ROOT / name, folder / name)
    for number, file in enumerate(sorted(folder.rglob("*.py"))):
        os.utime(file, (1_000_000_000 + number, 1_000_000_000 + number))
        file.chmod(0o600)
    (folder / "src" / "keyturn" / "__pycache__").mkdir(exist_ok=True)
    (folder / "src" / "keyturn" / "__pycache__" / "left.cpython-311.pyc").touch()
    return folder


@pytest.mark.parametrize("tool", MADE)
def test_another_checkout_gives_the_same_bytes(tool: str, elsewhere: Path, tmp_path: Path) -> None:
    """So their hashes can be compared between machines."""
    command = [sys.executable, "-m", f"tools.{tool}", str(tmp_path / "other.zip")]
    subprocess.run(command, check=True, capture_output=True, cwd=elsewhere, umask=0o077)
    assert MADE[tool](tmp_path / "here.zip") == (tmp_path / "other.zip").read_bytes()
