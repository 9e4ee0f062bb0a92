"""Change the modules that decide, a little at a time, and see that a test notices each change.

    python -m tools.mutants SITE [WORDS]

SITE is the folder with mutmut, which `make mutants` installs. WORDS is a regular expression that chooses
modules by their path. tools/mutants.toml says which modules are changed, which tests have to notice, and
which changes no test needs to notice. The exit code is 1 for a change that no test notices and that is not
explained there, and for an explanation that nothing needs any more.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypedDict, cast

ROOT: Final = Path(__file__).parents[1]
SETTINGS: Final = ROOT / "tools" / "mutants.toml"
FOLDER: Final = ROOT / "build" / "mutants"

COPIED: Final = ("src", "rotation_listener", "tests", "tools", "infra")
"""What the tests of these modules import and read."""

MODULE_DEADLINE_S: Final = 1800
"""How long the mutants of one module may take in all, on a busy machine as well."""

NOTICED: Final = frozenset({1, 3, 24, -24, 36, 152, 255})
"""What a child of mutmut ends with where a test fails, where pytest does, and when its time is over."""

MUTMUT: Final = (sys.executable, "-c", "from mutmut.__main__ import cli; cli()")


class Chosen(TypedDict):
    """A module in mutants.toml."""

    decides: str
    tests: list[str]


class Explained(TypedDict):
    """Changes in mutants.toml that no test needs to notice, with the reason."""

    because: str
    changes: list[str]


class Settings(TypedDict):
    """The file mutants.toml."""

    renamed: list[str]
    modules: Mapping[str, Chosen]
    explained: list[Explained]


class Survivor(NamedTuple):
    """A change that no test noticed.

    `name` is what mutants.toml calls it: it tells the function and the lines before and after, and no number,
    so that it stays the same when other lines move.
    """

    name: str
    place: str
    diff: str


class Outcome(NamedTuple):
    """What became of the changes of one module: how many a test noticed, and the others."""

    noticed: int
    survivors: Sequence[Survivor]


def main(site: str, words: str = "") -> int:
    """Try all changes of the chosen modules, and print what becomes of them. Return the exit code."""
    settings = cast("Settings", tomllib.loads(SETTINGS.read_text("utf-8")))
    known = {change for one in settings["explained"] for change in one["changes"]}
    chosen = [module for module in settings["modules"] if re.search(words, module)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    noticed = survived = lines = 0
    for module in chosen:
        begun_s = time.monotonic()
        tests = settings["modules"][module]["tests"]
        outcome = changed(Path(site).resolve(), module, tests, settings["renamed"])
        to_mend = list(trouble(module, outcome.survivors, known))
        print(
            f"{module}: {outcome.noticed} of {outcome.noticed + len(outcome.survivors)} noticed,"
            f" {len(to_mend)} to mend; {time.monotonic() - begun_s:.0f} s",
            *to_mend,
            sep="\n",
            flush=True,
        )
        noticed += outcome.noticed
        survived += len(outcome.survivors)
        lines += len(to_mend)
    total = f"{noticed} of {noticed + survived} changes noticed in {len(chosen)} modules"
    print(f"{total}, {survived} not; {lines} lines to mend or to explain")
    return int(lines > 0 or not chosen)


def changed(site: Path, module: str, tests: Sequence[str], renamed: Sequence[str]) -> Outcome:
    """Try the changes of one module in a copy of the project, so that the project itself stays as it is."""
    copy = FOLDER / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "pyproject.toml").write_text(_settings(module, tests, renamed), "utf-8")
    log = FOLDER / f"{module.replace('/', '.')}.log"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(  # noqa: S603 # our own command
            (*MUTMUT, "run", "--max-children", "1"),
            cwd=copy,
            env=_environment(site),
            stdout=None if sys.stdout.isatty() else file,
            stderr=subprocess.STDOUT,
            timeout=MODULE_DEADLINE_S,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{module}: mutmut ended with {done.returncode}; see {log}")
    document = json.loads((copy / "mutants" / f"{module}.meta").read_text("utf-8"))
    codes = cast("Mapping[str, int | None]", document["exit_code_by_key"])
    left = [name for name, code in codes.items() if code not in NOTICED]
    source = (ROOT / module).read_text("utf-8")
    return Outcome(
        len(codes) - len(left), [survivor(module, source, _shown(site, copy, one)) for one in left]
    )


def _settings(module: str, tests: Sequence[str], renamed: Sequence[str]) -> str:
    """Return the copy's pyproject.toml: the project's settings of pytest, and those of mutmut."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    arguments = ["-m", "not proof and not e2e", "-p", "no:cacheprovider"]
    mutmut = {
        "source_paths": ["src"],
        "only_mutate": [module],
        "also_copy": [name for name in COPIED if name not in {"src", "tests"}],
        "pytest_add_cli_args": arguments + [f"--deselect={one}" for one in renamed],
        "pytest_add_cli_args_test_selection": tests,
        "track_dependencies": False,
        "use_git_change_detection": False,
        # A change has three times as long as its tests took, and nine seconds more.
        "timeout_multiplier": 3.0,
        "timeout_constant": 3.0,
    }
    tables = {"pytest.ini_options": project["tool"]["pytest"]["ini_options"], "mutmut": mutmut}
    return "".join(f"[tool.{name}]\n{_toml(table)}" for name, table in tables.items())


def _toml(table: Mapping[str, object]) -> str:
    # JSON of texts, numbers, truths and lists of texts is TOML as well.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())


def _environment(site: Path) -> dict[str, str]:
    # In CI hypothesis tries the same examples in every run.
    return {**os.environ, "PYTHONPATH": str(site), "PYTHONHASHSEED": "0", "CI": "true"}


def _shown(site: Path, copy: Path, name: str) -> str:
    done = subprocess.run(  # noqa: S603 # our own command
        (*MUTMUT, "show", name),
        cwd=copy,
        env=_environment(site),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def survivor(module: str, source: str, shown: str) -> Survivor:
    """Make a survivor of what mutmut shows: a line with the change's name, and a diff of the function."""
    title, _, diff = shown.partition("\n")
    mangled = title.removeprefix("# ").partition("__mutmut_")[0].rpartition(".")[2]
    function = mangled.removeprefix("xǁ").removeprefix("x_").replace("ǁ", ".")
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, becomes = (" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
    name = f"{module.removeprefix('src/keyturn/')} {function}: {was} -> {becomes}"
    return Survivor(name, f"{module}:{_line(function, source) + _offset(lines)}", "\n".join(lines))


def _offset(diff: Sequence[str]) -> int:
    """Return how many lines the first changed line is below `def`, which is line 1 of the diff."""
    begin = re.match(r"@@ -(\d+)", diff[0])
    first = next(number for number, line in enumerate(diff[1:]) if line[:1] in {"-", "+"})
    return int(begin.group(1)) - 1 + first if begin else 0


def _line(function: str, source: str) -> int:
    """Return the line of `def` of a function, or of a method that is given as "Class.method"."""
    kind, _, name = function.rpartition(".")
    before, _, after = source.partition(f"\nclass {kind}") if kind else ("", "", source)
    defined = re.search(rf"^ *def {name}\(", after, re.MULTILINE)
    return before.count("\n") + after[: defined.start()].count("\n") + 1 + bool(kind) if defined else 0


def trouble(module: str, survivors: Sequence[Survivor], known: Collection[str]) -> Iterator[str]:
    """Yield the survivors that are not explained, and what is explained of this module in vain."""
    for one in survivors:
        if one.name not in known:
            yield f"{one.place}: no test notices this change:\n{one.diff}\n{json.dumps(one.name)}\n"
    of_module = {name for name in known if name.startswith(f"{module.removeprefix('src/keyturn/')} ")}
    for name in sorted(of_module - {one.name for one in survivors}):
        yield f"{SETTINGS.name}: a test notices this by now, so it needs no explanation: {name}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
