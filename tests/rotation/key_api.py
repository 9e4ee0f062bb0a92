"""An API that issues keys, over HTTP on 127.0.0.1. `admin` is the key of the account that issues them."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Self

from keyturn.testing.embedded import LOCALHOST
from tests.integrations.http_server import Quiet
from tests.serving import answering

ADMIN = "the key of the account"


class KeyService:
    """The keys that the API takes, id -> value, and how often it was asked for what.

    `POST /keys` issues, `GET /keys/me` says whose key a request has, `DELETE /keys/ID` revokes. With
    `is_idempotent` the same Idempotency-Key is answered with the same key. What is `failing` is answered 503.
    """

    def __init__(self, *, is_idempotent: bool = True) -> None:
        self.is_idempotent = is_idempotent
        self.keys: dict[str, str] = {}
        self.issued: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.refused = 0
        self.failing: set[str] = set()
        self.origin = ""

    def new_key(self) -> tuple[str, str]:
        """Issue a key, as somebody does by hand."""
        key_id = f"key-{uuid.uuid4().hex[:8]}"
        self.keys[key_id] = f"value of {uuid.uuid4()}"
        return key_id, self.keys[key_id]

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Run on a free port of 127.0.0.1."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            # Head and body in one packet: else a client waits for the rest by 40 ms of Nagle's algorithm.
            wbufsize = -1

            protocol_version = "HTTP/1.1"
            timeout = 10

            def answer(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                key = (self.headers["Authorization"] or "").removeprefix("Bearer ")
                status, document = service.answer(
                    self.command, self.path, key, self.headers["Idempotency-Key"]
                )
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 # http.server's names

            def log_message(self, *_line: object) -> None:
                """Print nothing."""

        server = Quiet((LOCALHOST, 0), Handler)
        self.origin = f"http://{LOCALHOST}:{server.server_address[1]}"
        with answering(server):
            yield self

    def answer(self, method: str, path: str, key: str, token: str | None) -> tuple[int, object]:
        """The status and the document of an answer."""
        self.calls[method] += 1
        if method in self.failing:
            return 503, {}
        owner = next((key_id for key_id, value in self.keys.items() if value == key), None)
        if method == "GET":
            self.refused += owner is None
            return (401, {}) if owner is None else (200, {"id": owner})
        if key != ADMIN:
            return 401, {}
        if method == "DELETE":
            return (404 if self.keys.pop(path.removeprefix("/keys/"), None) is None else 200), {}
        if not (self.is_idempotent and token in self.issued):
            self.issued[str(token)] = self.new_key()[0]
        key_id = self.issued[str(token)]
        return 201, {"id": key_id, "value": self.keys[key_id]}
