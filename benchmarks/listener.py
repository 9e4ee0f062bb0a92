"""The rotation listener as Lambda runs it: INIT, events, memory, and a sweep of a large account."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import boto3

from benchmarks import rie
from benchmarks.aws import CREDENTIALS, NAME, TABLE, endpoint
from benchmarks.peak import peak_mib
from benchmarks.results import Part, Parts, Row, Size, counted, ratio, row
from keyturn.demo.story import environment
from keyturn.testing.embedded import EmbeddedAws
from tools.build_listener import build_listener

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

HANDLER: Final = "rotation_listener.handler.handler"
TIMEOUT_S: Final = 300
"""The time limit of one run in the template, in seconds."""

SHARE: Final = 256 / 1769
"""The share of a processor that the template's 256 MB get.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of cold starts, of events, and of secrets in the sweep."""

    inits: int
    events: int
    secrets: int


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan(inits=10, events=300, secrets=10_000),
    "quick": Plan(inits=1, events=30, secrets=200),
}


def measure(size: Size) -> Parts:
    """Return the only part."""
    plan = PLANS[size]
    if not rie.is_there():
        return {"listener": Part("The listener", "Not measured: Lambda's emulator was not there.")}
    with (
        EmbeddedAws({"MINISTACK_ACCOUNT_ID": rie.ACCOUNT}) as aws,
        environment(aws),
        package() as folder,
    ):
        client = boto3.client("secretsmanager")
        _make_table()
        variables = aws.environment | {"KEYTURN_MARKER_TABLE": TABLE, "KEYTURN_SETTLE_S": "0"}
        arn = client.create_secret(Name=NAME, SecretString="0")["ARN"]
        cold = [_cold(folder, variables, client, arn) for _ in range(plan.inits)]
        with rie.function(HANDLER, [folder], variables) as function:
            rows = [*cold_rows(cold), *_events(function, plan, client, arn)]
    with endpoint(secrets=plan.secrets) as url, package() as folder:
        variables = CREDENTIALS | {"AWS_ENDPOINT_URL": url, "KEYTURN_MARKER_TABLE": TABLE}
        with rie.function(HANDLER, [folder], variables) as function:
            sweeps = _sweeps(function, plan.secrets)
    part = Part(
        "The listener",
        f"The shipped zip under Lambda's emulator. {plan.events} events against an embedded AWS (ministack), "
        "each after a real put of a new version. One environment takes them one after the other. The sweeps "
        f"ask a stub on 127.0.0.1 that has {plan.secrets:,} secrets and answers at once.",
        (*rows, *sweeps),
        (
            ratio(
                f"the longer sweep of {plan.secrets:,} secrets / the function's time-out",
                max(one.median for one in sweeps) / TIMEOUT_S,
                "at most",
                1,
            ),
        ),
        notes=(
            (
                "Calls are answered in some 1 to 3 ms here, and in some 5 to 20 ms on AWS. An event "
                "needs about 4 calls. A first sweep needs one DescribeSecret per secret, "
                "one after the other. Lambda gives a function with 256 MB a seventh of a "
                "processor, and the emulator gives it a whole processor. So the estimates "
                "multiply the processor's time by seven, but not the waiting. If a sweep "
                "runs out of time, the next sweep goes on. Lambda starts an environment "
                "for each event that comes at the same time."
            ),
        ),
    )
    return {"listener": part}


@contextmanager
def package() -> Iterator[Path]:
    """Yield the folder of the unpacked zip."""
    with TemporaryDirectory() as folder:
        with zipfile.ZipFile(build_listener()) as archive:
            archive.extractall(folder)
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class Cold:
    """One cold start: INIT, and the first event, which makes the clients (milliseconds)."""

    init_ms: float
    first_ms: float


def _cold(folder: Path, variables: dict[str, str], client: SecretsManagerClient, arn: str) -> Cold:
    with rie.function(HANDLER, [folder], variables) as function:
        first_ms = _event_ms(function, client, arn)
        init_ms = function.init_ms()
        return Cold(init_ms, first_ms - init_ms)


def cold_rows(cold: list[Cold]) -> list[Row]:
    """Return the figures of the cold starts."""
    return [
        row("INIT", "ms", [one.init_ms for one in cold]),
        row("first event, after INIT", "ms", [one.first_ms for one in cold]),
    ]


def _events(function: rie.Function, plan: Plan, client: SecretsManagerClient, arn: str) -> list[Row]:
    _event_ms(function, client, arn)
    warm = [_event_ms(function, client, arn) for _ in range(plan.events)]
    made = [
        row("warm event", "ms", warm),
        row("events a second, one environment", "events/s", [1000 / one for one in warm]),
    ]
    peaks = [peak for pid in function.processes() if (peak := peak_mib(pid))]
    return [*made, counted("memory, peak", "MiB", max(peaks))] if peaks else made


def _event_ms(function: rie.Function, client: SecretsManagerClient, arn: str) -> float:
    """Return the milliseconds of one event about a new version."""
    put = client.put_secret_value(SecretId=arn, SecretString="1")
    detail = {"name": NAME, "labelUpdated": "AWSCURRENT", "versionId": put["VersionId"]}
    event = {"detail-type": "Secret Label Updated", "id": "1", "resources": [arn], "detail": detail}
    return _written_ms(function, event, "written")


def _sweeps(function: rie.Function, secrets: int) -> list[Row]:
    size, made = f"{secrets:,} secrets", []
    for name in ("first sweep, which makes the markers", "sweep when nothing changed"):
        before_s = _processor_s(function)
        took_s = _written_ms(function, {"keyturn": "sweep"}, "swept") / 1000
        busy_s = _processor_s(function) - before_s
        made.append(counted(name, "s", took_s, size))
        made.append(counted(f"{name}: at 256 MB, estimated", "s", took_s - busy_s + busy_s / SHARE, size))
    return made


def _written_ms(function: rie.Function, event: object, outcome: str) -> float:
    """Return the milliseconds of one run that must have this outcome."""
    started_s = time.perf_counter()
    answer = function.invoke(event)
    took_ms = (time.perf_counter() - started_s) * 1000
    assert isinstance(answer, dict)
    assert answer.get("outcome") == outcome, answer
    return took_ms


def _processor_s(function: rie.Function) -> float:
    """Return the seconds of processor time that the runtime has used so far (Linux)."""
    used = 0.0
    for pid in function.processes():
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def _make_table() -> None:
    boto3.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )
