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

WRONGLY_JUDGED = (
    pytest.param(("242",), id="a caller that had waited for the table left with old names of a path"),
    pytest.param(("22", "--only", "clock set back"), id="a caller that had waited left with its copy"),
    pytest.param(("188", "--only", "process replaced"), id="a caller's time was over by its own fast clock"),
    pytest.param(("2", "--only", "Parameter Store is busy with others"), id="a name meant another secret"),
    pytest.param(("27", "--only", "Secrets Manager throttles"), id="a caller came back in the quiet minute"),
    pytest.param(("53", "--only", "host frozen"), id="a host stood still in the middle of a call"),
    pytest.param(("349",), id="the listener of the version before slots crashed where its table was silent"),
    pytest.param(("53", "--only", "Parameter Store is busy with others"), id="a slow check took the time"),
    pytest.param(("20",), id="a login tried what is held, since a service rested until somebody called it"),
    pytest.param(("745",), id="a login without a budget got nothing new from a service that rested"),
    pytest.param(("1818",), id="a denial of a marker's version counted as one of the label"),
)

SOON_CAUGHT = (
    "a value is in the repr of its version",
    pytest.param("the marker is believed without asking", marks=pytest.mark.proof),
    pytest.param("a secret that is gone is served on, as if the call had failed", marks=pytest.mark.proof),
    pytest.param("the head is not told of a write", marks=pytest.mark.proof),
    pytest.param("a check of the table is waited for without a deadline", marks=pytest.mark.proof),
    pytest.param("what a source raises comes out as it is", marks=pytest.mark.proof),
    pytest.param("a flight is registered before anything carries it out", marks=pytest.mark.proof),
    pytest.param("a child goes on with the lock of its parent's thread", marks=pytest.mark.proof),
    pytest.param("a read that fails takes the copies of other secrets with it", marks=pytest.mark.proof),
    pytest.param("a failed check of one table makes all others pause", marks=pytest.mark.proof),
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


@pytest.mark.proof
@pytest.mark.parametrize("arguments", WRONGLY_JUDGED)
def test_what_a_judge_had_wrong_stays_right(arguments: tuple[str, ...]) -> None:
    """Each of these worlds was broken by the simulation itself, and not by keyturn: docs/simulation.md."""
    ran = simulation("--seed", *arguments)
    assert (0, "") == (ran.returncode, ran.stderr)


@pytest.mark.proof
def test_a_seed_repeats_itself_step_by_step() -> None:
    """One seed gives one trace, in every process, interruptions and all: what was broken can be looked at."""
    first, again = (simulation("--seed", "5", "--trace").stdout for _ in range(2))
    assert "got AWSCURRENT of" in first
    assert "was interrupted" in first
    assert first == again


@pytest.mark.proof
@pytest.mark.parametrize("name", SOON_CAUGHT)
def test_a_planted_bug_is_seen(name: str) -> None:
    """The checkers are awake: a bug in a copy of the source breaks a promise within a few seeds."""
    [bug] = [bug for bug in BUGS if bug.name == name]
    assert plant(bug, seeds=SEEDS).checker is not None


def test_every_planted_bug_still_fits_the_source() -> None:
    """The code that each bug changes is there, once."""
    misfits = [bug.name for bug in BUGS if (ROOT / bug.file).read_text("utf-8").count(bug.old) != 1]
    assert misfits == []
