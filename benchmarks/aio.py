"""`AsyncSecretCache`: an awaited hit, how long the loop stalls, and five hundred logins at once.

`python -m benchmarks.aio` is one process of the stalls: it prints the longest of each phase as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

import boto3

from benchmarks.aws import NAME, TABLE, endpoint, secrets_manager, variables
from benchmarks.hanging import Switch, client, silent
from benchmarks.results import Part, Parts, Size, ratio, row
from benchmarks.timing import Take, interleaved, paired
from keyturn import AsyncSecretCache, Limits, Peers, SecretCache, SecretVersion
from keyturn.testing.fakes import FakeSecretsManager

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

HIT: Final = "keyturn get"
AWAITED: Final = "keyturn get, awaited"
NOTHING: Final = "a coroutine that returns, awaited"

HITS: Final = 5000
"""The number of hits in a sample."""

LOGINS: Final = 500
ENDED_MAX_S: Final = 5.0
"""So long a thread of before may take to end."""

TICK_S: Final = 0.001
TASKS: Final = 20
"""The number of tasks that read all the time, each every 2 ms."""

SLOW_S: Final = 0.3
INTERVAL_S: Final = 0.2
PROVEN, FIRST, WINDOW = "proven", "first", "window"


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of samples of hits and of bursts of logins, and of processes whose stalls are measured."""

    hits: int
    bursts: int
    processes: int


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan(hits=250, bursts=9, processes=5),
    "quick": Plan(hits=30, bursts=2, processes=1),
}


def measure(size: Size) -> Parts:
    """Return all parts."""
    plan = PLANS[size]
    return {"async": hits(plan), "async_stalls": stalls(plan), "async_logins": logins(plan)}


# An awaited hit


def ran(work: Coroutine[object, object, float]) -> float:
    """Return what a coroutine returns that never gives way; it needs no loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return float(end.value)
    raise AssertionError("a hit gave way to the loop")


def hit_takes() -> dict[str, Take]:
    """Return a `Take` of nanoseconds for a hit, an awaited hit, and the await alone."""
    sync = SecretCache(secrets_manager())
    cache = AsyncSecretCache(sync)
    held = sync.get(NAME)

    async def nothing(_: str) -> SecretVersion:
        return held

    def looked_up() -> float:
        get, started = sync.get, time.perf_counter()
        for _ in range(HITS):
            get(NAME)
        return (time.perf_counter() - started) / HITS * 1e9

    def awaited(get: Callable[[str], Awaitable[SecretVersion]]) -> Take:
        async def look_up() -> float:
            started = time.perf_counter()
            for _ in range(HITS):
                await get(NAME)
            return (time.perf_counter() - started) / HITS * 1e9

        return lambda: ran(look_up())

    return {HIT: looked_up, AWAITED: awaited(cache.get), NOTHING: awaited(nothing)}


def hits(plan: Plan) -> Part:
    """Return the nanoseconds of a hit, awaited and not."""
    threads = threading.active_count()
    samples = interleaved(hit_takes(), plan.hits)
    started = threading.active_count() - threads
    return Part(
        "An awaited hit",
        f"{plan.hits} samples of {HITS} hits each, in turn, in a loop of Python that is part of each figure. "
        "The coroutine never gives way, so no event loop takes part.",
        tuple(row(name, "ns", taken) for name, taken in samples.items()),
        (
            ratio("awaited / get", paired(samples[AWAITED], samples[HIT]), "at most", 2),
            ratio("threads", started, "at most", 0, "threads"),
        ),
    )


# Stalls of the loop


class Ticker:
    """Measures how late the loop wakes a task that sleeps a millisecond at a time."""

    def __init__(self) -> None:
        self.longest_ms: dict[str, tuple[float, float]] = {}

    async def during(self, phase: str, work: Awaitable[object]) -> None:
        """Keep the longest stall, in milliseconds, while this is awaited: by the clock, and of CPU time.

        The second is the most CPU time that all threads of the process together took between two ticks. On a
        busy machine, which makes every process wait, it still shows for how long this one stalls its loop.
        """
        longest_s, busiest_s, working = 0.0, 0.0, asyncio.ensure_future(work)
        while not working.done():
            slept_s, used_s = time.perf_counter(), time.process_time()
            await asyncio.sleep(TICK_S)
            longest_s = max(longest_s, time.perf_counter() - slept_s - TICK_S)
            busiest_s = max(busiest_s, time.process_time() - used_s)
        await working
        self.longest_ms[phase] = longest_s * 1000, busiest_s * 1000


async def reading(get: Callable[[str], Awaitable[object]], seconds: float) -> None:
    """Let many tasks read for a while."""
    late_s = time.monotonic() + seconds

    async def read() -> None:
        while time.monotonic() < late_s:
            await get(NAME)
            await asyncio.sleep(0.002)

    await asyncio.gather(*(read() for _ in range(TASKS)))


class SlowSource:
    """Secrets Manager that takes its time."""

    def __init__(self) -> None:
        self._versions = 0

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        del version_id
        time.sleep(SLOW_S)
        self._versions += 1
        return SecretVersion(
            secret_id, "arn", NAME, f"v{self._versions}", frozenset({stage}), time.time(), string="x"
        )


OF_THE_CLIENTS: Final = (
    "Where keyturn makes its own clients, the 1.2 MB of botocore's endpoints are parsed into plain dicts,"
    " and other threads may run in between. botocore keeps the interpreter's lock for 18 ms."
)
IDLE: Final = "nothing but the ticker"
MADE: Final = "cold start and first check in which keyturn makes the clients"
COLD: Final = "cold start"


async def phases(ticker: Ticker, given: SecretsManagerClient, table: DynamoDBClient) -> None:
    """Go through the life of a process: what is found in `Ticker` then."""
    await ticker.during(IDLE, asyncio.sleep(1))
    limits = Limits(check_interval_s=INTERVAL_S, uncovered_ttl_s=INTERVAL_S, settle_s=0.1)
    cache = AsyncSecretCache(
        given, marker_table=TABLE, dynamodb_client=table, limits=Limits(check_interval_s=INTERVAL_S)
    )
    await ticker.during(COLD, cache.get(NAME))
    await asyncio.sleep(INTERVAL_S)
    await ticker.during("first check", cache.get(NAME))
    await ticker.during("checks, and a refresh after every other one", reading(cache.get, 3))
    slow = AsyncSecretCache(peers=Peers(source=SlowSource()), limits=limits)
    await ticker.during("Secrets Manager answers after 300 ms", reading(slow.get, 3))
    switch = Switch()
    hanging = AsyncSecretCache(switch, limits=limits)
    await hanging.get(NAME)
    with silent("http") as nowhere:
        switch.secrets = client("secretsmanager", nowhere)
        await ticker.during("Secrets Manager never answers", reading(hanging.get, 4))


async def cold_start(ticker: Ticker) -> None:
    """Begin without any client."""
    cache = AsyncSecretCache(marker_table=TABLE, limits=Limits(check_interval_s=INTERVAL_S))

    async def first_reads() -> None:
        await cache.get(NAME)
        await asyncio.sleep(INTERVAL_S)
        await cache.get(NAME)

    await ticker.during(MADE, first_reads())


def stalls_of_a_process(url: str, *options: str) -> dict[str, tuple[float, float]]:
    """Return the longest stall of each phase in a process of its own, in ms: by the clock, and of CPU."""
    command = [sys.executable, "-m", "benchmarks.aio", *options]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment(url))
    found: dict[str, tuple[float, float]] = json.loads(answer.stdout)
    return found


def stalls(plan: Plan) -> Part:
    """Return the longest stall of the loop in each phase, in processes of their own."""
    samples: dict[str, list[tuple[float, float]]] = {}
    with endpoint(moves_every=2) as url:
        for _ in range(plan.processes):
            found = stalls_of_a_process(url) | stalls_of_a_process(url, "--made")
            for phase, longest in found.items():
                samples.setdefault(phase, []).append(longest)
    rows = [
        row(f"{phase}{what}", "ms", [one[at] for one in taken])
        for phase, taken in samples.items()
        for at, what in enumerate(("", " (CPU time)"))
    ]
    return Part(
        "Stalls of the event loop",
        f"In each of {plan.processes} processes one task sleeps 1 ms at a time, while {TASKS} tasks read "
        "every 2 ms. For each phase, the first figure is the longest time by which that task woke late. The "
        "second is the most CPU time that all threads of the process took between two of its wakes. Real "
        "boto3 clients ask a stub on 127.0.0.1, and a server that accepts and never answers.",
        tuple(rows),
        tuple(
            ratio(f"CPU time, {phase}", median(one[1] for one in taken), "at most", 10, "ms")
            for phase, taken in samples.items()
            if phase != IDLE
        ),
        notes=(f"The row '{IDLE}' is what the machine itself does to a loop.", OF_THE_CLIENTS),
    )


def environment(url: str) -> dict[str, str]:
    """Return the environment of a process that measures stalls."""
    return dict(os.environ) | variables(url)


# Logins


def burst(kind: str) -> tuple[float, int, int]:
    """Return logins a second, the threads started and the threads at once, of 500 logins of one kind."""
    secrets, started, most = FakeSecretsManager(), list[str](), [0]
    secrets.create(NAME, "one", "v1")
    cache, accepted = AsyncSecretCache(peers=Peers(source=secrets)), ["one"]

    class RefusedError(Exception):
        status = 401

    async def connect(version: SecretVersion) -> None:
        most[0] = max(most[0], threading.active_count() - threads)
        await asyncio.sleep(0.001)
        if version.text() not in accepted:
            raise RefusedError

    def count(*_: object) -> None:
        sys.setprofile(None)
        started.append(threading.current_thread().name)

    async def main() -> float:
        if kind != FIRST:
            await cache.login(NAME, connect)
        if kind == WINDOW:
            secrets.put(NAME, "two", "v2", "AWSPENDING")
            accepted[0] = "two"
        # The thread of that read is none of the burst's.
        late_s = time.perf_counter() + ENDED_MAX_S
        while threading.active_count() > threads and time.perf_counter() < late_s:  # noqa: ASYNC110 # no event
            await asyncio.sleep(0.001)
        most[0] = 0
        threading.setprofile(count)
        began_s = time.perf_counter()
        try:
            await asyncio.gather(*(cache.login(NAME, connect) for _ in range(LOGINS)))
        finally:
            threading.setprofile(None)
        return LOGINS / (time.perf_counter() - began_s)

    threads = threading.active_count()
    return asyncio.run(main()), len(started), most[0]


def logins(plan: Plan) -> Part:
    """Return the rate and the threads of five hundred logins at once."""
    kinds = {
        PROVEN: "with a proven version",
        FIRST: "the first of a process",
        WINDOW: "AWSCURRENT is refused, AWSPENDING is right",
    }
    found = {kind: [burst(kind) for _ in range(plan.bursts)] for kind in kinds}
    rows = [
        row(f"{said}: {what}", unit, [one[at] for one in found[kind]])
        for kind, said in kinds.items()
        for at, (what, unit) in enumerate((("logins", "/s"), ("started", "threads"), ("at once", "threads")))
    ]
    return Part(
        f"{LOGINS} logins at once",
        f"{plan.bursts} bursts of {LOGINS} tasks of one loop, each with a `connect` that sleeps 1 ms; the "
        "server and Secrets Manager are in memory. Threads are counted from the beginning of the burst.",
        tuple(rows),
        tuple(
            ratio(
                f"threads started, {kinds[kind]}",
                max(one[1] for one in found[kind]),
                "at most",
                limit,
                "threads",
            )
            for kind, limit in ((PROVEN, 0), (FIRST, 4), (WINDOW, 16))
        ),
    )


def main(options: list[str]) -> None:
    """Go through the phases, or with `--made` through the one cold start, and print the longest stalls."""
    ticker = Ticker()
    if "--made" in options:
        asyncio.run(cold_start(ticker))
    else:
        asyncio.run(phases(ticker, boto3.client("secretsmanager"), boto3.client("dynamodb")))
    print(json.dumps(ticker.longest_ms))


if __name__ == "__main__":
    main(sys.argv[1:])
