"""The time from nothing to the first secret: in a fresh process, and as the INIT of a Lambda function."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import imports, rie
from benchmarks.aws import NAME, endpoint, variables
from benchmarks.prices import LAMBDA_GB_S
from benchmarks.results import Part, Parts, Ratio, Row, Size, counted, ratio, row
from benchmarks.timing import interleaved, paired

KEYTURN: Final = "keyturn"
KEYTURN_TABLE: Final = "keyturn with a marker table"
KEYTURN_EXTENSION: Final = "keyturn through the Lambda extension"
UPSTREAM: Final = "aws-secretsmanager-caching"
BOTO3: Final = "boto3"
POWERTOOLS: Final = "Powertools parameters"
PYDANTIC: Final = "pydantic-settings, AWS source"

PROGRAMS: Final[Mapping[str, str]] = {
    KEYTURN: """
from keyturn import SecretCache
secret = SecretCache().get_secret_string(NAME)
""",
    KEYTURN_TABLE: """
from keyturn import SecretCache
secret = SecretCache(marker_table="keyturn-markers").get_secret_string(NAME)
""",
    KEYTURN_EXTENSION: """
from keyturn import Peers, SecretCache
from keyturn.integrations.awslambda import extension_source
secret = SecretCache(peers=Peers(source=extension_source())).get_secret_string(NAME)
""",
    UPSTREAM: """
from aws_secretsmanager_caching import SecretCache
secret = SecretCache().get_secret_string(NAME)
""",
    BOTO3: """
import boto3
secret = boto3.client("secretsmanager").get_secret_value(SecretId=NAME)["SecretString"]
""",
    POWERTOOLS: """
from aws_lambda_powertools.utilities import parameters
secret = parameters.get_secret(NAME)
""",
    PYDANTIC: """
from pydantic_settings import AWSSecretsManagerSettingsSource, BaseSettings
class Settings(BaseSettings):
    password: str
    @classmethod
    def settings_customise_sources(cls, settings_cls, **sources):
        return (AWSSecretsManagerSettingsSource(settings_cls, NAME),)
    model_config = {"extra": "ignore"}
secret = Settings().password
""",
}
"""Each program is the start of the package's documentation, and makes its own client."""

TIMED: Final = """
import time; started_s = time.perf_counter()
import sys; before = set(sys.modules)
NAME = {name!r}
{program}
print(time.perf_counter() - started_s, len(secret), *set(sys.modules) - before)
"""

MEMORY_GB: Final = 1.0
"""The memory of the function whose cold starts have a price."""

MORE_MAX_MS: Final = 5
"""So much longer than with aws-secretsmanager-caching a start may take."""

QUARTERS: Final = 4

BILLED: Final = (
    "Lambda bills INIT since August 2025. The dollars are those of the INIT measured here, on a whole "
    "processor. A function of 1 GB has about half of a processor, so all of them are higher there."
)

NOT_NEEDED: Final = (
    "pydantic",
    "boto3",
    "aws_secretsmanager_caching",
    "keyturn.login.logins",
    "keyturn.markers",
    "keyturn.cache.background",
    "keyturn.markers.recorder",
    "keyturn.cache.status",
    "keyturn.model.fields",
)
"""The modules that the first get does not need."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of processes of each kind."""

    processes: int
    inits: int
    imports: int


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan(processes=20, inits=20, imports=5),
    "quick": Plan(processes=1, inits=1, imports=1),
}


@dataclass(frozen=True, slots=True)
class Start:
    """One fresh process: milliseconds to the secret, and the modules loaded until then."""

    ms: float
    modules: frozenset[str]


def measure(size: Size) -> Parts:
    """Return both parts."""
    plan = PLANS[size]
    with endpoint() as url, TemporaryDirectory() as folder:
        # Bytecode is kept even where the environment forbids it, as an installed package has it.
        bytecode = {"PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        environment = variables(url) | bytecode
        started = processes(plan, environment)
        loaded = {name: start(PROGRAMS[name], environment) for name in (KEYTURN_TABLE, KEYTURN_EXTENSION)}
        inits = rie_inits(plan, environment) if rie.is_there() else {}
        programs = {name: f"NAME = {NAME!r}\n{PROGRAMS[name]}" for name in (KEYTURN_TABLE, UPSTREAM, BOTO3)}
        loads = imports.measured(programs, KEYTURN_TABLE, environment, plan.imports)
    rows = [row(name, "ms", ms, "fresh process") for name, ms in started.items()]
    rows += [row(name, "ms", ms, "INIT in Lambda's emulator") for name, ms in inits.items()]
    rows += dollars(inits)
    needless = not_needed(loaded[KEYTURN_TABLE])
    rows.append(counted("modules that keyturn loads and does not need", "modules", len(needless)))
    rows += [counted(f"modules loaded: {name}", "modules", len(one.modules)) for name, one in loaded.items()]
    part = Part(
        "Cold start, to the first secret",
        f"{plan.processes} fresh processes of each kind are started in turn, with compiled bytecode. The "
        "time runs from the first line of the program to the secret. Each process makes its own client, and "
        "reads from a stub of Secrets Manager on 127.0.0.1 that answers at once. INIT is the emulator's own "
        "figure for a handler module that reads the secret when it is loaded. The comparisons are medians "
        "of the pairs that were measured in the same round, so a busy moment slows both sides.",
        tuple(rows),
        (*targets(started, ""), *(targets(inits, " INIT") if inits else ())),
        notes=(
            (
                "TLS, DNS and credentials from a role are not included. They would take the same "
                "time for all, except for aws-secretsmanager-caching, which makes two "
                "calls (DescribeSecret, GetSecretValue) instead of one. The call through "
                "the extension goes to a stub of the extension that holds the secret. The "
                "extension's own start and its call to Secrets Manager are not included."
            ),
            BILLED if inits else "Lambda's emulator was not there, so INIT was not measured.",
        ),
    )
    return {"cold_start": part, "cold_imports": loads}


def dollars(inits: Mapping[str, list[float]]) -> list[Row]:
    """Return the dollars of a million cold starts: since August 2025 Lambda bills the time of INIT, too."""
    note = f"INIT, at {MEMORY_GB:g} GB on arm64"
    return [
        counted(name, "$ per million", median(ms) / 1000 * MEMORY_GB * LAMBDA_GB_S * 1e6, note)
        for name, ms in inits.items()
    ]


def targets(ms: Mapping[str, list[float]], suffix: str) -> tuple[Ratio, ...]:
    """Return the comparisons of keyturn, with a marker table, with its peers."""
    ours = ms[KEYTURN_TABLE]
    more_ms = [one - other for one, other in zip(ours, ms[UPSTREAM], strict=True)]
    to_boto3 = [one / other for one, other in zip(ours, ms[BOTO3], strict=True)]
    return (
        ratio(
            f"keyturn - aws-secretsmanager-caching{suffix}",
            median(more_ms),
            "at most",
            MORE_MAX_MS,
            "ms",
            because=noise(more_ms, MORE_MAX_MS, "ms"),
        ),
        ratio(f"keyturn / boto3{suffix}", median(to_boto3), "at most", 1, because=noise(to_boto3, 1, "x")),
        ratio(f"keyturn / Powertools{suffix}", paired(ours, ms[POWERTOOLS]), "at most", 1),
    )


def noise(pairs: Sequence[float], limit: float, unit: str) -> str:
    """Return what explains a miss: the limit is among the middle half of the pairs; else nothing does."""
    if len(pairs) < QUARTERS:
        return ""
    low, _, high = quantiles(pairs, n=QUARTERS)
    if not low <= limit <= high:
        return ""
    return f"within the noise of the machine: half of the pairs are between {low:.3g} and {high:.3g} {unit}"


def processes(plan: Plan, environment: Mapping[str, str]) -> dict[str, list[float]]:
    """Return the milliseconds of fresh processes, taken in turn."""
    takes: dict[str, Callable[[], float]] = {}
    for name, program in PROGRAMS.items():
        start(program, environment)
        takes[name] = partial(_ms, program, environment)
    return interleaved(takes, plan.processes)


def start(program: str, environment: Mapping[str, str]) -> Start:
    """Run one program in a fresh process, with these environment variables in addition."""
    code = TIMED.format(name=NAME, program=program)
    command, whole = [sys.executable, "-c", code], {**os.environ, **environment}
    answer = subprocess.run(command, env=whole, capture_output=True, text=True, check=True, timeout=60)
    seconds, _length, *modules = answer.stdout.split()
    return Start(float(seconds) * 1000, frozenset(modules))


def not_needed(started: Start) -> list[str]:
    """Return the modules that were loaded without need: those of `NOT_NEEDED`, and modules inside them."""
    return [
        module
        for module in started.modules
        if any(module == one or module.startswith(f"{one}.") for one in NOT_NEEDED)
    ]


def rie_inits(plan: Plan, environment: Mapping[str, str]) -> dict[str, list[float]]:
    """Return the milliseconds of INIT, taken in turn."""
    with TemporaryDirectory() as folder:
        takes: dict[str, Callable[[], float]] = {}
        for number, (name, program) in enumerate(PROGRAMS.items()):
            module = f"function{number}"
            text = f"NAME = {NAME!r}\n{program}\ndef handler(event, context): return len(secret)\n"
            Path(folder, f"{module}.py").write_text(text, "utf-8")
            takes[name] = partial(_init_ms, f"{module}.handler", Path(folder), environment)
            takes[name]()
        return interleaved(takes, plan.inits)


def _ms(program: str, environment: Mapping[str, str]) -> float:
    return start(program, environment).ms


def _init_ms(handler: str, folder: Path, environment: Mapping[str, str]) -> float:
    with rie.function(handler, [folder], environment) as one:
        one.invoke({})
        return one.init_ms()
