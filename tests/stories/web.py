"""An HTTP server that takes API keys, with each client of `keyturn.integrations`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import httpx
import requests

from keyturn.integrations.aiohttp import key_middleware
from keyturn.integrations.http import Key, bearer
from keyturn.integrations.httpx import AsyncKeyTransport, KeyTransport
from keyturn.integrations.requests import KeyAdapter
from tests.integrations.http_server import KeyServer
from tests.servers.process import LOCALHOST
from tests.stories.drivers import (
    CONNECT_TIMEOUT_S,
    Access,
    Driver,
    Fields,
    on_a_loop,
    visiting,
    visiting_on_a_loop,
)
from tests.stories.stage import Server
from tests.stories.workers import LogIn

TLS: Final = httpx.create_ssl_context()
"""Made once, since that takes longer than a request. The server here has no TLS."""


class Node:
    """The keys that a server takes of each user, of whom it does not know."""

    def __init__(self, server: KeyServer) -> None:
        self._server = server
        self._keys: dict[str, tuple[str, ...]] = {}

    def admit(self, user: str, *passwords: str) -> None:
        self._keys[user] = passwords
        self._server.keys = {key for keys in self._keys.values() for key in keys}


def _url(fields: Fields) -> str:
    return f"http://{fields['host']}:{fields['port']}/"


def _headers(fields: Fields) -> dict[str, str]:
    return {"Authorization": f"Bearer {fields['password']}"}


def _key(access: Access) -> tuple[str, Key]:
    """Return where requests go, and the key for them."""
    url = _url(access.cache.get(access.secret_id).fields())
    return url, Key(access.cache, access.secret_id, url.rstrip("/"), bearer(field="password"))


def _usual(fields: Fields) -> None:
    with httpx.Client(verify=TLS, timeout=CONNECT_TIMEOUT_S) as client:
        client.get(_url(fields), headers=_headers(fields)).raise_for_status()


def _httpx() -> Driver:
    @contextmanager
    def keyturn(access: Access) -> Iterator[LogIn]:
        url, key = _key(access)
        transport = KeyTransport(key, httpx.HTTPTransport(verify=TLS))
        with httpx.Client(transport=transport, timeout=CONNECT_TIMEOUT_S) as client:
            yield lambda: client.get(url).raise_for_status()

    return Driver("httpx", keyturn, visiting(_usual))


def _async_httpx() -> Driver:
    @contextmanager
    def keyturn(access: Access) -> Iterator[LogIn]:
        url, key = _key(access)

        async def once() -> None:
            transport = AsyncKeyTransport(key, httpx.AsyncHTTPTransport(verify=TLS))
            async with httpx.AsyncClient(transport=transport, timeout=CONNECT_TIMEOUT_S) as client:
                (await client.get(url)).raise_for_status()

        with on_a_loop(once) as log_in:
            yield log_in

    return Driver("httpx, asyncio", keyturn, visiting(_usual))


def _requests() -> Driver:
    @contextmanager
    def keyturn(access: Access) -> Iterator[LogIn]:
        url, key = _key(access)
        with requests.Session() as session:
            session.mount(url, KeyAdapter(key))
            yield lambda: session.get(url, timeout=CONNECT_TIMEOUT_S).raise_for_status()

    def visit(fields: Fields) -> None:
        requests.get(_url(fields), headers=_headers(fields), timeout=CONNECT_TIMEOUT_S).raise_for_status()

    return Driver("requests", keyturn, visiting(visit))


def _aiohttp() -> Driver:
    @contextmanager
    def keyturn(access: Access) -> Iterator[LogIn]:
        url, key = _key(access)

        async def once() -> None:
            session = aiohttp.ClientSession(middlewares=[key_middleware(key)])
            async with session, session.get(url) as response:
                response.raise_for_status()

        with on_a_loop(once) as log_in:
            yield log_in

    async def visit(fields: Fields) -> None:
        session = aiohttp.ClientSession(headers=_headers(fields))
        async with session, session.get(_url(fields)) as response:
            response.raise_for_status()

    return Driver("aiohttp", keyturn, visiting_on_a_loop(visit))


@contextmanager
def server() -> Iterator[Server]:
    """A server of this process."""
    with KeyServer().running() as keys:
        keys.keys = set()
        place: dict[str, str | int] = {"host": LOCALHOST, "port": urlsplit(keys.origin).port or 0}
        drivers = [_httpx(), _async_httpx(), _requests(), _aiohttp()]
        yield Server(place, [Node(keys)], drivers)
