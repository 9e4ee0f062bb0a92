"""What an outage does to a Lambda function and to a server with `background=True`; for `benchmarks.hanging`.

The function is a process of its own, which is killed where Lambda would kill it; then another one begins
cold. Its client is the one that keyturn makes, and Secrets Manager is a server on this machine that accepts
requests during the outage and does not answer.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Final, cast

from benchmarks.function import ANSWERED

TIMEOUT_S: Final = 3.0
"""The time-out of the function: Lambda's default."""

INVOCATION_EVERY_S: Final = 1.0
START_MAX_S: Final = 60.0


class SecretsManager(ThreadingHTTPServer):
    """Answers GetSecretValue, but for the time of an outage."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.answers = threading.Event()
        self.answers.set()

    def handle_error(self, *_: object) -> None:
        """Say nothing of callers that have left."""

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Accept requests and answer none."""
        self.answers.clear()
        try:
            yield
        finally:
            self.answers.set()


class _Request(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        cast("SecretsManager", self.server).answers.wait()
        name = asked["SecretId"].split(":")[-1].removesuffix("-AbCdEf")
        body = json.dumps(
            {
                "ARN": f"arn:aws:secretsmanager:eu-west-1:111122223333:secret:{name}-AbCdEf",
                "Name": name,
                "VersionId": "v1",
                "VersionStages": ["AWSCURRENT"],
                "SecretString": "x",
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def secrets_manager() -> Iterator[SecretsManager]:
    """Such a server, at work."""
    with SecretsManager() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Environment:
    """One environment of the function: a process that handles one invocation after the other."""

    def __init__(self, port: int, cold_wait_s: float) -> None:
        variables = {
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "none",
            "COLD_WAIT_S": str(cold_wait_s),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.function"],
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if self._said(START_MAX_S) is None:
            self.kill()
            raise RuntimeError("the function does not start")

    def invoke(self) -> str | None:
        """Return what the function answers, or None if that takes too long: then it is killed."""
        pipe = cast("IO[bytes]", self._process.stdin)
        pipe.write(b"\n")
        pipe.flush()
        answer = self._said(TIMEOUT_S)
        if answer is None:
            self.kill()
        return answer

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.communicate()

    def _said(self, within_s: float) -> str | None:
        pipe = cast("IO[bytes]", self._process.stdout)
        ready, _, _ = select.select([pipe], [], [], within_s)
        return pipe.readline().decode().strip() or None if ready else None


@dataclass(slots=True)
class Invocations:
    """How the invocations during an outage ended."""

    outage_s: float
    ended: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    longest_s: float = 0.0
    answers_after: bool = False

    @property
    def answered(self) -> int:
        return self.ended[ANSWERED]

    @property
    def failed(self) -> int:
        """How many got an error of keyturn's, and were not killed."""
        return self.ended.total() - self.answered


def survived(outage_s: float, *, is_warm: bool, cold_wait_s: float) -> Invocations:
    """Invoke the function once a second for the time of an outage, and once after it."""
    seen = Invocations(outage_s)
    with secrets_manager() as server:
        environment = Environment(server.server_port, cold_wait_s)
        try:
            if is_warm and environment.invoke() != ANSWERED:
                raise RuntimeError("the function cannot read its secrets before the outage")
            with server.outage():
                ends_s = time.monotonic() + outage_s
                while time.monotonic() < ends_s:
                    time.sleep(INVOCATION_EVERY_S)
                    begun_s = time.monotonic()
                    answer = environment.invoke()
                    seen.longest_s = max(seen.longest_s, time.monotonic() - begun_s)
                    if answer is None:
                        seen.killed += 1
                        environment = Environment(server.server_port, cold_wait_s)
                    else:
                        seen.ended[answer] += 1
            # The pause after a cold failure is 10 s at most, and a function that hangs is replaced.
            time.sleep(12.0)
            seen.answers_after = environment.invoke() == ANSWERED
        finally:
            environment.kill()
    return seen


FUNCTIONS: Final[Mapping[str, tuple[bool, float]]] = {
    "warm": (True, 10.0),
    "started during the outage": (False, 10.0),
    "started during the outage, `cold_wait_s=2`": (False, 2.0),
}
"""Which functions there are: whether it was invoked before the outage, and its `cold_wait_s`."""


def function_table(rows: Mapping[str, Invocations]) -> Iterator[str]:
    """Yield the lines of the Markdown table of what became of the function."""
    columns = ("outage", "answered", "typed error", "killed", "slowest", "answers after it")
    yield f"| a Lambda function, time-out {TIMEOUT_S:g} s | {' | '.join(columns)} |"
    yield "|---|---|---|---|---|---|---|"
    for what, one in rows.items():
        counts = f"{one.answered} | {one.failed} | {one.killed}"
        after = "yes" if one.answers_after else "no"
        yield f"| {what} | {one.outage_s:g} s | {counts} | {one.longest_s:.2f} s | {after} |"


# A server that is busy


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How long gets take, in seconds."""

    gets: int
    median_s: float
    p99_s: float
    p999_s: float
    longest_s: float

    @classmethod
    def of(cls, took_ns: list[int]) -> Quantiles:
        took = sorted(took_ns)
        median, p99, p999 = (took[int(len(took) * share)] / 1e9 for share in (0.5, 0.99, 0.999))
        return cls(len(took), median, p99, p999, took[-1] / 1e9)


def timed(get: Callable[[str], object], names: list[str], seconds: float) -> list[int]:
    """Get the secrets in turn for so many seconds. Return how long each get took, in nanoseconds."""
    took_ns: list[int] = []
    clock, ends_ns = time.perf_counter_ns, time.perf_counter_ns() + int(seconds * 1e9)
    while clock() < ends_ns:
        for name in names:
            begun_ns = clock()
            get(name)
            took_ns.append(clock() - begun_ns)
    return took_ns


def quantile_table(rows: Mapping[str, Quantiles]) -> Iterator[str]:
    """Yield the lines of the Markdown table of how long gets take."""
    yield "| `get` with `background=True` | gets | median | p99 | p99.9 | longest |"
    yield "|---|---|---|---|---|---|"
    for what, one in rows.items():
        yield (
            f"| {what} | {one.gets:,} | {one.median_s * 1e6:.2f} µs | {one.p99_s * 1e6:.2f} µs "
            f"| {one.p999_s * 1e6:.2f} µs | {one.longest_s * 1e3:.1f} ms |"
        )
