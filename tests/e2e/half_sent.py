"""Holds connections with half a request each, and opens another for each that is closed, until it is ended.

A process of its own, so that it and a caller do not share an interpreter. Arguments: the port, the number of
connections. It says how many it has opened, a line for each round.
"""

from __future__ import annotations

import resource
import socket
import sys
import time
from contextlib import suppress

HALF = b"GET /v1/prod/db HTTP/1.1\r\nHost: localhost\r\nX-Half: "
ROUND_S = 0.05


def opened(port: int) -> socket.socket:
    """A new connection that has sent half a request."""
    made = socket.create_connection(("127.0.0.1", port))
    with suppress(ConnectionError):
        made.sendall(HALF)
    made.settimeout(0)
    return made


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed it."""
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def main(port: int, connections: int) -> None:
    """Hold so many connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, connections + 100), hard))
    held: set[socket.socket] = set()
    total = 0
    while True:
        for one in [one for one in held if is_closed(one)]:
            held.remove(one)
            one.close()
        while len(held) < connections:
            held.add(opened(port))
            total += 1
        sys.stdout.write(f"{total}\n")
        sys.stdout.flush()
        time.sleep(ROUND_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
