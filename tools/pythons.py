"""`make pythons`: install wheel and sdist on every Python found here, with and without each extra.

The wheel goes into a new environment of each Python, where the tests that need no extra run. For each extra
it goes into one more environment, where everything is imported that the extra is for. The sdist is installed
once. All environments are in a temporary folder. Exits with 1 if anything failed. Pythons that were not found
are named.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from tools.extras import EXTRAS, ROOT, extra_of, foreign_packages, module_name, sources_of

VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
"""The versions of the classifiers, and the next version."""

WIDTH: Final = 13
NO_EXTRA: Final = "no extra"
NEEDS_A_BUILT_DRIVER: Final = "keyturn.integrations.django.mysql"
"""Django's backend imports mysqlclient, which has to be built; `make servers` imports it."""
SAMPLE: Final = "user's tests"
SDIST: Final = "sdist"
# Most files of an environment are never imported. Only those that the tests start again and again are
# compiled.
NOT_COMPILED: Final = "--no-compile"
CONSTRAINTS: Final = ("-c", str(ROOT / "constraints.txt"))
TEST_TOOLS: Final = ("hypothesis", "pytest")
# The tests of `make test` that start no server.
TESTS: Final = (
    *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-o", "pythonpath="),
    *("-q", "--no-header", "-p", "no:cacheprovider", "-m", "not e2e and not proof", "--without-extras"),
    *(f"--ignore={ROOT / 'tests' / folder}" for folder in ("faults", "infra")),
    str(ROOT / "tests"),
)

PROBE: Final = """
import importlib, sys
for name in sys.argv[1:]:
    file = importlib.import_module(name).__file__ or sys.prefix
    if name.partition(".")[0] in ("keyturn", "rotation_listener") and not file.startswith(sys.prefix):
        sys.exit(f"{name} is that of {file}, not that of the environment")
"""


class FailedError(Exception):
    """A command ended with another code than 0. The message is the end of its output."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one environment: a cell of the table, a note, and the output if it failed."""

    cell: str
    note: str = ""
    output: str = ""


@dataclass(slots=True)
class Table:
    """The outcome of each row (an extra) under each column (a Python)."""

    columns: list[str]
    cells: dict[tuple[str, str], Outcome] = field(default_factory=dict)

    @property
    def has_failed(self) -> bool:
        return any(outcome.output for outcome in self.cells.values())

    def lines(self) -> Iterator[str]:
        rows = list(dict.fromkeys(row for row, _ in self.cells))
        yield "".join(text.ljust(WIDTH) for text in ["", *self.columns]).rstrip()
        for row in rows:
            cells = [self.cells.get((row, column), Outcome("-")).cell for column in self.columns]
            yield "".join(text.ljust(WIDTH) for text in [row, *cells]).rstrip()


def run(*command: str | Path, folder: Path) -> str:
    """Return the output of a command. Raises `FailedError` if it failed.

    The command has nothing of the checkout on its path.
    """
    left_out = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(  # noqa: S603 # our own commands
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    if done.returncode != 0:
        raise FailedError("\n".join(said.splitlines()[-40:]) or f"{command[0]} said nothing")
    return said


def candidates(version: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the places where a Python of this version may be, the likeliest first.

    `KEYTURN_TEST_PYTHONS`, a list like PATH, comes before this Python, PATH and pyenv's Pythons.
    """
    yield from filter(None, environment.get("KEYTURN_TEST_PYTHONS", "").split(os.pathsep))
    yield sys.executable
    name = f"python{version}"
    for folder in environment.get("PATH", "").split(os.pathsep):
        found = shutil.which(name, path=folder)
        if found is not None:
            yield found
    root = Path(environment.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(root.glob(f"versions/*/bin/{name}"), reverse=True))


def version_of(python: str) -> str | None:
    """Return the full version of a Python, or None if it does not start (a shim without a Python)."""
    command = [python, "-c", "import platform; print(platform.python_version())"]
    try:
        done = subprocess.run(  # noqa: S603 # a Python that was found
            command, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def found(environment: Mapping[str, str], ask: Callable[[str], str | None] = version_of) -> dict[str, str]:
    """Return full version -> the Python of that version: at most one for each of `VERSIONS`."""
    pythons: dict[str, str] = {}
    for version in VERSIONS:
        for python in candidates(version, environment):
            full = ask(python)
            if full is not None and full.startswith(f"{version}."):
                pythons[full] = python
                break
    return pythons


def absent(versions: Sequence[str]) -> list[str]:
    """Return those of `VERSIONS` that none of these full versions belongs to."""
    return [one for one in VERSIONS if not any(full.startswith(f"{one}.") for full in versions)]


def imported_for(extra: str) -> list[str]:
    """Return all that must import with this extra alone: its modules, and every package that they import."""
    sources = [file for purpose in EXTRAS[extra] for file in sources_of(purpose)]
    files = [file for file in sources if not module_name(file).startswith(NEEDS_A_BUILT_DRIVER)]
    packages = frozenset().union(*map(foreign_packages, files))
    return sorted(packages) + (list(map(module_name, files)) or list(EXTRAS[extra]))


def imported_without() -> list[str]:
    """Return all that must import without an extra: the modules that need none, and their packages."""
    files = [file for package in ("keyturn", "rotation_listener") for file in sources_of(package)]
    core = [file for file in files if extra_of(module_name(file)) is None]
    return sorted(frozenset().union(*map(foreign_packages, core))) + list(map(module_name, core))


class Environments:
    """Makes the environments of one Python, each from the environment that has only the wheel."""

    def __init__(self, python: str, wheel: Path, folder: Path) -> None:
        self._base = folder / "base"
        self._folder = folder
        self._wheel = wheel
        run(python, "-m", "venv", self._base, folder=folder)
        self._install(self._base, str(wheel))

    def without(self) -> Outcome:
        """Check the wheel alone: the core imports, and the tests that need no extra pass."""
        probe(self._base, imported_without())
        with_tests = self._copy("tests")
        self._install(with_tests, *TEST_TOOLS)
        # The checkout comes after the environment's own packages, so only the tests' helpers are found in it.
        (site,) = with_tests.glob("lib/python*/site-packages")
        (site / "checkout.pth").write_text(f"{ROOT}\n")
        probe(with_tests, ["keyturn", "rotation_listener"])
        said = run(bin_python(with_tests), "-P", "-m", "pytest", *TESTS, folder=self._folder)
        summary = said.splitlines()[-1]
        (passed,) = re.findall(r"(\d+) passed", summary)
        left_out = said.count("\nnot collected: ")
        return Outcome(f"{passed} tests", f"{summary}; {left_out} files or folders of tests need more")

    def with_extra(self, extra: str) -> Outcome:
        """Check the wheel with one extra: everything imports that the extra is for."""
        folder = self._copy(extra)
        self._install(folder, NOT_COMPILED, f"{self._wheel}[{extra}]")
        names = imported_for(extra)
        probe(folder, names)
        shutil.rmtree(folder)
        return Outcome(f"{len(names)} imports")

    def sample(self) -> Outcome:
        """Check that a user's project passes its own tests with the extra `testing`, by plain pytest."""
        folder = self._copy("user")
        self._install(folder, NOT_COMPILED, f"{self._wheel}[testing]")
        project = shutil.copytree(ROOT / "tests" / "packaging" / "sample", folder / "project")
        said = run(bin_python(folder), "-P", "-m", "pytest", "-q", folder=project)
        (passed,) = re.findall(r"^(\d+) passed in", said, re.MULTILINE)
        return Outcome(f"{passed} test")

    def _copy(self, name: str) -> Path:
        """Copy the base environment. The files are links, which pip replaces and never writes to."""
        return Path(shutil.copytree(self._base, self._folder / name, symlinks=True, copy_function=os.link))

    def _install(self, folder: Path, *what: str) -> None:
        install(folder, *CONSTRAINTS, *what)


def bin_python(folder: Path) -> Path:
    """Return the Python of an environment."""
    return folder / "bin" / "python"


def install(folder: Path, *arguments: str) -> None:
    """Run pip install, with pip's configuration on this machine."""
    options = ("--quiet", "--disable-pip-version-check", "--no-input")
    run(bin_python(folder), "-m", "pip", "install", *options, *arguments, folder=folder)


def probe(folder: Path, names: Sequence[str]) -> None:
    """Import all these names in an environment, which has its own keyturn."""
    run(bin_python(folder), "-P", "-c", PROBE, *names, folder=folder)


def from_sdist(python: str, sdist: Path, folder: Path) -> Outcome:
    """Check the sdist, built by pip: the core imports."""
    run(python, "-m", "venv", folder / SDIST, folder=folder)
    install(folder / SDIST, NOT_COMPILED, *CONSTRAINTS, str(sdist))
    names = imported_without()
    probe(folder / SDIST, names)
    return Outcome(f"{len(names)} imports")


def tried(title: str, do: Callable[[], Outcome]) -> Outcome:
    """Run `do`, and print its outcome and how long it took."""
    print(f"  {title:<{WIDTH}}", end="", flush=True)
    begun_s = time.monotonic()
    try:
        outcome = do()
    except FailedError as error:
        outcome = Outcome("FAILED", output=str(error))
    print(f"{outcome.cell:<{WIDTH}}{time.monotonic() - begun_s:4.0f} s  {outcome.note}".rstrip(), flush=True)
    if outcome.output:
        print(outcome.output, flush=True)
    return outcome


def tried_on(python: str, wheel: Path, extras: Sequence[str], folder: Path) -> Iterator[tuple[str, Outcome]]:
    """Yield each row of one Python's column."""
    made: list[Environments] = []

    def without() -> Outcome:
        made.append(Environments(python, wheel, folder))
        return made[0].without()

    yield NO_EXTRA, tried(NO_EXTRA, without)
    for environments in made:
        yield SAMPLE, tried(SAMPLE, environments.sample)
        for extra in extras:
            yield extra, tried(extra, partial(environments.with_extra, extra))


def main() -> int:
    """Try everything. Return 0 if nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only this Python")
    is_quick = parser.parse_args().quick
    # A terminated run removes its folder, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    here = version_of(sys.executable) or ""
    pythons = {here: sys.executable} if is_quick else found(os.environ)
    with tempfile.TemporaryDirectory(prefix="keyturn-pythons-") as folder:
        try:
            table = tried_on_all(pythons, sorted(EXTRAS), Path(folder))
        except FailedError as error:
            print(error, file=sys.stderr)
            return 1
    print("", *table.lines(), sep="\n")
    missing = [] if is_quick else absent(list(pythons))
    if missing:
        print(f"not found, so not tried: Python {', '.join(missing)} (KEYTURN_TEST_PYTHONS can name them)")
    return 1 if table.has_failed else 0


def tried_on_all(pythons: Mapping[str, str], extras: Sequence[str], folder: Path) -> Table:
    """Return the whole table.

    Only the first Python fills the last row. Raises `FailedError` if a build failed.
    """
    print("building the sdist, and the wheel from it", flush=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    table = Table(list(pythons))
    for version, python in pythons.items():
        print(f"Python {version}", flush=True)
        own = folder / version
        own.mkdir()
        for row, outcome in tried_on(python, wheel, extras, own):
            table.cells[row, version] = outcome
        shutil.rmtree(own)
    version, python = next(iter(pythons.items()))
    print(f"Python {version}, from the sdist", flush=True)
    table.cells[SDIST, version] = tried(SDIST, partial(from_sdist, python, sdist, folder))
    return table


if __name__ == "__main__":
    sys.exit(main())
