"""HTTP clients that send a secret's key: neither their errors nor their logs have it."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import httpx
import pytest
import requests
import urllib3

from keyturn import Peers, SecretCache
from keyturn.integrations.aiohttp import key_middleware
from keyturn.integrations.http import Authorize, Key, header
from keyturn.integrations.httpx import AsyncKeyTransport, KeyTransport
from keyturn.integrations.requests import KeyAdapter
from keyturn.integrations.urllib3 import with_key
from keyturn.testing.embedded import free_port
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.security.canary.watched import CANARY, SHOWN, assert_unseen, everything_logged, raised_by
from tests.serving import answering

log = logging.getLogger("keyturn")


def key(origin: str, authorize: Authorize | None = None) -> Key:
    """The key, for this origin."""
    clock = FakeClock()
    secrets = FakeSecretsManager(clock)
    secrets.create("api/key", CANARY)
    peers = Peers(source=secrets, clock=clock, sleep=clock.advance)
    return Key(SecretCache(marker_table=False, peers=peers), "api/key", origin, authorize)


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


def by_urllib3(url: str) -> None:
    """A request of urllib3."""
    with urllib3.PoolManager(retries=False, timeout=5) as manager:
        with_key(manager, key(url)).request("GET", url)


def by_aiohttp(url: str) -> None:
    """A request of aiohttp."""

    async def run() -> None:
        session = aiohttp.ClientSession(middlewares=[key_middleware(key(url))])
        async with session, session.get(url) as response:
            await response.read()

    asyncio.run(run())


CLIENTS: Mapping[str, Callable[[str], None]] = {
    "httpx": by_httpx,
    "httpx on a loop": by_async_httpx,
    "requests": by_requests,
    "urllib3": by_urllib3,
    "aiohttp": by_aiohttp,
}


@pytest.fixture
def url() -> Iterator[str]:
    """A server that refuses every key."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        # Head and body in one packet: else a client waits for the rest by 40 ms of Nagle's algorithm.
        wbufsize = -1

        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"] or "")
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with answering(server):
        yield f"http://127.0.0.1:{server.server_port}"
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


SETTINGS = bytes.fromhex("000000040000000000")
ACCEPTED = bytes.fromhex("000001010500000001") + b"\x88"
"""The frames of HTTP/2 of a server's settings, and of the status 200 on the first stream."""


def by_http2(url: str) -> None:
    """A request of httpx over HTTP/2."""
    keyed = key(url, header("X-Api-Key"))
    with httpx.Client(transport=KeyTransport(keyed, httpx.HTTPTransport(http1=False, http2=True))) as client:
        client.get(url).raise_for_status()


def by_async_http2(url: str) -> None:
    """The same on a loop."""

    async def run() -> None:
        keyed = key(url, header("X-Api-Key"))
        transport = AsyncKeyTransport(keyed, httpx.AsyncHTTPTransport(http1=False, http2=True))
        async with httpx.AsyncClient(transport=transport) as client:
            (await client.get(url)).raise_for_status()

    asyncio.run(run())


@pytest.mark.parametrize("client", [by_http2, by_async_http2])
def test_http2_logs_no_key(client: Callable[[str], None]) -> None:
    """hpack writes each header at DEBUG, and all of them as they are encoded."""
    with socket.create_server(("127.0.0.1", 0)) as server, everything_logged() as seen:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                received = b""
                # The frame of the headers is the first with the number 1, at the end of its own head.
                while b"\x01\x05\x00\x00\x00\x01" not in received:
                    received += connection.recv(65_536)
                connection.sendall(SETTINGS + ACCEPTED)
                connection.recv(65_536)

        thread = threading.Thread(target=serve)
        thread.start()
        log.debug("the witness")
        client(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert_unseen(seen.getvalue(), "the witness")
    assert "Encoded header block" not in seen.getvalue()


def refused_by_httpx(url: str) -> None:
    """httpx's error of a status."""
    with httpx.Client(transport=KeyTransport(key(url))) as client:
        client.get(url).raise_for_status()


def refused_by_requests(url: str) -> None:
    """requests' error of a status."""
    with requests.Session() as session:
        session.mount(url, KeyAdapter(key(url)))
        session.get(url, timeout=5).raise_for_status()


def refused_by_aiohttp(url: str) -> None:
    """aiohttp's error of a status."""

    async def run() -> None:
        middlewares = [key_middleware(key(url))]
        async with aiohttp.ClientSession(middlewares=middlewares, raise_for_status=True) as session:
            await session.get(url)

    asyncio.run(run())


def headers_of(error: BaseException) -> str:
    """The headers of the request and of the response that an error of a client carries."""
    response = getattr(error, "response", None)
    carriers = (error, response, getattr(error, "request_info", None), getattr(error, "request", None))
    found = [one for carrier in carriers for one in (carrier, getattr(carrier, "request", None)) if one]
    headers = [dict(one.headers) for one in found if hasattr(one, "headers") and one.headers]
    return repr([{name.lower(): value for name, value in one.items()} for one in headers])


@pytest.mark.parametrize("client", [refused_by_httpx, refused_by_requests, refused_by_aiohttp])
def test_the_error_of_a_status_has_no_key(client: Callable[[str], None], url: str) -> None:
    """It carries the request, which error trackers store with its headers: the key is not among them."""
    assert_unseen(headers_of(raised_by(lambda: client(url))), "user-agent")


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("answer", [b"no http\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"])
def test_a_broken_answer_shows_no_key(name: str, answer: bytes) -> None:
    """An answer that is no HTTP, and one that ends too early."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        error = raised_by(lambda: CLIENTS[name](f"http://127.0.0.1:{server.getsockname()[1]}"))
        thread.join()
    for shown in SHOWN.values():
        assert_unseen(shown(error), "Error")
    assert CANARY not in headers_of(error)
