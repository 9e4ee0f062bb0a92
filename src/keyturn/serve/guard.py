"""The checks before any route, in the agent's order, and the log of the answers.

The log names routes, statuses and kinds of errors. It never has a path, query, header or the message of an
unexpected error, any of which may hold a secret.
"""

from __future__ import annotations

import logging
import re
from typing import Final, NamedTuple

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyturn.serve.connection import STATE_KEY, Connection
from keyturn.serve.logs import place_of
from keyturn.serve.statuses import AGENT_PREFIX, BAD_TOKEN, Api
from keyturn.serve.tokens import HEADERS, Token

log = logging.getLogger("keyturn.serve")

PING: Final = "/ping"
OPEN: Final = frozenset({PING, "/ready", "/openapi.json"})
"""Paths that need no token, since their answers reveal nothing."""

REQUEST_BYTES_MAX: Final = 32 * 1024
"""The size limit of path, query and headers together.

It fits the longest id, three times as long with percent-encoding, and a session token.
"""

_TOKEN_HEADERS: Final = frozenset(name.lower().encode("ascii") for name in HEADERS)
_SIZE_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})
_PROXY_HEADERS: Final = frozenset(
    {
        *(b"forwarded", b"via", b"x-real-ip", b"x-forwarded", b"x-original-forwarded-for"),
        # What proxies of clouds and content networks call the address of their client.
        *(b"cf-connecting-ip", b"fastly-client-ip", b"true-client-ip", b"x-client-ip"),
        *(b"x-cluster-client-ip", b"x-envoy-external-address"),
    }
)
_PROXY_PREFIX: Final = b"x-forwarded-"

_LOOPBACK: Final = re.compile(rb"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
"""The `Host` of a request that was meant for this host.

A page of `evil.example` whose name suddenly leads to 127.0.0.1 (DNS rebinding) makes a browser send that
name.
"""


class RefusedRequest(NamedTuple):
    """A request that the guard refuses. The words are the agent's where it has any."""

    status: int
    words: str

    def response(self) -> Response:
        """Return the answer, which closes the connection: the guard accepts nothing that follows on it."""
        headers = {"connection": "close"} | ({"allow": "GET"} if self.status == 405 else {})
        return PlainTextResponse(self.words, self.status, headers)


class Guard:
    """Passes a request on to `app`, or answers it. An exception of `app` ends here.

    Args:
        app: the application behind it.
        token: what callers must send. None is for a unix socket, whose peers the kernel names.
        max_requests: the number of requests with the token that are answered at the same time.
        has_hosts: says that callers name a host. False is for a unix socket, which no browser can reach.
    """

    def __init__(
        self, app: ASGIApp, *, token: Token | None, max_requests: int, has_hosts: bool = True
    ) -> None:
        self._app = app
        self._token = token
        self._max_requests = max_requests
        self._has_hosts = has_hosts
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        has_token = refusal is None and scope["path"] not in OPEN
        found: object = scope.get("state", {}).get(STATE_KEY)
        connection = found if isinstance(found, Connection) else None
        self._requests += has_token
        if connection is not None:
            connection.begin(has_token=has_token)
        try:
            if refusal is None:
                passed = _logging(send, scope["path"])
                await self._app(scope, receive, passed if has_token else _closing(passed))
            else:
                log.warning("%s: %d %s", route_of(scope["path"]), refusal.status, refusal.words)
                await refusal.response()(scope, receive, send)
        except Exception as error:  # noqa: BLE001 # its message may quote anything: only its place is logged
            log.error("%s: %s", route_of(scope["path"]), place_of(error))  # noqa: TRY400
        finally:
            self._requests -= has_token
            if connection is not None:
                connection.end(has_token=has_token)

    def _refusal(self, scope: Scope) -> RefusedRequest | None:
        path: str = scope["path"]
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if _size(scope) > REQUEST_BYTES_MAX:
            return RefusedRequest(431, "Request too large")
        if self._has_hosts and not _is_for_this_host(headers):
            return RefusedRequest(421, "Wrong Host")
        if path != PING and any(_is_of_a_proxy(name) for name, _ in headers):
            return RefusedRequest(400, "Forwarded")
        if path not in OPEN and not self._has_the_token(headers):
            return RefusedRequest(BAD_TOKEN[Api.of(path)], "Bad Token")
        if scope["method"] != "GET":
            return RefusedRequest(405, "Not allowed")
        if any(name in _SIZE_HEADERS and value != b"0" for name, value in headers):
            return RefusedRequest(413, "A request has no body")
        if path not in OPEN and self._requests >= self._max_requests:
            return RefusedRequest(429, "Connection limit exceeded")
        return None

    def _has_the_token(self, headers: list[tuple[bytes, bytes]]) -> bool:
        if self._token is None:
            return True
        return self._token.matches([value for name, value in headers if name in _TOKEN_HEADERS])


def _is_for_this_host(headers: list[tuple[bytes, bytes]]) -> bool:
    hosts = [value for name, value in headers if name == b"host"]
    return len(hosts) == 1 and _LOOPBACK.fullmatch(hosts[0]) is not None


def _is_of_a_proxy(header: bytes) -> bool:
    return header in _PROXY_HEADERS or header.startswith(_PROXY_PREFIX)


def _size(scope: Scope) -> int:
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + len(scope["path"]) + len(scope["query_string"])


def route_of(path: str) -> str:
    """Return the route that a path belongs to, without the ids in the path."""
    known = ("/secretsmanager/get", "/systemsmanager/parameters/get", *OPEN)
    if path.startswith(AGENT_PREFIX):
        return f"{AGENT_PREFIX}..."
    return next((route for route in known if path.rstrip("/") == route), "no route")


def _closing(send: Send) -> Send:
    """Return `send`, wrapped to close the connection after the answer.

    Whoever has no token could else keep the event loop at work by thousands of requests in a row on each
    connection, and callers would wait for seconds.
    """

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return closing


def _logging(send: Send, path: str) -> Send:
    """Return `send`, wrapped to log the status of each answer if DEBUG is enabled."""
    if not log.isEnabledFor(logging.DEBUG):
        return send

    async def logged(message: Message) -> None:
        if message["type"] == "http.response.start":
            log.debug("%s: %d", route_of(path), message["status"])
        await send(message)

    return logged
