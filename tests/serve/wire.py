"""Connections of the endpoint in this process: uvicorn's protocol and ours, over transports in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TypeVar

from uvicorn.server import ServerState

from keyturn.serve.connection import Connection
from keyturn.serve.gate import Gate, Patience
from keyturn.serve.server import config
from tests.serve.endpoint import TOKEN, Endpoint
from tests.world import NAME

Result = TypeVar("Result")

PATIENCE = Patience()
TARGET = f"/v1/{NAME}"


def request(
    target: str = TARGET, *headers: str, method: str = "GET", host: str = "localhost", token: str = TOKEN
) -> bytes:
    """A whole request with a host and a token; an empty one is left out."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"Host: {host}"] if host else []
    lines += [f"X-Vault-Token: {token}"] if token else []
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


HALF = b"GET /v1/prod/db HTTP/1.1\r\nHost: localhost\r\nX-Half: "


class Wire(asyncio.Transport):
    """One connection. `unsent` is what a caller that reads nothing has left in the transport's buffer."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.answers = b""
        self.unsent = 0
        self._is_closed = self._is_closing = False
        connection.connection_made(self)

    async def send(self, data: bytes) -> bytes:
        """Send bytes, and return what was answered to them."""
        before = len(self.answers)
        if data and not self._is_closing:
            self.connection.data_received(data)
        while self.connection.tasks:
            await asyncio.wait(self.connection.tasks.copy())
        await asyncio.sleep(0)
        return self.answers[before:]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closing:
            self.answers += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def ended(self) -> bool:
        """Whether nothing of it is open any more."""
        return self._is_closed

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """As asyncio's: it stays open until everything is sent."""
        self._is_closing = True
        if not self.unsent:
            self.abort()

    def abort(self) -> None:
        if not self._is_closed:
            self._is_closing = self._is_closed = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)


@dataclass
class Line:
    """The server's end: its gate, its guard, and connections to it. To be made within an event loop."""

    places: int = 10
    endpoint: Endpoint = field(default_factory=Endpoint)

    def __post_init__(self) -> None:
        self.endpoint.cache.get(NAME)
        self.gate = Gate(self.places, PATIENCE, self.endpoint.world.clock.monotonic)
        self.config = config(self.endpoint.guard, self.gate, None)
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = self.config.encoded_headers

    def connect(self) -> Wire:
        """A new connection."""
        return Wire(Connection(self.gate, None, self.config, self.state, {}))

    def after(self, seconds: float) -> None:
        """Let time go by, and let the gate look at it."""
        self.endpoint.world.clock.advance(seconds)
        self.gate.expire()


def on_a_line(
    story: Callable[[Line], Coroutine[object, object, Result]], line: Callable[[], Line] = Line
) -> Result:
    """What the story returns, run with a line in an event loop."""

    async def run() -> Result:
        return await story(line())

    return asyncio.run(run())


def status(answer: bytes) -> int:
    """The status of an answer; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0
