"""The server's process: its sockets, the caches behind it, and its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import uvicorn

from keyturn.assembly import roles_of, secrets_manager
from keyturn.aws.clients import SECRETS_TIMEOUTS_S, ClientFactory, make_client
from keyturn.aws.secretsmanager import VersionSource
from keyturn.runtime.host import SYSTEM_CLOCK
from keyturn.runtime.loops import loop_sleep
from keyturn.serve import descriptors
from keyturn.serve.allowing import AllowList
from keyturn.serve.app import make_app
from keyturn.serve.connection import factory
from keyturn.serve.gate import Gate, Patience
from keyturn.serve.guard import REQUEST_BYTES_MAX, Guard
from keyturn.serve.readiness import Readiness
from keyturn.serve.reading import Reader
from keyturn.serve.sockets import QUEUE, accepted_in_a_row, loopback_sockets, unix_socket
from keyturn.serve.tokens import Token
from keyturn.settings.environment import KeyturnSettings

if TYPE_CHECKING:
    from keyturn.aws.secretsmanager import SecretsManagerClient

log = logging.getLogger("keyturn.serve")

ENDINGS: Final = (signal.SIGTERM, signal.SIGINT)

IDLE_S, ENDING_S = 60, 10
"""Seconds that a connection may be idle, and seconds that open requests may take after the end signal."""

TICK_S: Final = 0.1
"""Seconds between two looks at the clock of the connections."""


TOLD_EVERY_S: Final = 10.0
"""Seconds between two lines of the log about connections that were closed for the same reason."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`connections` may be at work at the same time, and `threads` reads may wait for AWS."""

    connections: int = 800
    threads: int = 32


@dataclass(frozen=True, slots=True)
class Tcp:
    """A port of the loopback interface, and the token that callers must send."""

    port: int
    token: Token


@dataclass(frozen=True, slots=True)
class Unix:
    """The path of a unix socket, the users that may call, and the token if they must send one, too."""

    path: Path
    uids: frozenset[int] = field(default_factory=lambda: frozenset({os.geteuid()}))
    token: Token | None = None


def serve(
    where: Tcp | Unix,
    settings: KeyturnSettings,
    limits: ConnectionLimits,
    *,
    allowed: AllowList | None = None,
    preload: Sequence[str] = (),
    each_tick: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, answer the open requests, and let the signal end the process.

    `settings` are those of the cache behind the server. It is ready when each secret of `preload` was read.
    `each_tick` is called ten times a second. Raises `ConfigurationError` if the server cannot start, for
    example for a port in use or a missing Region.
    """
    places = descriptors.provide(limits.connections, limits.threads)
    with (
        _deferred_signals() as raised,
        # A Ctrl-C could be lost in botocore, which turns many an exception into another.
        nullcontext(_secrets_manager_client()) as client,
        _listening(where) as sockets,
        settings.cache(client) as cache,
        settings.cache_of_versions(
            secrets_manager(client, ClientFactory(), roles_of(None), VersionSource)
        ) as versions,
    ):
        reader = Reader(cache, versions, threads=limits.threads, allowed=allowed)
        readiness = Readiness(reader, preload, loop_sleep)
        guard = Guard(
            make_app(reader, readiness.is_ready),
            token=where.token,
            max_requests=limits.connections,
            has_hosts=isinstance(where, Tcp),
        )
        gate = Gate(places, Patience(), SYSTEM_CLOCK.monotonic)
        server = uvicorn.Server(config(guard, gate, where.uids if isinstance(where, Unix) else None))
        # uvicorn sets them a moment after the first connection may have come.
        server.config.load()
        server.server_state.default_headers = server.config.encoded_headers

        told_s = -TOLD_EVERY_S

        def tick() -> None:
            nonlocal told_s
            gate.expire()
            each_tick()
            if gate.closed and SYSTEM_CLOCK.monotonic() - told_s >= TOLD_EVERY_S:
                told_s = SYSTEM_CLOCK.monotonic()
                tell(gate.closed)
            # A signal that came before uvicorn heeded signals.
            server.should_exit = server.should_exit or bool(raised)

        asyncio.run(_run(server, sockets, tick, readiness))


def tell(closed: Counter[str]) -> None:
    """Log why connections were closed, and how many, and forget it."""
    for why, count in closed.items():
        log.info("%d connections were closed: %s", count, why)
    closed.clear()


@contextmanager
def _listening(where: Tcp | Unix) -> Iterator[list[socket.socket]]:
    if isinstance(where, Unix):
        with unix_socket(where.path, where.uids) as bound:
            log.info("serving on the unix socket %s", where.path)
            yield [bound]
        return
    sockets = loopback_sockets(where.port)
    try:
        if len(sockets) == 1:
            # A host without IPv6 is common; clients that resolve localhost to ::1 then try 127.0.0.1.
            log.info("not served on ::1")
        log.info("serving on http://localhost:%d", sockets[0].getsockname()[1])
        yield sockets
    finally:
        for one in sockets:
            one.close()


async def _run(
    server: uvicorn.Server, sockets: list[socket.socket], tick: Callable[[], None], readiness: Readiness
) -> None:
    loop = asyncio.get_running_loop()
    has_queues = False
    next_one: asyncio.TimerHandle

    def again() -> None:
        nonlocal next_one, has_queues
        next_one = loop.call_later(TICK_S, again)
        if server.started and not has_queues:
            has_queues = True
            for one in sockets:
                # asyncio has set it to the number of connections that it accepts in a row.
                one.listen(QUEUE)
        tick()

    next_one = loop.call_later(TICK_S, again)
    reading = loop.create_task(readiness.read())
    try:
        await server.serve(sockets)
    finally:
        reading.cancel()
        next_one.cancel()


@contextmanager
def _deferred_signals() -> Iterator[list[int]]:
    """Let a signal that ended the server end the process only after what is inside was closed.

    uvicorn raises it again at its own end, which is before the caches are closed. Yields the signals so far.
    """
    raised: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield raised
        return
    before = {one: signal.signal(one, lambda number, _: raised.append(number)) for one in ENDINGS}
    try:
        yield raised
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    for number in raised:
        signal.raise_signal(number)


def _secrets_manager_client() -> SecretsManagerClient:
    return cast("SecretsManagerClient", make_client("secretsmanager", SECRETS_TIMEOUTS_S))


def config(guard: Guard, gate: Gate, uids: frozenset[int] | None) -> uvicorn.Config:
    """Return uvicorn's settings.

    h11 bounds the part of an unfinished request that it keeps. keyturn writes the log itself, and wants only
    errors of uvicorn's own loggers. No header names the server, and no answer may be stored.
    """
    return uvicorn.Config(
        guard,
        http=cast("type[asyncio.Protocol]", factory(gate, uids)),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=[("Cache-Control", "no-store")],
        backlog=accepted_in_a_row(gate.places),
        h11_max_incomplete_event_size=REQUEST_BYTES_MAX,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=ENDING_S,
    )
