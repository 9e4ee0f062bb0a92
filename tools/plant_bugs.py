"""Plant each deliberate bug in a copy of the source and see that the simulation catches it.

A bug is caught by a checker that sees a promise broken in a seed that keeps it without the bug. A simulation
that crashes has caught nothing. The seed that the table names for a bug is tried before all others.

python tools/plant_bugs.py [--seeds 300] [--only WORDS] [--jobs 2]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.simulation.bugs import BUGS, Bug  # noqa: E402 - this script adds the path of the tests
from tests.simulation.world import CRASH  # noqa: E402 - as above

COPIED = ("src", "rotation_listener", "tests")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for a bug: the checker that caught it and the seed, or None and the reason for that."""

    bug: Bug
    checker: str | None
    detail: str


def main() -> int:
    """Plant the chosen bugs. Return 0 if all were caught."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds a bug may survive")
    parser.add_argument("--only", default="", help="only bugs with these words in their name")
    parser.add_argument("--jobs", type=int, default=2, help="bugs at a time")
    arguments = parser.parse_args()
    bugs = [bug for bug in BUGS if arguments.only in bug.name]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = list(_shown(pool.map(partial(plant, seeds=arguments.seeds), bugs)))
    missed = [outcome for outcome in outcomes if outcome.checker is None]
    print(f"{len(outcomes) - len(missed)} of {len(outcomes)} bugs were caught")
    return 1 if missed or not outcomes else 0


def _shown(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        print(f"{outcome.bug.name:72} {outcome.checker or 'NOT CAUGHT'} ({outcome.detail})", flush=True)
        yield outcome


def plant(bug: Bug, seeds: int) -> Outcome:
    """Run the seeds with this bug until a checker reports it."""
    with tempfile.TemporaryDirectory(prefix="keyturn-bug-") as folder:
        for name in COPIED:
            shutil.copytree(ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__pycache__"))
        file = Path(folder, bug.file)
        text = file.read_text("utf-8")
        if text.count(bug.old) != 1:
            return Outcome(bug, None, f"its text does not occur exactly once in {bug.file}")
        file.write_text(text.replace(bug.old, bug.new), "utf-8")
        return _caught(bug, folder, seeds)


def _caught(bug: Bug, folder: str, seeds: int) -> Outcome:
    ran = _simulate(Path(folder), bug.weather, "--first", str(bug.seed), "--seeds", "1")
    if ran.returncode == 0:
        ran = _simulate(Path(folder), bug.weather, "--seeds", str(seeds))
    found = re.search(r"BROKEN in seed (\d+): (.*)", ran.stderr)
    if found is None:
        return Outcome(bug, None, f"in {seeds} seeds" if ran.returncode == 0 else ran.stderr[-120:])
    seed, checker = found.groups()
    if checker == CRASH:
        return Outcome(bug, None, f"seed {seed} crashes the simulation")
    if not _is_clean(seed, bug.weather):
        return Outcome(bug, None, f"seed {seed} breaks {checker}, and a promise without the bug as well")
    return Outcome(bug, checker, f"seed {seed}")


@cache
def _is_clean(seed: str, weather: str | None) -> bool:
    """Return True if this seed keeps every promise without any bug."""
    return _simulate(ROOT, weather, "--first", seed, "--seeds", "1").returncode == 0


def _simulate(folder: Path, weather: str | None, *seeds: str) -> subprocess.CompletedProcess[str]:
    """Run these seeds, one after the other, with the source in this folder."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}/src{os.pathsep}{folder}", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "tests.simulation", "--jobs", "1", *seeds]
    command += ["--only", weather] if weather is not None else []
    return subprocess.run(  # noqa: S603 - our own command
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
