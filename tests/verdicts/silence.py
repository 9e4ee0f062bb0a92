"""A server that accepts connections and never says a word."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.process import answering


@contextmanager
def silent() -> Iterator[int]:
    """Give the port of a server that reads until the other side leaves."""

    def listen(connection: socket.socket) -> None:
        while connection.recv(1000):
            pass

    with answering(listen) as port:
        yield port
