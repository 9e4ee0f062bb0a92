"""HTTP clients that send a secret's key: neither their errors nor their logs have it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import httpx
import pytest
import requests

from keyturn import Peers, SecretCache
from keyturn.integrations.aiohttp import key_middleware
from keyturn.integrations.http import Key
from keyturn.integrations.httpx import AsyncKeyTransport, KeyTransport
from keyturn.integrations.requests import KeyAdapter
from keyturn.testing.embedded import free_port
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.security.canary.watched import CANARY, SHOWN, assert_unseen, everything_logged, raised_by

log = logging.getLogger("keyturn")


def key(origin: str) -> Key:
    """The key, for this origin."""
    clock = FakeClock()
    secrets = FakeSecretsManager(clock)
    secrets.create("api/key", CANARY)
    peers = Peers(source=secrets, clock=clock, sleep=clock.advance)
    return Key(SecretCache(marker_table=False, peers=peers), "api/key", origin)


def by_httpx(url: str) -> None:
    """A request of httpx."""
    with httpx.Client(transport=KeyTransport(key(url))) as client:
        client.get(url)


def by_async_httpx(url: str) -> None:
    """A request of httpx on a loop."""

    async def run() -> None:
        async with httpx.AsyncClient(transport=AsyncKeyTransport(key(url))) as client:
            await client.get(url)

    asyncio.run(run())


def by_requests(url: str) -> None:
    """A request of requests."""
    with requests.Session() as session:
        session.mount(url, KeyAdapter(key(url)))
        session.get(url, timeout=5)


def by_aiohttp(url: str) -> None:
    """A request of aiohttp."""

    async def run() -> None:
        async with aiohttp.ClientSession(middlewares=[key_middleware(key(url))]) as session:
            await session.get(url)

    asyncio.run(run())


CLIENTS: Mapping[str, Callable[[str], None]] = {
    "httpx": by_httpx,
    "httpx on a loop": by_async_httpx,
    "requests": by_requests,
    "aiohttp": by_aiohttp,
}


@pytest.fixture
def url() -> Iterator[str]:
    """A server that refuses every key."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"] or "")
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
    assert any(CANARY in one for one in seen)


@pytest.mark.parametrize("name", CLIENTS)
def test_no_request_without_a_server_shows_the_key(name: str) -> None:
    """The client's own error, in all ways of showing it, and every log at the level DEBUG."""
    with everything_logged() as seen:
        log.debug("the witness")
        error = raised_by(lambda: CLIENTS[name](f"http://127.0.0.1:{free_port()}"))
    assert_unseen(seen.getvalue(), "the witness")
    for shown in SHOWN.values():
        assert_unseen(shown(error), "Error")


@pytest.mark.parametrize("name", CLIENTS)
def test_no_refused_request_logs_the_key(name: str, url: str) -> None:
    """A server that answers 401: nothing of the key is logged."""
    with everything_logged() as seen:
        log.debug("the witness")
        CLIENTS[name](url)
    assert_unseen(seen.getvalue(), "the witness")
