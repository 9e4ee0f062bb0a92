"""Redis behind Sentinel, and a cluster of three Valkey servers, through a rotation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import redis
import redis.asyncio
from redis.asyncio import sentinel as aio
from redis.exceptions import RedisClusterException
from redis.sentinel import Sentinel, SentinelManagedConnection

from keyturn.integrations.redis import CurrentCredentials, async_connection_class, connection_class
from keyturn.testing.embedded import free_port
from tests.servers import others
from tests.servers.conftest import RealAccount
from tests.servers.process import LOCALHOST, folder_for, make_certificate

pytestmark = pytest.mark.e2e

ADMIN = "admin"
STORE = "store"
PATIENCE_S = 20
KEYS = [f"key-{number}" for number in range(12)]
"""Enough that each node of the cluster has some."""


class Group(NamedTuple):
    """A Sentinel and the two servers that it watches: their ports."""

    sentinel: int
    primary: int
    replica: int


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    late_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < late_s
        time.sleep(0.05)


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    """A primary and a replica under one Sentinel, which knows of both."""
    options = ["--requirepass", ADMIN, "--masterauth", ADMIN]
    with (
        others.redis(*options) as primary,
        others.redis(*options, "--replicaof", f"{LOCALHOST} {primary}") as replica,
        others.sentinel(STORE, primary, ADMIN) as sentinel,
        redis.Redis(host=LOCALHOST, port=sentinel) as watching,
    ):
        eventually(lambda: len(watching.sentinel_slaves(STORE)) == 1)
        yield Group(sentinel, primary, replica)


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[int]]:
    """The ports of a cluster of three Valkey servers."""
    with others.valkey_cluster(ADMIN) as ports:
        yield ports


def admit(ports: list[int], *passwords: str) -> None:
    """Let the user `app` in with these passwords, on each of the servers. None copies users from another."""
    for port in ports:
        with redis.Redis(host=LOCALHOST, port=port, password=ADMIN) as admin:
            words = (f">{password}" for password in passwords)
            admin.execute_command("ACL", "SETUSER", "app", "on", "resetpass", *words, "~*", "&*", "+@all")


def refusals(ports: list[int]) -> list[object]:
    """What the servers have logged of refused logins since `account` was called."""
    found: list[object] = []
    for port in ports:
        with redis.Redis(host=LOCALHOST, port=port, password=ADMIN) as admin:
            found += admin.acl_log()
    return found


def account(*ports: int) -> RealAccount:
    """The user `app` of these servers, whose password is `one`."""
    made = RealAccount({"username": "app"}, set_password=lambda word: admit(list(ports), word))
    made.set_password("one")
    for port in ports:
        with redis.Redis(host=LOCALHOST, port=port, password=ADMIN) as admin:
            admin.acl_log_reset()
    return made


def fail_over(group: Group) -> int:
    """Let the replica take over, and return the port of the new primary."""
    with redis.Redis(host=LOCALHOST, port=group.sentinel) as watching:

        def primary() -> int:
            # As redis-py asks. Sentinel's own command names the new one earlier.
            return int(watching.sentinel_masters()[STORE]["port"])

        before = primary()
        # It refuses while it does not yet know of the replica that the last one left.
        eventually(lambda: _has_begun(watching))
        eventually(lambda: primary() != before)
        port = primary()
    with redis.Redis(host=LOCALHOST, port=port, password=ADMIN) as admin:
        eventually(lambda: admin.info("replication")["role"] == "master")
    return port


def _has_begun(watching: redis.Redis) -> bool:
    try:
        watching.execute_command("SENTINEL", "FAILOVER", STORE)  # type: ignore[no-untyped-call] # redis-py's
    except redis.ResponseError:
        return False
    return True


@contextmanager
def clients_by_sentinel(group: Group, app: RealAccount) -> Iterator[tuple[redis.Redis, redis.Redis]]:
    """Clients of the primary and of the replica."""
    sentinel = Sentinel([(LOCALHOST, group.sentinel)])  # type: ignore[no-untyped-call] # redis-py's
    kind = connection_class(app.login, SentinelManagedConnection)
    with (
        sentinel.master_for(STORE, connection_class=kind) as primary,  # type: ignore[no-untyped-call] # redis-py's
        sentinel.slave_for(STORE, connection_class=kind) as replica,  # type: ignore[no-untyped-call] # redis-py's
    ):
        yield primary, replica


def test_sentinel_through_a_rotation(group: Group) -> None:
    """Primary and replica are logged in to in the window; so is the server that takes over meanwhile."""
    app = account(group.primary, group.replica)
    with clients_by_sentinel(group, app) as (primary, replica):
        assert ["app", "app"] == [primary.acl_whoami(), replica.acl_whoami()]
        app.open_window()
        for client in (primary, replica):
            client.connection_pool.disconnect()
        assert ["app", "app"] == [primary.acl_whoami(), replica.acl_whoami()]
        port = fail_over(group)
        primary.connection_pool.disconnect()
        assert ("app", port) == (primary.acl_whoami(), primary.info("server")["tcp_port"])
        app.finish("v2")
        primary.connection_pool.disconnect()
        assert primary.set("written", "after the rotation")


def test_async_sentinel_through_a_rotation(group: Group) -> None:
    """The same on an event loop."""
    app = account(group.primary, group.replica)

    async def run() -> None:
        sentinel = aio.Sentinel([(LOCALHOST, group.sentinel)])  # type: ignore[no-untyped-call] # redis-py's
        kind = async_connection_class(app.login, aio.SentinelManagedConnection)
        primary = sentinel.master_for(STORE, connection_class=kind)
        replica = sentinel.slave_for(STORE, connection_class=kind)
        async with primary, replica:
            assert ["app", "app"] == [await primary.acl_whoami(), await replica.acl_whoami()]
            app.open_window()
            for client in (primary, replica):
                await client.connection_pool.disconnect()
            assert ["app", "app"] == [await primary.acl_whoami(), await replica.acl_whoami()]
            port = await asyncio.to_thread(fail_over, group)
            await primary.connection_pool.disconnect()
            assert port == (await primary.info("server"))["tcp_port"]
            app.finish("v2")
            await primary.connection_pool.disconnect()
            assert await primary.set("written", "after the rotation")
        for watching in sentinel.sentinels:
            await watching.aclose()

    asyncio.run(run())


def test_a_replica_with_another_password(group: Group) -> None:
    """What one server refuses is not held against the other: each gets the password that it takes."""
    app = account(group.primary, group.replica)
    with clients_by_sentinel(group, app) as (primary, replica):
        port = primary.info("server")["tcp_port"]
        app.store("two", "v2", "AWSPENDING")
        admit([port], "two")
        for _ in range(3):
            for client in (primary, replica):
                client.connection_pool.disconnect()
            assert ["app", "app"] == [primary.acl_whoami(), replica.acl_whoami()]


def nodes_of(client: redis.RedisCluster) -> list[redis.Redis]:
    """The clients of the nodes."""
    nodes = [node.redis_connection for node in client.get_nodes()]  # type: ignore[no-untyped-call] # annotated in part
    assert 3 == len(nodes)
    return nodes


def all_keys(client: redis.RedisCluster) -> list[object]:
    """Read the keys of every node by new connections."""
    for node in nodes_of(client):
        node.connection_pool.disconnect()
    return [client.get(key) for key in KEYS]


def test_a_cluster_through_a_rotation(cluster: list[int]) -> None:
    """By a class of connections each node is logged in to in the window, also by a new client."""
    app = account(*cluster)
    url, kind = f"redis://{LOCALHOST}:{cluster[0]}", connection_class(app.login)
    with redis.RedisCluster.from_url(url, connection_class=kind) as client:
        for key in KEYS:
            client.set(key, "value")
        assert ["app"] * 3 == [node.acl_whoami() for node in nodes_of(client)]
        app.open_window()
        assert [b"value"] * len(KEYS) == all_keys(client)
        with redis.RedisCluster.from_url(url, connection_class=kind) as another:
            assert [b"value"] * len(KEYS) == all_keys(another)
        app.finish("v2")
        assert [b"value"] * len(KEYS) == all_keys(client)


def test_a_cluster_whose_nodes_have_changed_one_by_one(cluster: list[int]) -> None:
    """setSecret stopped after the first node: each node gets the password that it takes."""
    app = account(*cluster)
    url, kind = f"redis://{LOCALHOST}:{cluster[0]}", connection_class(app.login)
    with redis.RedisCluster.from_url(url, connection_class=kind) as client:
        for key in KEYS:
            client.set(key, "value")
        app.store("two", "v2", "AWSPENDING")
        for number in range(len(cluster)):
            admit(cluster[: number + 1], "two")
            assert [b"value"] * len(KEYS) == all_keys(client)


def test_a_cluster_with_tls() -> None:
    """The class brings TLS. A URL that asks for TLS brings a class of redis-py's own, which has no secret."""
    with folder_for("tls") as folder:
        certificate, key = make_certificate(folder)
        for file in (folder, certificate, key):
            file.chmod(0o755)
        port = free_port()
        words = [
            *("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
            *("--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no", "--tls-cluster", "yes"),
            *("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--requirepass", ADMIN),
        ]
        with others.redis(*words) as clear, redis.Redis(host=LOCALHOST, port=clear, password=ADMIN) as admin:
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            eventually(lambda: admin.cluster("INFO")["cluster_state"] == "ok")
            app = account(clear)
            app.open_window()
            kind = connection_class(app.login, redis.SSLConnection)
            given = {"connection_class": kind, "ssl_ca_certs": str(certificate)}
            with redis.RedisCluster.from_url(f"redis://{LOCALHOST}:{port}", **given) as client:
                assert client.set("key", "value")
                (node,) = client.get_nodes()
                assert "app" == node.redis_connection.acl_whoami()
            with pytest.raises(RedisClusterException, match="HELLO must be called"):
                redis.RedisCluster.from_url(f"rediss://{LOCALHOST}:{port}", **given)


def test_a_cluster_with_two_passwords(cluster: list[int]) -> None:
    """`CurrentCredentials` log in by AWSCURRENT; with two passwords nothing is refused in a rotation."""
    app = account(*cluster)
    credentials = CurrentCredentials(app.login)
    with redis.RedisCluster(host=LOCALHOST, port=cluster[0], credential_provider=credentials) as client:
        for key in KEYS:
            client.set(key, "value")
        admit(cluster, "two", "one")
        app.store("two", "v2", "AWSPENDING")
        assert [b"value"] * len(KEYS) == all_keys(client)
        app.finish("v2")
        assert [b"value"] * len(KEYS) == all_keys(client)
        admit(cluster, "two")
        assert [b"value"] * len(KEYS) == all_keys(client)
    assert [] == refusals(cluster)


def test_an_async_cluster_with_two_passwords(cluster: list[int]) -> None:
    """The same on an event loop, by connections that are new each time."""
    app = account(*cluster)

    async def run() -> None:
        credentials = CurrentCredentials(app.login)
        client = redis.asyncio.RedisCluster(host=LOCALHOST, port=cluster[0], credential_provider=credentials)
        async with client:
            for passwords, version_id in ((("two", "one"), "v2"), (("three", "two"), "v3")):
                admit(cluster, *passwords)
                app.store(passwords[0], version_id, "AWSPENDING")
                app.finish(version_id)
                for node in client.get_nodes():
                    await node.disconnect()
                for key in KEYS:
                    assert await client.set(key, "value")

    asyncio.run(run())
    assert [] == refusals(cluster)
