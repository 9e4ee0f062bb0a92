"""The demonstration, run as its users run it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testing.processes import eventually, heed_interrupts, processes_naming, temporary_folder

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

ROOT = Path(__file__).parents[2]

PASSWORD = re.compile(r"[A-Za-z0-9_-]{43}")
"""What the demo's passwords look like."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """The temporary folder of the run, which must be empty afterwards."""
    with temporary_folder() as place:
        yield place


def demo(folder: Path, output: Path) -> subprocess.Popen[str]:
    """A quick run, in a process group of its own as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "keyturn.demo", "--quick", "--output", str(output)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 # no threads here
    )


def test_a_quick_run(folder: Path, tmp_path: Path) -> None:
    """It succeeds, its report and its picture tell what happened, and no password is in them."""
    with demo(folder, tmp_path) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    report = json.loads((tmp_path / "report.json").read_text())
    rows = {(row["title"], row["setting"]): row for row in report["contenders"]}
    get, login = (rows[f"keyturn, {way}", "check_interval_s=1"] for way in ("get", "login"))
    assert get["noticed"] == "2 of 2"
    assert get["worst_s"] <= 2
    assert get["reads_per_move"]["GetSecretValue"] == 1
    once, retry = (
        rows["module-level variable", "read once"],
        rows["refresh and retry once", "on a refused login"],
    )
    assert once["noticed"] == "0 of 2"
    assert once["failed"] > get["failed"] > 0
    assert retry["refused"] > retry["failed"] > 0
    assert login["failed"] == 0
    assert 2 <= login["refused"] < get["refused"]
    assert login["worst_s"] < 0
    assert [move["window_s"] >= 2 for move in report["moves"]] == [True, True]
    picture = (tmp_path / "timeline.svg").read_text()
    drawing = ET.fromstring(picture)  # noqa: S314 - our own
    words = {element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {row["title"] for row in report["contenders"]} <= words
    assert PASSWORD.search(said + picture + json.dumps(report)) is None
    assert eventually(lambda: not processes_naming(folder))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C in the terminal (the whole group gets it) or SIGTERM: no process and no file stays."""
    with demo(folder, tmp_path) as process:
        assert process.stdout is not None
        assert any("all are warm" in line for line in process.stdout)
        assert len(processes_naming(folder)) > 7
        os.killpg(process.pid, signal.SIGINT) if number == signal.SIGINT else process.terminate()
        rest = process.stdout.read()
    assert process.returncode == 128 + number
    assert "Traceback" not in rest
    assert eventually(lambda: not processes_naming(folder) and not list(folder.iterdir()))
