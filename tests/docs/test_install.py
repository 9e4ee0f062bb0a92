"""The install section of docs/operations.md is typed as it stands, on a fresh account of an embedded AWS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keyturn.testing.embedded import EmbeddedAws
from tests.docs.pages import ROOT, blocks
from tests.docs.terminal import Terminal, build_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.proof]


def awscli() -> str:
    """The AWS CLI that is pinned."""
    (pin,) = (line for line in (ROOT / "constraints.txt").read_text().split() if line.startswith("awscli=="))
    return pin


def test_the_install_page_on_a_fresh_account(tmp_path: Path) -> None:
    """Nothing is there before but Python and the AWS CLI; at the end `doctor` finds nothing wrong."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    # It wants a botocore of its own, later than the one that is tested here.
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", awscli()]
    subprocess.run(install, check=True)
    page = blocks("docs/operations.md")
    typed = next(block.text for block in page if block.language == "sh")
    wheels = build_wheel(tmp_path)
    with EmbeddedAws() as aws:
        account = {name: value for name, value in aws.environment.items() if "REGION" not in name}
        with Terminal(tmp_path, wheels, {**account, "PIP_CONSTRAINT": ""}) as terminal:
            terminal.run(f". {tmp_path}/venv/bin/activate")
            said = terminal.run(typed)
            doctor = terminal.run("keyturn doctor --json || true")
    assert "the lease was renewed" in said, said
    findings = json.loads(doctor)["findings"]
    assert [one for one in findings if one["level"] == "wrong"] == []
