"""The checks before any route, in the agent's order, and the log of the answers.

The log names routes, statuses and kinds of errors. It never has a path, query, header or the message of an
unexpected error, any of which may hold a secret.
"""

from __future__ import annotations

import hmac
import logging
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyturn.serve.statuses import AGENT_PREFIX, BAD_TOKEN, Api
from keyturn.serve.tokens import HEADERS

log = logging.getLogger("keyturn.serve")

PING: Final = "/ping"
OPEN: Final = frozenset({PING, "/openapi.json"})
"""Paths that need no token, since their answers reveal nothing."""

PING_RESERVE: Final = 2
"""The number of connections beyond the limit that a health check may use."""

REQUEST_BYTES_MAX: Final = 32 * 1024
"""The size limit of path, query and headers together.

It fits the longest id, three times as long with percent-encoding, and a session token.
"""

_TOKEN_HEADERS: Final = frozenset(name.lower().encode("ascii") for name in HEADERS)
_SIZE_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})


class RefusedRequest(NamedTuple):
    """A request that the guard refuses. The words are the agent's where it has any."""

    status: int
    words: str

    def response(self) -> Response:
        """Return the answer, which closes the connection: the guard accepts nothing that follows on it."""
        headers = {"connection": "close"} | ({"allow": "GET"} if self.status == 405 else {})
        return PlainTextResponse(self.words, self.status, headers)


class Guard:
    """Passes a request on to `app`, or answers it.

    `connections` returns the number of open connections, with this request's. An exception of `app` ends
    here.
    """

    def __init__(
        self, app: ASGIApp, *, token: str, connections: Callable[[], int], max_connections: int
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._connections = connections
        self._max_connections = max_connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            log.warning("%s: %d %s", route_of(scope["path"]), refusal.status, refusal.words)
            await refusal.response()(scope, receive, send)
            return
        try:
            await self._app(scope, receive, _logging(send, scope["path"]))
        except Exception as error:  # noqa: BLE001 # its message may quote anything: only its place is logged
            log.error("%s: %s", route_of(scope["path"]), _place_of(error))  # noqa: TRY400

    def _refusal(self, scope: Scope) -> RefusedRequest | None:
        path: str = scope["path"]
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        limit = self._max_connections + (PING_RESERVE if path == PING else 0)
        if self._connections() > limit:
            return RefusedRequest(429, "Connection limit exceeded")
        if _size(scope) > REQUEST_BYTES_MAX:
            return RefusedRequest(431, "Request too large")
        names = {name for name, _ in headers}
        if path != PING and b"x-forwarded-for" in names:
            return RefusedRequest(400, "Forwarded")
        if path not in OPEN and not self._has_the_token(headers):
            return RefusedRequest(BAD_TOKEN[Api.of(path)], "Bad Token")
        if scope["method"] != "GET":
            return RefusedRequest(405, "Not allowed")
        if any(name in _SIZE_HEADERS and value != b"0" for name, value in headers):
            return RefusedRequest(413, "A request has no body")
        return None

    def _has_the_token(self, headers: list[tuple[bytes, bytes]]) -> bool:
        given = (value for name, value in headers if name in _TOKEN_HEADERS)
        return any(hmac.compare_digest(value, self._token) for value in given)


def _size(scope: Scope) -> int:
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + len(scope["path"]) + len(scope["query_string"])


def route_of(path: str) -> str:
    """Return the route that a path belongs to, without the ids in the path."""
    known = ("/secretsmanager/get", "/systemsmanager/parameters/get", *OPEN)
    if path.startswith(AGENT_PREFIX):
        return f"{AGENT_PREFIX}..."
    return next((route for route in known if path.rstrip("/") == route), "no route")


def _logging(send: Send, path: str) -> Send:
    """Return `send`, wrapped to log the status of each answer if DEBUG is enabled."""
    if not log.isEnabledFor(logging.DEBUG):
        return send

    async def logged(message: Message) -> None:
        if message["type"] == "http.response.start":
            log.debug("%s: %d", route_of(path), message["status"])
        await send(message)

    return logged


def _place_of(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} in {where}"
