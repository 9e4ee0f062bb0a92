"""What a program imports until it has the secret, and what each module costs, by CPython's own account.

`python -X importtime` measures each module by itself, without the modules that it imports.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from statistics import median
from typing import Final

from benchmarks.results import Part, Row, counted

LINE: Final = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
"""A line of the account: microseconds of the module itself, of all that it imports, and its name."""

OWN: Final = "keyturn"
STANDARD: Final = "the standard library"


def measured(programs: Mapping[str, str], ours: str, environment: Mapping[str, str], runs: int) -> Part:
    """Return the modules of the program `ours`, each of keyturn by name, and the sums of all programs."""
    before = frozenset(account("import time, sys", environment))
    costs = {name: costs_of(program, environment, runs, before) for name, program in programs.items()}
    rows = [
        counted(f"all imports: {name}", "ms", sum(of.values()), _number(of)) for name, of in costs.items()
    ]
    return Part(
        "What a cold start imports",
        f"The milliseconds of each module by itself, of `python -X importtime`: medians of {runs} fresh "
        "processes of each kind, bytecode compiled before. Modules that are looked for and not there are "
        "among them; making a client and reading come on top. The sums of all programs come first, then the "
        f"packages and the modules of: {ours}.",
        (*rows, *packages(costs[ours]), *modules(costs[ours])),
    )


def costs_of(
    program: str, environment: Mapping[str, str], runs: int, before: Collection[str] = ()
) -> dict[str, float]:
    """Return the milliseconds of each module that a program imports, but for those of `before`."""
    samples: dict[str, list[float]] = {}
    for _ in range(runs):
        for module, ms in account(program, environment).items():
            if module not in before:
                samples.setdefault(module, []).append(ms)
    return {module: median(taken) for module, taken in samples.items()}


def account(program: str, environment: Mapping[str, str]) -> dict[str, float]:
    """Return the milliseconds of each module that a fresh process imports."""
    command, whole = [sys.executable, "-X", "importtime", "-c", program], {**os.environ, **environment}
    answer = subprocess.run(command, env=whole, capture_output=True, text=True, check=True, timeout=60)
    return {found[2]: int(found[1]) / 1000 for found in LINE.finditer(answer.stderr)}


def packages(costs: Mapping[str, float]) -> Iterator[Row]:
    """Yield the sum of each package, the dearest first; the standard library is one."""
    sums: dict[str, dict[str, float]] = {}
    for module, ms in costs.items():
        package = module.partition(".")[0]
        sums.setdefault(STANDARD if package in sys.stdlib_module_names else package, {})[module] = ms
    for package, of in sorted(sums.items(), key=lambda one: -sum(one[1].values())):
        yield counted(f"all of {package}", "ms", sum(of.values()), _number(of))


def modules(costs: Mapping[str, float]) -> Iterator[Row]:
    """Yield each module of keyturn, the dearest first."""
    own = {module: ms for module, ms in costs.items() if module.partition(".")[0] == OWN}
    for module, ms in sorted(own.items(), key=lambda one: -one[1]):
        yield counted(module, "ms", ms, "a module of keyturn")


def _number(costs: Mapping[str, float]) -> str:
    return f"{len(costs)} modules"
