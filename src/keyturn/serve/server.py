"""The server's process: sockets on the loopback interface alone, the caches behind it, its end."""

from __future__ import annotations

import socket
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

BACKLOG: Final = 128
"""Connections that wait to be taken."""

IDLE_S, ENDING_S = 60, 10
"""How long a connection may be idle, and how long answers under way may take when the server is ended."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`connections` at the same time; `threads`: reads at the same time that wait for AWS."""

    connections: int = 800
    threads: int = 32


def serve(port: int, token: str, settings: KeyturnSettings, limits: ConnectionLimits) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way; the signal ends the process.

    `settings` are those of the cache behind it. Raises `ConfigurationError` if it cannot begin: a port
    in use, no Region.
    """
    client = _secrets_manager_client()
    sockets = loopback_sockets(port)
    by_id = VersionSource(lambda: client)
    with settings.cache(client) as cache, settings.cache_of_versions(by_id) as versions:
        guard = Guard(
            make_app(Reader(cache, versions, threads=limits.threads)),
            token=token,
            connections=lambda: len(server.server_state.connections),
            max_connections=limits.connections,
        )
        server = uvicorn.Server(_config(guard))
        log.info("serving on http://localhost:%d", sockets[0].getsockname()[1])
        server.run(sockets)


def loopback_sockets(port: int) -> list[socket.socket]:
    """Sockets that listen on 127.0.0.1 and, where there is IPv6, ::1; port 0 takes a free one.

    What they send cannot leave the host: a packet may go one hop. `ConfigurationError` if the port is
    not to be had. There is no way to bind to another interface.
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
    # With its protocol named, asyncio sets TCP_NODELAY; else each answer waits for a delayed ACK, 40 ms.
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
    from botocore.exceptions import BotoCoreError

    try:
        return cast("SecretsManagerClient", make_client("secretsmanager", SECRETS_TIMEOUTS_S))
    except BotoCoreError as error:
        raise ConfigurationError(f"no client for Secrets Manager: {error}") from error


def _config(guard: Guard) -> uvicorn.Config:
    """h11 bounds what it keeps of an unfinished request; the log is our own; nobody is told what serves."""
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
