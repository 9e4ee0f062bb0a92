"""Plant each deliberate bug in a copy of the source and see that the simulation catches it.

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
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.simulation.bugs import BUGS, Bug  # noqa: E402 - this script adds the path of the tests

COPIED = ("src", "rotation_listener", "tests")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for a bug: the checker that caught it and the seed, or None and the reason."""

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
    environment = {**os.environ, "PYTHONPATH": f"{folder}/src{os.pathsep}{folder}", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "tests.simulation", "--jobs", "1", "--seeds", str(seeds)]
    command += ["--only", bug.weather] if bug.weather is not None else []
    ran = subprocess.run(  # noqa: S603 - our own command
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    found = re.search(r"BROKEN in seed (\d+): (.*)", ran.stderr)
    if found is not None:
        return Outcome(bug, found[2], f"seed {found[1]}")
    if ran.returncode:
        error = next((line for line in reversed(ran.stderr.splitlines()) if "Error" in line), "no message")
        return Outcome(bug, "crash", error[:120])
    return Outcome(bug, None, f"in {seeds} seeds")


if __name__ == "__main__":
    sys.exit(main())
