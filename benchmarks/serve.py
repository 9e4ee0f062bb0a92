"""The cost of a hit through `keyturn serve`: over the loopback interface, and inside the process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Final

from benchmarks.aws import NAME, TABLE, endpoint, secrets_manager, variables
from benchmarks.results import Part, Parts, Size, counted, percentile, row
from keyturn import SecretCache
from keyturn.serve.app import make_app
from keyturn.serve.guard import Guard
from keyturn.serve.queries import VersionQuery
from keyturn.serve.reading import Reader
from keyturn.serve.tokens import Token
from keyturn.testing.embedded import LOCALHOST

TOKEN: Final = "token-of-the-benchmark"  # noqa: S105 # it opens nothing
CONNECTIONS: Final = 8
TARGET: Final = f"/secretsmanager/get?secretId={NAME}"
HEADERS: Final = {"Host": "localhost", "X-Aws-Parameters-Secrets-Token": TOKEN}
REQUEST: Final = (
    f"GET {TARGET} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()) + "\r\n"
).encode()


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of requests in one sample, and the number of samples."""

    requests: int
    rounds: int


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan(requests=4_000, rounds=7),
    "quick": Plan(requests=500, rounds=3),
}


def measure(size: Size) -> Parts:
    """Return the only part."""
    plan = PLANS[size]
    with endpoint() as url, server(variables(url)) as port:
        seconds = [one for _ in range(plan.rounds) for one in latencies_s(port, plan.requests)]
        rates = [rate(port, plan.requests) for _ in range(plan.rounds)]
    microseconds = [one * 1e6 for one in seconds]
    read_ns, answer_us = asyncio.run(inside(plan))
    rows = (
        row(f"requests a second, {CONNECTIONS} connections", "requests/s", rates),
        row("a request, 1 connection: p50", "µs", microseconds),
        counted("a request, 1 connection: p99", "µs", percentile(microseconds, 0.99)),
        row("of it: token, route, parameters, body (no HTTP)", "µs", answer_us),
        row("of that: the read of the secret", "ns", read_ns),
    )
    how = (
        f"{plan.rounds} samples of {plan.requests} requests for one held secret, each sent when the last "
        "answer was read, to one server process with a marker table. The asking process has the "
        "same two processors, and its own work is in these figures."
    )
    return {"serve": Part("A hit through keyturn serve", how, rows)}


@contextmanager
def server(environment: Mapping[str, str]) -> Iterator[int]:
    """Yield the port of a server with this environment."""
    command = [sys.executable, "-m", "keyturn.cli", "serve", "--port", "0"]
    settings = {"AWS_TOKEN": TOKEN, "KEYTURN_MARKER_TABLE": TABLE}
    with subprocess.Popen(
        command, env={**os.environ, **environment, **settings}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            ready = next(line for line in process.stderr if "serving on" in line)
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield int(ready.rpartition(":")[2])
        finally:
            process.terminate()


class Connection:
    """One connection that sends the same request again and again. All answers have the same length."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((LOCALHOST, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = HTTPConnection(LOCALHOST, port)
        first.sock = self._socket
        first.request("GET", TARGET, headers=HEADERS)
        answer = first.getresponse()
        assert answer.status == HTTPStatus.OK
        head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        self._length = len("HTTP/1.1 200 OK\r\n") + len(head) + len("\r\n") + len(answer.read())

    def ask(self) -> None:
        """Send one request and read its whole answer."""
        self._socket.sendall(REQUEST)
        left = self._length
        while left > 0:
            left -= len(self._socket.recv(left))

    def close(self) -> None:
        self._socket.close()


def latencies_s(port: int, requests: int) -> Iterator[float]:
    """Yield the seconds of each request on one connection."""
    connection = Connection(port)
    for _ in range(requests):
        started_s = time.perf_counter()
        connection.ask()
        yield time.perf_counter() - started_s
    connection.close()


def rate(port: int, requests: int) -> float:
    """Return the requests per second of all connections together."""
    connections = [Connection(port) for _ in range(CONNECTIONS)]
    barrier = threading.Barrier(CONNECTIONS + 1)

    def work(connection: Connection) -> None:
        barrier.wait()
        for _ in range(requests // CONNECTIONS):
            connection.ask()

    workers = [threading.Thread(target=work, args=(one,)) for one in connections]
    for worker in workers:
        worker.start()
    barrier.wait()
    started_s = time.perf_counter()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - started_s
    for connection in connections:
        connection.close()
    return requests // CONNECTIONS * CONNECTIONS / seconds


async def inside(plan: Plan) -> tuple[list[float], list[float]]:
    """Return the nanoseconds of a read, and the microseconds of an answer without HTTP, per sample."""
    cache = SecretCache(secrets_manager())
    cache.get(NAME)
    reader = Reader(cache, cache, threads=1)
    asked = VersionQuery()
    token = Token(lambda: TOKEN, is_fixed=True, monotonic=time.monotonic)
    guard = Guard(make_app(reader), token=token, max_requests=1)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/secretsmanager/get",
        "query_string": f"secretId={NAME}".encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"x-aws-parameters-secrets-token", TOKEN.encode())],
    }

    async def receive() -> MutableMapping[str, object]:
        return {"type": "http.request"}

    async def send(_message: MutableMapping[str, object]) -> None: ...

    async def read() -> None:
        await reader.secret(NAME, asked)

    async def answer() -> None:
        await guard(dict(scope), receive, send)

    reads = [await per_call_s(read, plan.requests) * 1e9 for _ in range(plan.rounds)]
    return reads, [await per_call_s(answer, plan.requests) * 1e6 for _ in range(plan.rounds)]


async def per_call_s(call: Callable[[], Awaitable[None]], times: int) -> float:
    """Return the seconds of one call, as the mean of `times` calls."""
    started_s = time.perf_counter()
    for _ in range(times):
        await call()
    return (time.perf_counter() - started_s) / times
