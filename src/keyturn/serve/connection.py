"""One connection: uvicorn's, which asks the gate whether it may stay, and whose peer may be known."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from keyturn.serve.gate import Gate

log = logging.getLogger("keyturn.serve")

STATE_KEY: Final = "keyturn.connection"
"""Where a request's state (ASGI's `scope["state"]`) has its connection."""

_CREDENTIALS: Final = struct.Struct("iII")
"""The process, user and group id of a peer (unix(7), `struct ucred`). Only the first has a sign."""


class Connection(H11Protocol):
    """A connection over TCP or over a unix socket.

    `uids` are the users whose processes may connect; None is for TCP, where nobody knows them.
    """

    def __init__(
        self,
        gate: Gate,
        uids: frozenset[int] | None,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, STATE_KEY: self}, _loop)
        self._gate = gate
        self._uids = uids

    def begin(self, *, has_token: bool) -> None:
        """A whole request has come."""
        self._gate.begin(self, has_token=has_token)

    def end(self, *, has_token: bool) -> None:
        """The request was answered."""
        self._gate.end(self, has_token=has_token)
        if self.transport.is_closing():
            # What is left to send would keep it open for ever if the caller does not read it.
            self._gate.unread(self)

    def leave(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Let it in, or close it."""
        super().connection_made(transport)
        if self._uids is not None:
            uid = peer_uid(transport)
            if uid not in self._uids:
                log.warning("user %d may not call: see --allow-uid", uid)
                self.leave()
                return
        self._gate.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the place."""
        self._gate.left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        self._gate.heard(self)
        super().data_received(data)

    def pause_writing(self) -> None:
        """The caller does not read its answers as fast as they come."""
        super().pause_writing()
        self._gate.unread(self)

    def resume_writing(self) -> None:
        """The caller has read most of them."""
        super().resume_writing()
        self._gate.read(self)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; at once if the caller has not read its answer."""
        if self.transport.get_write_buffer_size():
            self.leave()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, as every other refusal is answered."""
        log.warning("%s: %d %s", "no route", 400, msg)
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self.transport.abort()
                return
            # Its body is no HTTP: this is the answer to the request, and the application's is not sent.
            self.cycle.disconnected = True
        head = (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Cache-Control: no-store\r\nConnection: close\r\nContent-Length: {len(msg)}\r\n\r\n"
        )
        self.transport.write(f"{head}{msg}".encode("ascii"))
        self.transport.close()


def factory(gate: Gate, uids: frozenset[int] | None) -> Callable[..., asyncio.Protocol]:
    """Return what uvicorn calls, with arguments by their names, for each new connection."""

    def make(
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Protocol:
        return Connection(gate, uids, config, server_state, app_state, _loop)

    return make


def peer_uid(transport: asyncio.BaseTransport) -> int:
    """Return the user id of the process that connected, as the kernel knows it."""
    peer = cast("socket.socket", transport.get_extra_info("socket"))
    packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(packed)
    return int(uid)
