"""Redis and Valkey with a replica that has passwords of its own, with redis-py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Final, TypedDict

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from keyturn.integrations.login import Login
from keyturn.integrations.redis import async_connection_class, connection_class
from tests.servers import others
from tests.servers.process import LOCALHOST
from tests.stories.drivers import (
    CONNECT_TIMEOUT_S,
    Driver,
    Fields,
    by_login,
    on_a_loop,
    visiting,
    visiting_on_a_loop,
)
from tests.stories.relay import relaying
from tests.stories.stage import Server
from tests.stories.workers import LogIn

ADMIN: Final = "admin"


class Node:
    """A server's users, changed by one connection of its administrator."""

    def __init__(self, port: int) -> None:
        self._admin = redis.Redis(host=LOCALHOST, port=port, password=ADMIN)

    def admit(self, user: str, *passwords: str) -> None:
        words = (f">{password}" for password in passwords)
        command = ("ACL", "SETUSER", user, "on", "resetpass", *words, "~*", "&*", "+@all")
        self._admin.execute_command(*command)  # type: ignore[no-untyped-call] # redis-py's

    def close(self) -> None:
        self._admin.close()


class Place(TypedDict):
    """Where a pool connects to, and how long it waits."""

    host: str
    port: int
    socket_timeout: float


def _place(fields: Fields) -> Place:
    return {"host": fields["host"], "port": int(fields["port"]), "socket_timeout": CONNECT_TIMEOUT_S}


def _pool() -> Driver:
    """A pool, all connections of which are closed after each command."""

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        pool = redis.ConnectionPool(
            connection_class=connection_class(login), **_place(login.current().fields())
        )
        with redis.Redis.from_pool(pool) as client:

            def once() -> None:
                client.ping()
                pool.disconnect()

            yield once

    def visit(fields: Fields) -> None:
        # redis-py would try a refused login again for seconds.
        retry = Retry(NoBackoff(), 0)
        user, password = fields["username"], fields["password"]
        with redis.Redis(**_place(fields), username=user, password=password, retry=retry) as client:
            client.ping()

    return Driver("redis-py, its pool", by_login(keyturn), visiting(visit))


def _async_pool() -> Driver:
    """The same on an event loop."""
    from redis.asyncio.retry import Retry as AsyncRetry

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        kind = async_connection_class(login)
        pool = redis.asyncio.ConnectionPool(connection_class=kind, **_place(login.current().fields()))

        async def once() -> None:
            await redis.asyncio.Redis(connection_pool=pool).ping()
            await pool.disconnect()

        with on_a_loop(once) as log_in:
            yield log_in

    async def visit(fields: Fields) -> None:
        retry = AsyncRetry(NoBackoff(), 0)
        user, password = fields["username"], fields["password"]
        client = redis.asyncio.Redis(**_place(fields), username=user, password=password, retry=retry)
        async with client:
            await client.ping()

    return Driver("redis-py, its pool for asyncio", by_login(keyturn), visiting_on_a_loop(visit))


@contextmanager
def _server(title: str) -> Iterator[Server]:
    """A primary and a replica at one address."""
    start = others.redis if title == "Redis" else others.valkey
    options = ["--requirepass", ADMIN, "--masterauth", ADMIN]
    with (
        start(*options) as primary,
        start(*options, "--replicaof", f"{LOCALHOST} {primary}") as replica,
        relaying([primary, replica]) as relay,
        ExitStack() as stack,
    ):
        nodes = [stack.enter_context(closing(Node(port))) for port in (primary, replica)]
        place: dict[str, str | int] = {"host": LOCALHOST, "port": relay.port}
        yield Server(place, nodes, [_pool(), _async_pool()], relay.switch)


class ClusterNodes:
    """The nodes of a cluster as one, since none copies users from another."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes

    def admit(self, user: str, *passwords: str) -> None:
        for node in self._nodes:
            node.admit(user, *passwords)


def _cluster() -> Driver:
    """A cluster's client, all connections of which are closed after some commands for every node."""

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        fields, kind = login.current().fields(), connection_class(login)
        url = f"redis://{fields['host']}:{fields['port']}"
        with redis.RedisCluster.from_url(url, connection_class=kind) as client:

            def once() -> None:
                _ask_every_node(client)
                client.disconnect_connection_pools()

            yield once

    def visit(fields: Fields) -> None:
        user, password = fields["username"], fields["password"]
        with redis.RedisCluster(**_place(fields), username=user, password=password) as client:
            _ask_every_node(client)

    return Driver("RedisCluster", by_login(keyturn), visiting(visit))


def _ask_every_node(client: redis.RedisCluster) -> None:
    for node in client.get_nodes():  # type: ignore[no-untyped-call] # annotated in part
        node.redis_connection.ping()


@contextmanager
def cluster_server() -> Iterator[Server]:
    """A cluster of three Valkey servers."""
    with others.valkey_cluster(ADMIN) as ports, ExitStack() as stack:
        nodes = [stack.enter_context(closing(Node(port))) for port in ports]
        yield Server({"host": LOCALHOST, "port": ports[0]}, [ClusterNodes(nodes)], [_cluster()])


def redis_server() -> AbstractContextManager[Server]:
    """Redis."""
    return _server("Redis")


def valkey_server() -> AbstractContextManager[Server]:
    """Valkey."""
    return _server("Valkey")
