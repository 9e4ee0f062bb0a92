"""redis-py: connections that authenticate by login, against a server that takes one password."""

from __future__ import annotations

import asyncio
import gc
import socketserver
from collections.abc import Iterator
from weakref import WeakSet

import pytest
import redis
import redis.asyncio
from redis.auth.token import TokenInterface

from keyturn import LoginRefusedError
from keyturn.integrations.redis import CurrentCredentials, async_connection_class, connection_class
from tests.integrations.conftest import Account
from tests.serving import answering


class Talk(socketserver.StreamRequestHandler):
    """As much of the protocol as a client needs to log in and say PING."""

    def handle(self) -> None:
        self.is_in = False
        while command := self.command():
            self.wfile.write(self.answer([word.upper() for word in command[:1]] + command[1:]))

    def command(self) -> list[str]:
        header = self.rfile.readline().strip()
        words = []
        for _ in range(int(header[1:] or 0)):
            length = int(self.rfile.readline()[1:])
            words.append(self.rfile.read(length + 2)[:-2].decode())
        return words

    def answer(self, command: list[str]) -> bytes:
        server = self.server
        assert isinstance(server, Server)
        if "AUTH" in command:
            at = command.index("AUTH")
            server.tried.append(command[at + 2])
            self.is_in = command[at + 1 : at + 3] == ["app", server.password]
            if not self.is_in:
                return b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
            return b"+OK\r\n" if at == 0 else b"%1\r\n+proto\r\n:3\r\n"
        if not self.is_in:
            return b"-NOAUTH Authentication required.\r\n"
        return b"+PONG\r\n" if command[0] == "PING" else b"+OK\r\n"


class Server(socketserver.ThreadingTCPServer):
    """Notes each password that it was given."""

    daemon_threads = True
    password = "one"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Talk)
        self.tried: list[str] = []

    @property
    def port(self) -> int:
        address = self.server_address
        assert isinstance(address, tuple)
        return int(address[1])


@pytest.fixture
def server() -> Iterator[Server]:
    """The server, on a free port."""
    server = Server()
    with answering(server):
        yield server


@pytest.fixture
def account(server: Server) -> Account:
    """An account of that server, in the window."""
    account = Account({"username": "app"})
    account.store("two", "v2", "AWSPENDING")
    server.password = "two"
    return account


def connected(server: Server, account: Account, protocol: int = 3) -> redis.Redis:
    """A client whose pool is empty."""
    kind = connection_class(account.login)
    pool = redis.ConnectionPool(connection_class=kind, host="127.0.0.1", port=server.port, protocol=protocol)
    return redis.Redis.from_pool(pool)


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_connection_in_the_window(server: Server, account: Account, protocol: int) -> None:
    """AWSCURRENT is refused, AWSPENDING goes through; the next connection goes straight to it."""
    for tried in (["one", "two"], ["two"]):
        server.tried.clear()
        client = connected(server, account, protocol=protocol)
        assert client.ping()
        client.close()
        assert tried == server.tried


def test_a_lost_connection_logs_in_again(server: Server, account: Account) -> None:
    """A connection of the pool that was lost comes back with the version accepted by then."""
    server.password = "one"
    client = connected(server, account)
    assert client.ping()
    server.password = "two"
    client.connection_pool.disconnect()
    assert client.ping()
    assert ["one", "one", "two"] == server.tried
    client.close()


def test_a_refused_login_is_told(server: Server, account: Account) -> None:
    """No version is accepted: the error names them."""
    server.password = "three"
    client = connected(server, account)
    with pytest.raises(LoginRefusedError, match=r"version v1 .* version v2 "):
        client.ping()
    client.close()


def test_an_open_connection_proves_nothing(server: Server, account: Account) -> None:
    """Used while AWSCURRENT is already what the server refuses: the next one goes back to what worked."""
    server.password = "one"
    client = connected(server, account)
    assert client.ping()
    account.finish("v2")
    assert client.ping()
    client.connection_pool.disconnect()
    assert client.ping()
    assert ["one", "two", "one"] == server.tried
    client.close()


def test_an_async_connection_in_the_window(server: Server, account: Account) -> None:
    """The same on an event loop: one refusal, and eight tasks get in; open connections log in no more."""

    async def run() -> list[bool]:
        pool = redis.asyncio.ConnectionPool(
            connection_class=async_connection_class(account.login), host="127.0.0.1", port=server.port
        )
        async with redis.asyncio.Redis.from_pool(pool) as client:
            said = [await client.ping(), await client.ping()]
            return said + await asyncio.gather(*(client.ping() for _ in range(7)))

    assert [True] * 9 == asyncio.run(asyncio.wait_for(run(), 60))
    assert ["one", "two", "two"] == server.tried[:3]
    assert {"two"} == set(server.tried[1:])
    assert len(server.tried) <= 9


@pytest.mark.parametrize("kind", [redis.Redis, redis.asyncio.Redis])
def test_credentials_keep_no_client(account: Account, kind: type[redis.Redis]) -> None:
    """A function that makes a client at each call: nothing grows, and a renewal calls no dead one."""
    credentials = CurrentCredentials(account.login)
    clients = WeakSet(kind(credential_provider=credentials) for _ in range(100))
    gc.collect()
    assert 0 == len(clients)
    held: list[object] = list(vars(credentials)["_callbacks"])
    assert [] == held


def test_a_live_client_is_renewed(server: Server, account: Account) -> None:
    """Its open connection authenticates anew, whatever is collected meanwhile."""
    server.password = "one"
    credentials = CurrentCredentials(account.login)
    client = redis.Redis(host="127.0.0.1", port=server.port, credential_provider=credentials, protocol=3)
    assert client.ping()
    account.finish("v2")
    server.password = "two"
    gc.collect()
    credentials.renew()
    assert client.ping()
    assert ["one", "two"] == server.tried
    client.close()


def test_a_pool_that_outlives_its_client_is_renewed(server: Server, account: Account) -> None:
    """Its client's object is gone, and another one has the pool. Nothing is kept once the pool is gone."""
    server.password = "one"
    credentials = CurrentCredentials(account.login)
    pool = redis.Redis(
        host="127.0.0.1", port=server.port, credential_provider=credentials, protocol=3
    ).connection_pool
    gc.collect()
    client = redis.Redis(connection_pool=pool)
    assert client.ping()
    account.finish("v2")
    server.password = "two"
    credentials.renew()
    assert client.ping()
    assert ["one", "two"] == server.tried
    pool.disconnect()
    del pool, client
    gc.collect()
    assert {} == vars(credentials)["_callbacks"]


def test_an_async_pool_that_outlives_its_client_is_renewed(server: Server, account: Account) -> None:
    """The same on an event loop."""
    server.password = "one"
    credentials = CurrentCredentials(account.login)

    async def run() -> None:
        pool = redis.asyncio.Redis(
            host="127.0.0.1", port=server.port, credential_provider=credentials, protocol=3
        ).connection_pool
        gc.collect()
        client = redis.asyncio.Redis(connection_pool=pool)
        assert await client.ping()
        account.finish("v2")
        server.password = "two"
        await credentials.async_renew()
        assert await client.ping()
        await pool.disconnect()

    asyncio.run(asyncio.wait_for(run(), 60))
    assert ["one", "two"] == server.tried
    gc.collect()
    assert {} == vars(credentials)["_callbacks"]


class Slotted:
    """An object of which there is no weak reference, and that is equal to any other."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told: list[str] = []

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment] # as Python has it for such a class

    def hear(self, token: TokenInterface) -> None:
        self.told.append(token.get_value())


class Equal(Slotted):
    """An object of which there is one."""


@pytest.mark.parametrize("kind", [Slotted, Equal])
def test_a_method_of_any_object_is_called(account: Account, kind: type[Slotted]) -> None:
    """Once, however often it was given; and that of each object, even of equal ones."""
    credentials = CurrentCredentials(account.login)
    credentials.get_credentials()
    objects = [kind(), kind()]
    for one in objects * 2:
        credentials.on_next(one.hear)
    account.finish("v2")
    credentials.renew()
    assert [["two"], ["two"]] == [one.told for one in objects]


class Clients:
    """Two clients of one secret's credentials; the first one fails as often as it is told to."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.credentials = CurrentCredentials(account.login)
        self.failures = 0
        self.told: list[tuple[str, str]] = []
        self.credentials.get_credentials()
        self.credentials.on_next(self.first)
        self.credentials.on_next(lambda token: self.told.append(("second", token.get_value())))

    def first(self, token: TokenInterface) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("closed by the server")
        self.told.append(("first", token.get_value()))

    def rotate(self) -> None:
        self.account.finish("v2")


@pytest.mark.parametrize("way", ["renew", "async_renew"])
def test_a_client_that_fails_is_told_again(account: Account, way: str) -> None:
    """It keeps no other client from the new credentials, and the next call tells all of them once more."""
    clients = Clients(account)

    def renew() -> None:
        if way == "renew":
            clients.credentials.renew()
        else:
            asyncio.run(clients.credentials.async_renew())

    clients.rotate()
    clients.failures = 1
    with pytest.raises(ConnectionError, match="closed by the server"):
        renew()
    assert [("second", "two")] == clients.told
    renew()
    renew()
    assert [("second", "two"), ("first", "two"), ("second", "two")] == clients.told


def test_a_cancelled_renewal_is_made_again(account: Account) -> None:
    """The caller gave up while a client was at it."""
    clients = Clients(account)
    told: list[str] = []

    async def twice() -> None:
        is_at_it = asyncio.Event()

        async def slow(token: TokenInterface) -> None:
            is_at_it.set()
            await asyncio.sleep(0 if told else 60)
            told.append(token.get_value())

        clients.credentials.on_next(slow)
        clients.rotate()
        renewal = asyncio.create_task(clients.credentials.async_renew())
        await asyncio.wait_for(is_at_it.wait(), 30)
        renewal.cancel()
        with pytest.raises(asyncio.CancelledError):
            await renewal
        told.append("cancelled")
        await clients.credentials.async_renew()

    asyncio.run(twice())
    assert ["cancelled", "two"] == told
