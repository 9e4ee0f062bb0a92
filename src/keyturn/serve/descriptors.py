"""The number of file descriptors that this process may have, and that it needs."""

from __future__ import annotations

import sys
from typing import Final

from keyturn.errors import ConfigurationError
from keyturn.serve.gate import RESERVE_MAX, RESERVE_MIN
from keyturn.serve.sockets import ACCEPTED_MAX

OWN: Final = 64
"""Log, listening sockets, event loop, and the clients' idle connections to AWS."""

PER_THREAD: Final = 2
"""A read that waits for AWS has a connection, and perhaps one to the name server."""

PER_SOCKET: Final = ACCEPTED_MAX
"""asyncio accepts so many connections in a row before one of them can be closed."""

SOCKETS: Final = 2
"""The server listens on 127.0.0.1 and ::1."""


def needed(places: int, threads: int) -> int:
    """Return the number of descriptors that a server can use with so many open connections."""
    return places + PER_THREAD * threads + PER_SOCKET * SOCKETS + OWN


def provide(connections: int, threads: int) -> int:
    """Return the number of connections that may be open, and raise this process's own limit if it is lower.

    At the limit of the system the server would accept nothing, not even a health check. Raises
    `ConfigurationError` if it does not allow so many connections and a reserve.
    """
    most, least = connections + RESERVE_MAX, connections + RESERVE_MIN
    limit = _raised(needed(most, threads))
    fitting = limit - needed(0, threads)
    if fitting >= least:
        return min(fitting, most)
    largest = fitting - RESERVE_MIN
    advice = f"--max-connections {largest}" if largest > 0 else "fewer --threads"
    raise ConfigurationError(
        f"{connections} connections need {needed(least, threads)} file descriptors, and this process may "
        f"have {limit}: raise the limit (ulimit -n, LimitNOFILE=), or give {advice}"
    )


def _raised(wanted: int) -> int:
    """Return the limit of this process, after it was raised to `wanted`, or as far as the system allows."""
    if sys.platform == "win32":
        return wanted
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in allowed)
    raised = min(wanted, hard)
    if soft >= raised:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, allowed[1]))
    except (OSError, ValueError):
        return soft
    return raised
