"""Requests with an API key that is replaced under load: keyturn's HTTP clients beside `cache.get` alone.

A real HTTP server takes one key at a time. Twice it gets a new one: first as in a rotation, where the new
key is AWSPENDING for half a second before it is AWSCURRENT, then at once and announced by nobody. Counted is,
for each way to send requests, how many requests failed and how many were refused by the server.
`python -m benchmarks.httpkeys [--requests 1000]` prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import httpx
import requests
import urllib3

from benchmarks.results import Part, Parts, Size, counted, ratio
from keyturn import Peers, SecretCache
from keyturn.integrations.aiohttp import key_middleware
from keyturn.integrations.http import Key
from keyturn.integrations.httpx import AsyncKeyTransport, KeyTransport
from keyturn.integrations.requests import KeyAdapter
from keyturn.integrations.urllib3 import with_key
from keyturn.runtime.host import SYSTEM_CLOCK
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.integrations.http_server import KeyServer

NAME = "prod/api-key"
CALLERS = 4
PAUSE_S = 0.01
"""Between two requests of a caller. The second change then comes more than a second after the first."""
TIMEOUT_S = 10.0
OK = 200
REQUESTS: Final = 1000
"""So many that the second change comes more than a second after the first."""
ALONE = "`cache.get` for each request"


class RealClock(FakeClock):
    """Dates the versions of a secret in memory by the real time."""

    def wall(self) -> float:
        """Return the real time."""
        return SYSTEM_CLOCK.wall()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one way to send requests: all requests, those that failed, those that were refused."""

    way: str
    requests: int
    failed: int
    refused: int


@dataclass
class Counted:
    """How many requests were made and failed so far. Threads share it."""

    wanted: int
    done: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def share(self) -> float:
        return self.done / self.wanted

    def add(self, status: int) -> bool:
        """Count a request. Return False once there are enough."""
        with self._lock:
            self.done += 1
            self.failed += status != OK
            return self.done < self.wanted


Run = Callable[[SecretCache, str, Counted], None]
"""Sends requests to the origin with keys of the cache, from several callers, until they are enough."""


def threads(send: Callable[[], int], counted: Counted) -> None:
    """Let some threads send requests."""

    def work() -> None:
        while counted.add(send()):
            time.sleep(PAUSE_S)

    workers = [threading.Thread(target=work) for _ in range(CALLERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def with_get(cache: SecretCache, origin: str, counted: Counted) -> None:
    """Read the key from the cache for each request, as one does without an integration."""
    with httpx.Client(timeout=TIMEOUT_S) as client:

        def send() -> int:
            headers = {"Authorization": f"Bearer {cache.get(NAME).text()}"}
            return client.get(origin, headers=headers).status_code

        threads(send, counted)


def with_httpx(cache: SecretCache, origin: str, counted: Counted) -> None:
    """Send with httpx."""
    with httpx.Client(transport=KeyTransport(Key(cache, NAME, origin)), timeout=TIMEOUT_S) as client:
        threads(lambda: client.get(origin).status_code, counted)


def with_requests(cache: SecretCache, origin: str, counted: Counted) -> None:
    """Send with requests."""
    with requests.Session() as session:
        session.mount(origin, KeyAdapter(Key(cache, NAME, origin)))
        threads(lambda: session.get(origin, timeout=TIMEOUT_S).status_code, counted)


def with_urllib3(cache: SecretCache, origin: str, counted: Counted) -> None:
    """Send with urllib3."""
    with urllib3.PoolManager(timeout=TIMEOUT_S) as manager:
        client = with_key(manager, Key(cache, NAME, origin))
        threads(lambda: client.request("GET", origin).status, counted)


def with_async_httpx(cache: SecretCache, origin: str, counted: Counted) -> None:
    """Send with httpx on an event loop."""

    async def run() -> None:
        transport = AsyncKeyTransport(Key(cache, NAME, origin))
        async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S) as client:

            async def work() -> None:
                status = 0
                while not status or counted.add(status):
                    status = (await client.get(origin)).status_code
                    await asyncio.sleep(PAUSE_S)

            await asyncio.gather(*(work() for _ in range(CALLERS)))

    asyncio.run(run())


def with_aiohttp(cache: SecretCache, origin: str, counted: Counted) -> None:
    """Send with aiohttp."""

    async def run() -> None:
        middlewares = [key_middleware(Key(cache, NAME, origin))]
        async with aiohttp.ClientSession(middlewares=middlewares) as session:

            async def work() -> None:
                status = 0
                while not status or counted.add(status):
                    async with session.get(origin) as response:
                        status = response.status
                    await asyncio.sleep(PAUSE_S)

            await asyncio.gather(*(work() for _ in range(CALLERS)))

    asyncio.run(run())


WAYS: dict[str, Run] = {
    ALONE: with_get,
    "httpx": with_httpx,
    "httpx, asyncio": with_async_httpx,
    "requests": with_requests,
    "urllib3": with_urllib3,
    "aiohttp": with_aiohttp,
}


@contextmanager
def changing(server: KeyServer, secrets: FakeSecretsManager, counted: Counted) -> Iterator[None]:
    """Replace the key twice while the block runs: at a quarter of its requests, and at three quarters."""

    def wait_for(share: float) -> None:
        while counted.share < share:
            time.sleep(0.001)

    def replace() -> None:
        wait_for(0.25)
        secrets.put(NAME, "two", "v2", "AWSPENDING")
        server.keys = {"two"}
        time.sleep(0.5)
        secrets.move(NAME, "AWSCURRENT", "v2")
        wait_for(0.75)
        secrets.put(NAME, "three", "v3", "AWSCURRENT")
        server.keys = {"three"}

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def replaced(way: str, wanted: int) -> Outcome:
    """Run one way to send requests through both changes."""
    secrets = FakeSecretsManager(RealClock())
    secrets.create(NAME, "one", "v1")
    counted = Counted(wanted)
    with KeyServer().running() as server, SecretCache(peers=Peers(source=secrets)) as cache:
        with changing(server, secrets, counted):
            WAYS[way](cache, server.origin, counted)
        return Outcome(way, counted.done, counted.failed, server.statuses[401])


def measure(size: Size) -> Parts:
    """Return the only part."""
    found = [replaced(way, REQUESTS) for way in (WAYS if size == "full" else (ALONE, "httpx"))]
    ours = [one for one in found if one.way != ALONE]
    rows = [
        row
        for one in found
        for row in (
            counted(f"{one.way}: failed", "requests", one.failed, f"of {one.requests:,}"),
            counted(f"{one.way}: refused by the server", "requests", one.refused),
        )
    ]
    part = Part(
        "Requests while an API key is replaced",
        f"A real HTTP server on 127.0.0.1 that takes one key at a time, {CALLERS} callers, and two new keys. "
        "The first new key is AWSPENDING for half a second, and then AWSCURRENT. The second becomes "
        "AWSCURRENT at once, and no marker tells of it. The peer reads no markers, and uses an old key until "
        "its TTL ends.",
        tuple(rows),
        (
            ratio("requests that failed, all clients", sum(one.failed for one in ours), "at most", 0, ""),
            ratio("requests that failed, of the peer", found[0].failed, "at least", 1, ""),
        ),
    )
    return {"http": part}


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.httpkeys", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="requests of each way")
    wanted: int = parser.parse_args(arguments).requests
    print("| requests by | requests | failed | refused by the server |\n| --- | ---: | ---: | ---: |")
    for way in WAYS:
        found = replaced(way, wanted)
        print(f"| {way} | {found.requests:,} | {found.failed:,} | {found.refused:,} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
