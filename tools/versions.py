"""`make versions VERSIONS=lowest`: run the tests on the lowest versions that are allowed, or on the newest.

The wheel goes into a new environment with every extra that users run. `lowest` takes the lowest version of
each direct requirement, as uv resolves it; `newest` takes what pip takes without constraints. Then the tests
run that need no server. Exits with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

from tools.extras import EXTRAS, ROOT
from tools.pythons import TEST_TOOLS, TESTS, FailedError, bin_python, install, run

PINNED: Final = frozenset({"cdk", "demo"})
"""The extras that are left out: the demonstration pins its emulators, and no test here imports the CDK."""

LIBPQ: Final = "psycopg[binary]"
"""Rotations of PostgreSQL need a libpq that can be told to log in by SCRAM only; a machine's may be older."""

Versions = Literal["lowest", "newest"]


def constraints(folder: Path, extras: list[str]) -> Path:
    """Return a file with the lowest versions that are allowed, resolved by uv."""
    resolver, found = folder / "uv", folder / "lowest.txt"
    run(sys.executable, "-m", "venv", resolver, folder=folder)
    install(resolver, "-c", str(ROOT / "constraints.txt"), "uv")
    chosen = [word for extra in extras for word in ("--extra", extra)]
    how = ("--resolution", "lowest-direct", "--no-header", "--no-annotate", "--python", sys.executable)
    run(
        resolver / "bin" / "uv", "pip", "compile", "-q", *how, *chosen, "-o", found, ROOT / "pyproject.toml",
        folder=folder,
    )  # fmt: skip
    # The tests themselves need a newer pytest than users do.
    kept = [line for line in found.read_text().splitlines() if not line.startswith("pytest==")]
    found.write_text("\n".join([*kept, ""]))
    return found


def tested(folder: Path, versions: Versions) -> int:
    """Install the wheel with these versions, and run the tests. Return pytest's exit code."""
    extras = sorted(EXTRAS.keys() - PINNED)
    print(f"resolving and installing the {versions} versions", flush=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT, folder=folder)
    (wheel,) = folder.glob("*.whl")
    chosen = ["-c", str(constraints(folder, extras))] if versions == "lowest" else []
    environment = folder / "environment"
    run(sys.executable, "-m", "venv", environment, folder=folder)
    install(environment, *chosen, f"{wheel}[{','.join(extras)}]", LIBPQ, *TEST_TOOLS)
    # The checkout comes after the environment's own packages, so only the tests' helpers are found in it.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "checkout.pth").write_text(f"{ROOT}\n")
    print(
        run(bin_python(environment), "-m", "pip", "freeze", "--exclude", "keyturn", folder=folder), flush=True
    )
    command = [str(bin_python(environment)), "-P", "-m", "pytest", *TESTS]
    return subprocess.run(command, cwd=folder, check=False).returncode  # noqa: S603 # our own tests


def main() -> int:
    """Run the tests on the chosen versions. Return 0 if they passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", choices=("lowest", "newest"))
    versions: Versions = parser.parse_args().versions
    # A terminated run removes its folder, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="keyturn-versions-") as folder:
        try:
            return tested(Path(folder), versions)
        except FailedError as error:
            print(error, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
