"""The simulation in small: some seeds keep every promise, repeat themselves, and see a planted bug."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.bugs import BUGS
from tools.plant_bugs import plant

ROOT = Path(__file__).parents[2]
SEEDS = 16
FEW_SEEDS = 2

SOON_CAUGHT = (
    "a value is in the repr of its version",
    pytest.param("the marker is believed without asking", marks=pytest.mark.proof),
    pytest.param("a secret that is gone is served on, as if the call had failed", marks=pytest.mark.proof),
    pytest.param("the head is not told of a write", marks=pytest.mark.proof),
    pytest.param("a check of the table is waited for without a deadline", marks=pytest.mark.proof),
    pytest.param("what a source raises comes out as it is", marks=pytest.mark.proof),
)


def simulation(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the simulation's own command."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("seeds", [FEW_SEEDS, pytest.param(SEEDS, marks=pytest.mark.proof)])
def test_every_promise_holds_under_faults(seeds: int) -> None:
    """Cache, markers, listener, sweep and announce keep every promise in each of these worlds."""
    ran = simulation("--seeds", str(seeds))
    assert (0, "") == (ran.returncode, ran.stderr)


def test_a_seed_repeats_itself_step_by_step() -> None:
    """One seed gives one trace, in every process: a broken promise can be looked at again."""
    first, again = (simulation("--seed", "5", "--trace").stdout for _ in range(2))
    assert "got AWSCURRENT of" in first
    assert first == again


@pytest.mark.parametrize("name", SOON_CAUGHT)
def test_a_planted_bug_is_seen(name: str) -> None:
    """The checkers are awake: a bug in a copy of the source breaks a promise within a few seeds."""
    [bug] = [bug for bug in BUGS if bug.name == name]
    assert plant(bug, seeds=SEEDS).checker not in (None, "crash")


def test_every_planted_bug_still_fits_the_source() -> None:
    """The code that each bug changes is there, once."""
    misfits = [bug.name for bug in BUGS if (ROOT / bug.file).read_text("utf-8").count(bug.old) != 1]
    assert misfits == []
