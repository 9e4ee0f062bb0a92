"""The number of file descriptors that this process may have, and that it needs."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Final

from keyturn.errors import ConfigurationError
from keyturn.serve.gate import RESERVE
from keyturn.serve.sockets import BACKLOG

OWN: Final = 64
"""Log, listening sockets, event loop, and the clients' idle connections to AWS."""

PER_THREAD: Final = 2
"""A read that waits for AWS has a connection, and perhaps one to the name server."""

PER_SOCKET: Final = BACKLOG
"""asyncio accepts so many connections in a row before one of them can be closed."""


def needed(connections: int, threads: int, sockets: int = 2) -> int:
    """Return the number of descriptors that a server with these limits can use."""
    return connections + RESERVE + PER_THREAD * threads + PER_SOCKET * sockets + OWN


def provide(connections: int, threads: int) -> None:
    """Raise this process's limit to what is needed, if it is lower.

    Without it the server would accept nothing at the limit, not even a health check. Raises
    `ConfigurationError` if the system does not allow it.
    """
    if sys.platform == "win32":
        return
    import resource

    wanted = needed(connections, threads)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in allowed)
    if soft >= wanted:
        return
    if hard >= wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, allowed[1]))
            return
        hard = soft
    fitting = hard - needed(0, threads)
    advice = f"--max-connections {fitting}" if fitting > 0 else "fewer --threads"
    raise ConfigurationError(
        f"{connections} connections need {wanted} file descriptors, and this process may have {hard}: "
        f"raise the limit (ulimit -n, LimitNOFILE=), or give {advice}"
    )
