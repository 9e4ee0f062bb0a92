"""The server's process: its sockets on the loopback interface, the caches behind it, and its end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import uvicorn

from keyturn.aws.clients import SECRETS_TIMEOUTS_S, make_client
from keyturn.aws.secretsmanager import VersionSource
from keyturn.errors import ConfigurationError
from keyturn.serve.app import make_app
from keyturn.serve.guard import REQUEST_BYTES_MAX, Guard, log
from keyturn.serve.reading import Reader
from keyturn.settings.environment import KeyturnSettings

if TYPE_CHECKING:
    from keyturn.aws.secretsmanager import SecretsManagerClient

ENDINGS: Final = (signal.SIGTERM, signal.SIGINT)

BACKLOG: Final = 128
"""The number of connections that may wait to be accepted."""

IDLE_S, ENDING_S = 60, 10
"""Seconds that a connection may be idle, and seconds that open requests may take after the end signal."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`connections` may be open at the same time, and `threads` reads may wait for AWS at the same time."""

    connections: int = 800
    threads: int = 32


def serve(port: int, token: str, settings: KeyturnSettings, limits: ConnectionLimits) -> None:
    """Serve until SIGTERM or SIGINT, answer the open requests, and let the signal end the process.

    `settings` are those of the cache behind the server. Raises `ConfigurationError` if the server cannot
    start, for example for a port in use or a missing Region.
    """
    client = _secrets_manager_client()
    sockets = loopback_sockets(port)
    by_id = VersionSource(lambda: client)
    with _deferred_signals(), settings.cache(client) as cache, settings.cache_of_versions(by_id) as versions:
        guard = Guard(
            make_app(Reader(cache, versions, threads=limits.threads)),
            token=token,
            connections=lambda: len(server.server_state.connections),
            max_connections=limits.connections,
        )
        server = uvicorn.Server(_config(guard))
        log.info("serving on http://localhost:%d", sockets[0].getsockname()[1])
        server.run(sockets)


@contextmanager
def _deferred_signals() -> Iterator[None]:
    """Let a signal that ended the server end the process only after what is inside was closed.

    uvicorn raises it again at its own end, which is before the caches are closed.
    """
    raised: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, lambda number, _: raised.append(number)) for one in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in raised:
        signal.raise_signal(number)


def loopback_sockets(port: int) -> list[socket.socket]:
    """Return sockets that listen on 127.0.0.1 and, where there is IPv6, ::1. Port 0 takes a free port.

    Their packets may go one hop, so they cannot leave the host. There is no way to bind to another interface.
    Raises `ConfigurationError` if the port is not available.
    """
    first = _bound(socket.AF_INET, "127.0.0.1", port)
    bound = [first]
    if socket.has_ipv6:
        try:
            bound.append(_bound(socket.AF_INET6, "::1", first.getsockname()[1]))
        except ConfigurationError:
            # A host without IPv6 is common; clients that resolve localhost to ::1 then try 127.0.0.1.
            log.info("not served on ::1")
    return bound


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    # With this protocol named, asyncio sets TCP_NODELAY. Otherwise each answer waits 40 ms for a delayed ACK.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        made.bind((address, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise ConfigurationError(f"cannot serve on port {port} of {address}: {error.strerror}") from error
    return made


def _secrets_manager_client() -> SecretsManagerClient:
    return cast("SecretsManagerClient", make_client("secretsmanager", SECRETS_TIMEOUTS_S))


def _config(guard: Guard) -> uvicorn.Config:
    """Return uvicorn's settings.

    h11 bounds the part of an unfinished request that it keeps. keyturn writes the log itself. No header names
    the server.
    """
    return uvicorn.Config(
        guard,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=REQUEST_BYTES_MAX,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=ENDING_S,
    )
