"""An HTTP server that takes some keys, in a thread of this process, on a real socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from keyturn.testing.embedded import LOCALHOST
from tests.serving import answering


class Quiet(ThreadingHTTPServer):
    """Says nothing about clients that hang up, as those do that drop a refused response."""

    daemon_threads = True

    def handle_error(self, *_request: object) -> None:
        """Print nothing."""


class KeyServer:
    """What the server takes and what it was sent.

    `/forbidden` answers a right key with 403, `/busy` with 429, `/away` and `/moved` with a redirect,
    after which the second has the body sent again.
    """

    def __init__(self) -> None:
        self.keys = {"one"}
        self.header = "Authorization"
        self.prefix = "Bearer "
        self.statuses: Counter[int] = Counter()
        self.sent: list[str | None] = []
        self.bodies: list[bytes] = []
        self.origin = ""
        self.redirect_to = ""

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Run on a free port of 127.0.0.1."""
        state = self

        class Handler(BaseHTTPRequestHandler):
            # Head and body in one packet: else a client waits for the rest by 40 ms of Nagle's algorithm.
            wbufsize = -1

            protocol_version = "HTTP/1.1"
            timeout = 10

            def answer(self) -> None:
                body = self.body()
                sent = self.headers[state.header]
                key = sent.removeprefix(state.prefix) if sent else None
                status = state.status(self.path, key)
                state.statuses[status] += 1
                state.sent.append(key)
                state.bodies.append(body)
                self.send_response(status)
                if status in {302, 307}:
                    self.send_header("Location", state.redirect_to)
                said = f"{status} for {self.path}".encode()
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = answer  # noqa: N815 # http.server's names

            def body(self) -> bytes:
                if self.headers["Transfer-Encoding"] != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"] or 0))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def log_message(self, *_line: object) -> None:
                """Print nothing."""

        server = Quiet((LOCALHOST, 0), Handler)
        self.origin = f"http://{LOCALHOST}:{server.server_address[1]}"
        with answering(server):
            yield self

    def status(self, path: str, key: str | None) -> int:
        """The status for a path, or a URL as a proxy gets it, and a key."""
        if key not in self.keys:
            return 401
        return {"/forbidden": 403, "/busy": 429, "/away": 302, "/moved": 307}.get(urlsplit(path).path, 200)
