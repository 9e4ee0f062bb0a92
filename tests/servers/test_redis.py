"""Redis and Valkey through a rotation: pools, tokens without a user name, and bases that would not log in."""

from __future__ import annotations

import asyncio

import pytest
import redis
import redis.asyncio
import valkey  # type: ignore[import-not-found,unused-ignore] # of the group `servers`
import valkey.asyncio  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

from keyturn import ConfigurationError, LoginRefusedError, Peers, SecretCache
from keyturn.integrations.login import Login
from keyturn.integrations.redis import CurrentCredentials, async_connection_class, connection_class
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.servers import others
from tests.servers.conftest import RealAccount
from tests.servers.process import LOCALHOST

pytestmark = pytest.mark.e2e


def test_a_pool_in_the_window(redis_account: RealAccount, key_store: int) -> None:
    """A new connection is opened with AWSPENDING, and the one that is open works on."""
    kind = connection_class(redis_account.login)
    pool = redis.ConnectionPool(connection_class=kind, host=LOCALHOST, port=key_store)
    with redis.Redis.from_pool(pool) as client:
        before = client.client_id()
        redis_account.open_window()
        assert before == client.client_id()
        pool.disconnect()
        assert redis_account.fields["username"] == client.acl_whoami()


def test_superseded_connections_retire(redis_account: RealAccount, key_store: int) -> None:
    """With `reconnect` a pooled connection logs in anew once AWSCURRENT has moved."""
    kind = connection_class(redis_account.login, superseded="reconnect")
    pool = redis.ConnectionPool(connection_class=kind, host=LOCALHOST, port=key_store)
    with redis.Redis.from_pool(pool) as client:
        before = client.client_id()
        redis_account.open_window()
        assert before == client.client_id()
        redis_account.finish("v2")
        after = client.client_id()
        assert before != after
        assert after == client.client_id()


def test_superseded_async_connections_retire(redis_account: RealAccount, key_store: int) -> None:
    """The same on an event loop."""

    async def run() -> None:
        kind = async_connection_class(redis_account.login, superseded="reconnect")
        pool = redis.asyncio.ConnectionPool(connection_class=kind, host=LOCALHOST, port=key_store)
        client = redis.asyncio.Redis.from_pool(pool)
        before = await client.client_id()
        redis_account.open_window()
        assert before == await client.client_id()
        redis_account.finish("v2")
        after = await client.client_id()
        assert before != after
        assert after == await client.client_id()
        await client.aclose()

    asyncio.run(run())


def test_superseded_connections_authenticate_anew(redis_account: RealAccount, key_store: int) -> None:
    """With `reauthenticate` the session stays, and logs in anew once AWSCURRENT has moved."""
    kind = connection_class(redis_account.login, superseded="reauthenticate")
    pool = redis.ConnectionPool(connection_class=kind, host=LOCALHOST, port=key_store)
    with redis.Redis.from_pool(pool) as client:
        before = client.client_id()
        redis_account.rotate()
        sent = authentications(key_store)
        assert before == client.client_id() == client.client_id()
        assert sent + 1 == authentications(key_store)
        redis_account.store("three", "v3", "AWSCURRENT")
        redis_account.clock.advance(301)
        # The server refuses v3, and takes v2 still: the login goes on to it by a new connection.
        after = client.client_id()
        assert before != after == client.client_id()


def test_superseded_async_connections_authenticate_anew(redis_account: RealAccount, key_store: int) -> None:
    """The same on an event loop."""

    async def run() -> None:
        kind = async_connection_class(redis_account.login, superseded="reauthenticate")
        pool = redis.asyncio.ConnectionPool(connection_class=kind, host=LOCALHOST, port=key_store)
        client = redis.asyncio.Redis.from_pool(pool)
        before = await client.client_id()
        redis_account.rotate()
        sent = authentications(key_store)
        assert before == await client.client_id()
        assert before == await client.client_id()
        assert sent + 1 == authentications(key_store)
        await client.aclose()

    asyncio.run(run())


def authentications(port: int) -> int:
    """Return how many AUTH commands the server has run, those of HELLO left out."""
    with redis.Redis(host=LOCALHOST, port=port, password="admin", decode_responses=True) as admin:
        told = admin.info("commandstats")
    return int(told.get("cmdstat_auth", {}).get("calls", 0))


def test_a_session_that_was_killed_logs_in_anew(redis_account: RealAccount, key_store: int) -> None:
    """A rotation that ends the user's sessions ends no client: the next command logs in anew."""
    kind = connection_class(redis_account.login)
    pool = redis.ConnectionPool(connection_class=kind, host=LOCALHOST, port=key_store)
    with redis.Redis.from_pool(pool) as client:
        client.ping()
        redis_account.open_window()
        with redis.Redis(host=LOCALHOST, port=key_store, password="admin") as admin:
            admin.execute_command("CLIENT", "KILL", "USER", str(redis_account.fields["username"]))
        assert redis_account.fields["username"] == client.acl_whoami()


def test_pub_sub_logs_in_by_the_secret(redis_account: RealAccount, key_store: int) -> None:
    """A subscription in the window is opened with AWSPENDING."""
    redis_account.open_window()
    kind = connection_class(redis_account.login)
    pool = redis.ConnectionPool(connection_class=kind, host=LOCALHOST, port=key_store)
    with redis.Redis.from_pool(pool) as client, client.pubsub() as channel:
        channel.subscribe("news")
        message = channel.get_message(timeout=5)
        assert message is not None
        assert "subscribe" == message["type"]


def kill_sessions(account: RealAccount, port: int) -> None:
    """End all sessions of the user, as a rotation may do that lets no session of an old password go on."""
    with redis.Redis(host=LOCALHOST, port=port, password="admin") as admin:
        assert 1 <= admin.execute_command("CLIENT", "KILL", "USER", str(account.fields["username"]))


def publish(port: int, message: str) -> int:
    """Publish a message and return how many connections got it."""
    with redis.Redis(host=LOCALHOST, port=port, password="admin") as admin:
        return int(admin.publish("news", message))


def test_a_subscription_whose_session_was_killed(redis_account: RealAccount, key_store: int) -> None:
    """In the window redis-py tells of the loss once. Then it logs in with AWSPENDING and subscribes anew."""
    pool = redis.ConnectionPool(
        connection_class=connection_class(redis_account.login), host=LOCALHOST, port=key_store
    )
    with redis.Redis.from_pool(pool) as client, client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe("news")
        channel.get_message(timeout=5)
        redis_account.open_window()
        kill_sessions(redis_account, key_store)
        with pytest.raises(redis.ConnectionError):
            channel.get_message(timeout=5)
        channel.get_message(timeout=5)
        assert 1 == publish(key_store, "after the rotation")
        message = channel.get_message(timeout=5)
        assert message is not None
        assert b"after the rotation" == message["data"]


def test_an_async_subscription_whose_session_was_killed(redis_account: RealAccount, key_store: int) -> None:
    """The same on an event loop."""

    async def run() -> None:
        kind = async_connection_class(redis_account.login)
        pool = redis.asyncio.ConnectionPool(connection_class=kind, host=LOCALHOST, port=key_store)
        client = redis.asyncio.Redis.from_pool(pool)
        async with client, client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe("news")
            await channel.get_message(timeout=5)
            redis_account.open_window()
            kill_sessions(redis_account, key_store)
            with pytest.raises(redis.ConnectionError):
                await channel.get_message(timeout=5)
            await channel.get_message(timeout=5)
            assert 1 == publish(key_store, "after the rotation")
            message = await channel.get_message(timeout=5)
            assert message is not None
            assert b"after the rotation" == message["data"]

    asyncio.run(run())


def two_passwords(account: RealAccount, port: int) -> None:
    """Let the server accept the new password beside the old one, and end the rotation."""
    with redis.Redis(host=LOCALHOST, port=port, password="admin") as admin:
        admin.execute_command("ACL", "SETUSER", str(account.fields["username"]), ">two")
    account.store("two", "v2", "AWSPENDING")
    account.finish("v2")


def test_live_connections_are_renewed(redis_account: RealAccount, key_store: int) -> None:
    """`CurrentCredentials.renew` makes a pool's connections authenticate anew, once for each move."""
    credentials = CurrentCredentials(redis_account.login)
    with redis.Redis(host=LOCALHOST, port=key_store, credential_provider=credentials) as client:
        before = client.client_id()
        two_passwords(redis_account, key_store)
        sent = authentications(key_store)
        credentials.renew()
        credentials.renew()
        assert sent + 1 == authentications(key_store)
        assert before == client.client_id()


def test_live_async_connections_are_renewed(redis_account: RealAccount, key_store: int) -> None:
    """The same on an event loop."""

    async def run() -> None:
        credentials = CurrentCredentials(redis_account.login)
        client = redis.asyncio.Redis(host=LOCALHOST, port=key_store, credential_provider=credentials)
        before = await client.client_id()
        two_passwords(redis_account, key_store)
        sent = authentications(key_store)
        await credentials.async_renew()
        assert sent + 1 == authentications(key_store)
        assert before == await client.client_id()
        await client.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("secret", ['{{"password": "{}"}}', "{}", '{{"username": null, "password": "{}"}}'])
def test_a_secret_without_a_user_name(secret: str) -> None:
    """A bare token, or a password without a username, logs in the default user, through a rotation."""
    with others.redis("--requirepass", "one") as port:
        clock = FakeClock()
        secrets = FakeSecretsManager(clock)
        secrets.create("cache/token", secret.format("one"), "v1")
        cache = SecretCache(peers=Peers(source=secrets, clock=clock, sleep=clock.advance))
        kind = connection_class(Login(cache, "cache/token", budget_s=0))
        pool = redis.ConnectionPool(connection_class=kind, host=LOCALHOST, port=port)
        with redis.Redis.from_pool(pool) as client:
            assert "default" == client.acl_whoami()
            client.config_set("requirepass", "two")
            secrets.put("cache/token", secret.format("two"), "v2", "AWSPENDING")
            pool.disconnect()
            assert "default" == client.acl_whoami()
            client.config_set("requirepass", "three")
            pool.disconnect()
            with pytest.raises(LoginRefusedError):
                client.ping()


@pytest.mark.parametrize("base", [valkey.Connection, valkey.SSLConnection, valkey.asyncio.Connection, object])
def test_a_base_that_would_log_in_as_somebody_else_is_refused(redis_account: RealAccount, base: type) -> None:
    """A class that keyturn's login is no part of is refused at once, and connects nowhere as `default`."""
    for made in (connection_class, async_connection_class):
        with pytest.raises(ConfigurationError, match="without the secret"):
            made(redis_account.login, base)
