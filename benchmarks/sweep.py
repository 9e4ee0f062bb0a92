"""A sweep at 256 MB that corrects every secret of a large account: its memory, and how long it takes.

The listener's own code in a process of its own, with real clients, against a stub on 127.0.0.1. That process
tells its CPU and its peak memory. How long the sweep takes in Lambda then follows in virtual time, with the
CPU stretched to the share of a processor that 256 MB get and a call's way to AWS and back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.request import Request, urlopen

import boto3

from benchmarks.aws import CREDENTIALS, LIST_PAGE, MOVE_ALL, NAME, SCAN_PAGE, TABLE, endpoint
from benchmarks.listener import SHARE
from benchmarks.peak import peak_mib
from benchmarks.results import Part, Parts, Size, counted, ratio
from benchmarks.storm import AWAY_S, sweep_s
from keyturn.model.protocols import WRITES_MAX
from keyturn.runtime.parallel import SIDE_BY_SIDE

SECRETS: Final[Mapping[Size, int]] = {"full": 10_000, "quick": 1_000}
PLAIN_CALLS: Final = 2_000
"""So many times DescribeSecret is called by boto3 alone, to compare."""

PLAIN: Final = f"{PLAIN_CALLS:,} calls in {SIDE_BY_SIDE} threads"

MEMORY_MIB: Final = 256
LONGEST_S: Final = 120.0
CALLS_A_BATCH: Final = 3
"""The markers, the head, and the end of `untold`."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What was measured in the process of a sweep that corrects every marker.

    `cpu_s` is the sweep's CPU time, `plain_s` the CPU time of one DescribeSecret of boto3's own, `peak_mib`
    the most memory of the process.
    """

    cpu_s: float
    plain_s: float
    peak_mib: float


def measure(size: Size) -> Parts:
    """Return the only part."""
    secrets = SECRETS[size]
    one = in_a_process(secrets)
    cpu_of_call_s = one.cpu_s / calls(secrets) / SHARE
    estimated_s = sweep_s(10_000, cpu_of_call_s)
    plain_cpu_s, plain_s = one.plain_s * secrets, one.plain_s * 10_000 / SHARE
    note = f"{secrets:,} secrets that moved without an event"
    part = Part(
        "A sweep after lost events",
        f"The listener's handler sweeps {note}, in a process of its own. It calls DescribeSecret once for "
        f"each, eight at a time, and writes {WRITES_MAX} corrections at once. The time "
        f"at {MEMORY_MIB} MB is computed for 10,000 secrets: a function of that size gets {SHARE:.3f} of a "
        f"processor, each call takes {AWAY_S * 1000:g} ms to AWS and back, and the settle time is added.",
        (
            counted("CPU of the sweep", "s", one.cpu_s, note),
            counted("CPU of a call", "ms", 1000 * one.cpu_s / calls(secrets), note),
            counted("CPU of boto3's DescribeSecret alone", "ms", 1000 * one.plain_s, PLAIN),
            counted("memory, peak", "MiB", one.peak_mib, note),
            counted("time at 256 MB, estimated", "s", estimated_s, "10,000 secrets"),
        ),
        (
            ratio(
                "a sweep that corrects 10,000, at 256 MB",
                estimated_s,
                "at most",
                LONGEST_S,
                "s",
                because=f"on this machine, boto3 alone takes {plain_s:.0f} s of it for DescribeSecret",
            ),
            ratio("CPU of the sweep / of its DescribeSecret alone", one.cpu_s / plain_cpu_s, "at most", 2),
            ratio("its peak memory", one.peak_mib, "at most", MEMORY_MIB, "MiB"),
        ),
    )
    return {"sweep": part}


def calls(secrets: int) -> int:
    """Return how many calls such a sweep makes."""
    lists, scans, batches = (-(-secrets // each) for each in (LIST_PAGE, SCAN_PAGE, WRITES_MAX))
    return secrets + lists + scans + CALLS_A_BATCH * batches


def in_a_process(secrets: int) -> Sweep:
    """Sweep an account in a process of its own, after every secret has moved."""
    with endpoint(secrets=secrets) as url:
        variables = CREDENTIALS | {"AWS_ENDPOINT_URL": url, "KEYTURN_MARKER_TABLE": TABLE}
        command = [sys.executable, "-m", "benchmarks.sweep", url, str(secrets)]
        ran = subprocess.run(
            command,
            env=os.environ | variables | {"KEYTURN_SETTLE_S": "0"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return Sweep(**json.loads(ran.stdout.splitlines()[-1]))


def main(url: str, secrets: int) -> None:
    """Sweep as the function does, and print a `Sweep` as JSON."""
    from rotation_listener.handler import handler

    handler({"keyturn": "sweep"}, None)
    with urlopen(Request(url, b"{}", {"X-Amz-Target": MOVE_ALL})) as answer:  # noqa: S310 - our own stub
        answer.read()
    began_s = time.process_time()
    assert secrets == handler({"keyturn": "sweep"}, None)["corrected"]
    cpu_s = time.process_time() - began_s
    # `getrusage` would also count the memory of the process that started this one.
    peak = peak_mib(os.getpid())
    print(json.dumps({"cpu_s": cpu_s, "plain_s": plain_call_s(), "peak_mib": peak}))


def plain_call_s() -> float:
    """Return the CPU seconds of one DescribeSecret of boto3's own client, in a sweep's number of threads."""
    client = boto3.client("secretsmanager")

    def describe(_: int) -> None:
        client.describe_secret(SecretId=NAME)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        list(threads.map(describe, range(SIDE_BY_SIDE)))
        began_s = time.process_time()
        list(threads.map(describe, range(PLAIN_CALLS)))
        return (time.process_time() - began_s) / PLAIN_CALLS


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
