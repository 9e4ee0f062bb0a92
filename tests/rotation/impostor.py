"""A server of an attacker's: it records what it is sent, and asks for what it would like to have."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from keyturn.testing.embedded import LOCALHOST

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSS_REQUEST = struct.pack("!ii", 8, 80877104)
CLEAR_PASSWORD = b"R" + struct.pack("!ii", 8, 3)
REFUSAL = b"SFATAL\0C28P01\0Mpassword authentication failed for user\0\0"
REFUSED = b"E" + struct.pack("!i", len(REFUSAL) + 4) + REFUSAL
COME_IN = b"R" + struct.pack("!ii", 8, 0) + b"Z" + struct.pack("!i", 5) + b"I"


@dataclass
class Impostor:
    """Says that it has no TLS, and then `answer`, which asks for the password in clear or lets all in."""

    answer: bytes = CLEAR_PASSWORD
    received: list[bytes] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.listener = socket.create_server((LOCALHOST, 0))
        self.port = self.listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(2)
                self.converse(connection)

    def converse(self, connection: socket.socket) -> None:
        while said := connection.recv(65536):
            self.received.append(said)
            is_offer, is_password = said in (SSL_REQUEST, GSS_REQUEST), said.startswith(b"p")
            connection.sendall(b"N" if is_offer else REFUSED if is_password else self.answer)

    def was_told(self, *words: str) -> bool:
        """Whether one of the words arrived."""
        heard = b"".join(self.received)
        return any(word.encode() in heard for word in words)


@contextmanager
def impostor(answer: bytes = CLEAR_PASSWORD) -> Iterator[Impostor]:
    """Run one in a thread."""
    one = Impostor(answer)
    thread = threading.Thread(target=one.serve)
    thread.start()
    try:
        yield one
    finally:
        # `accept` of another thread ends with a shutdown, not with a close.
        one.listener.shutdown(socket.SHUT_RDWR)
        one.listener.close()
        thread.join(timeout=5)
