"""What is remembered of logins: per server, bounded, and no single refusal bars a version that works."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from keyturn import Limits, LoginRefusedError, Peers, SecretCache
from keyturn.login.memory import SERVERS_MAX
from keyturn.model.versions import SecretVersion
from tests.login.client import Client, RefusedError, Server, is_refused
from tests.world import NAME, World

PATIENCE_S = 20


@pytest.fixture
def client(world: World) -> Client:
    """A process that logged in with v1."""
    one = Client(world, table=False)
    one.login()
    one.server.tried()
    return one


def refused(one: Client, **options: object) -> None:
    """A login that the server refuses whatever the password is, as a path that is not this user's."""
    accepts, one.server.accepts = one.server.accepts, set()
    with pytest.raises(LoginRefusedError):
        one.login(budget_s=0, **options)
    one.server.accepts = accepts


# One refusal


def test_one_refusal_does_not_bar_a_version_that_had_succeeded(client: Client) -> None:
    """The next login tries it at once, is let in, and the refusal is forgotten."""
    refused(client)
    assert "connected with v1" == client.login(budget_s=0)
    for _ in range(50):
        refused(client)
        assert "connected with v1" == client.login(budget_s=0)
    assert 0 == client.slept_s


def test_a_revoked_password_costs_two_attempts(client: Client) -> None:
    """The second try is the last one in 30 s, however many logins there are."""
    client.server.accepts = set()
    for _ in range(20):
        with pytest.raises(LoginRefusedError):
            client.login(budget_s=0)
        client.world.clock.advance(1)
    assert ["v1", "v1"] == client.server.tried()


def test_a_password_that_stays_revoked_is_not_taken_for_a_good_one_again(client: Client) -> None:
    """After two refusals it needs a turn again: when the 30 s are over, one thread tries it, and not all."""
    client.server.accepts = set()
    for _ in range(2):
        with pytest.raises(LoginRefusedError):
            client.login(budget_s=0)
    client.world.clock.advance(31)
    client.server.tried()
    with ThreadPoolExecutor(16) as pool:
        logins = [pool.submit(client.login, budget_s=5) for _ in range(16)]
        assert {LoginRefusedError} == {type(each.exception(PATIENCE_S)) for each in logins}
    assert 1 <= len(client.server.tried()) <= 2


def test_the_login_that_was_refused_does_not_try_again_at_once(client: Client) -> None:
    """It waits until the version can have become right; the second try at once is for others."""
    client.server.accepts = set()
    with pytest.raises(LoginRefusedError):
        client.login(budget_s=5)
    assert ["v1"] == client.server.tried()
    assert client.slept_s > 2


def test_a_refusal_counts_for_nothing_if_others_were_let_in_meanwhile(client: Client) -> None:
    """The version was accepted while this attempt was under way: no thread is held up by it."""
    inside, together = threading.Barrier(2), threading.Barrier(8)

    def meanwhile(version: SecretVersion) -> str:
        inside.wait(PATIENCE_S)
        inside.wait(PATIENCE_S)
        raise RefusedError

    def beside(version: SecretVersion) -> str:
        together.wait(PATIENCE_S)
        return version.version_id

    def log_in(connect: Callable[[SecretVersion], str]) -> str:
        return client.cache.login(NAME, connect, is_refused=is_refused, budget_s=0)

    with ThreadPoolExecutor(9) as pool:
        unlucky = pool.submit(log_in, meanwhile)
        inside.wait(PATIENCE_S)
        client.login()
        inside.wait(PATIENCE_S)
        assert isinstance(unlucky.exception(PATIENCE_S), LoginRefusedError)
        assert ["v1"] * 8 == [
            each.result(PATIENCE_S) for each in [pool.submit(log_in, beside) for _ in range(8)]
        ]


# Several servers


def test_what_one_server_refuses_is_tried_on_another(client: Client) -> None:
    """A replica that lags refuses the new version: the other servers take it, without a refusal or a wait."""
    for server in ("a", "b"):
        client.login(server=server)
    client.world.rotate("v2", "two", mark=False)
    client.cache.invalidate(NAME)
    client.server.tried()
    for _ in range(5):
        assert "connected with v1" == client.login(server="a")
    assert ["v2", "v1"] == client.server.tried()[:2]
    client.server.accepts = {"two"}
    for _ in range(5):
        assert "connected with v2" == client.login(server="b")
    assert ["v2"] * 5 == client.server.tried()
    assert 0 == client.slept_s


def test_each_server_has_its_own_last_login(client: Client) -> None:
    """In the window one server takes the pending version and the other does not: no refusal on either."""
    client.login(server="behind")
    client.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    client.server.accepts = {"two"}
    assert "connected with v2" == client.login(server="ahead")
    client.server.tried()
    for _ in range(3):
        client.server.accepts = {"two"}
        client.login(server="ahead")
        client.server.accepts = {"one"}
        client.login(server="behind")
    assert ["v2", "v1"] * 3 == client.server.tried()


def test_a_version_is_proven_per_server(client: Client) -> None:
    """On a server that was never logged in to, one thread tries first, although another server took it."""
    first, goes_on, tried = threading.Event(), threading.Event(), list[int]()

    def connect(version: SecretVersion) -> str:
        tried.append(1)
        first.set()
        assert goes_on.wait(PATIENCE_S)
        raise RefusedError

    def log_in() -> str:
        return client.cache.login(NAME, connect, is_refused=is_refused, server="new")

    with ThreadPoolExecutor(8) as pool:
        logins = [pool.submit(log_in) for _ in range(8)]
        assert first.wait(PATIENCE_S)
        goes_on.set()
        assert {LoginRefusedError} == {type(each.exception(PATIENCE_S)) for each in logins}
    assert 1 == len(tried)


# Bounded


def test_the_oldest_success_goes_first_and_alone(world: World) -> None:
    """`max_secrets=2`: B knows what a cancelled rotation left, and A's rotation takes nothing from it."""
    server, cache = Server(accepts={"set"}), small_cache(world, ("a", "b", "c"))
    world.secrets.put("b", "set", "v2", "AWSPENDING")
    log_in(cache, server, ("b",))
    world.secrets.move("b", "AWSPENDING", None)
    server.accepts = {"set", "one", "two"}
    log_in(cache, server, ("a",))
    world.secrets.put("a", "two", "v2")
    cache.invalidate("a")
    log_in(cache, server, ("a", "a"))
    server.accepts = {"set"}
    log_in(cache, server, ("b",))
    server.accepts = {"set", "one"}
    log_in(cache, server, ("c",))
    server.accepts = {"set"}
    log_in(cache, server, ("b",))


def small_cache(world: World, names: Iterable[str]) -> SecretCache:
    """A cache of two secrets, in a world with these."""
    for name in names:
        world.secrets.create(name, "one", "v1")
    return SecretCache(
        limits=Limits(max_secrets=2),
        peers=Peers(source=world.secrets, clock=world.clock, sleep=world.clock.advance),
    )


def log_in(cache: SecretCache, server: Server, names: Iterable[str]) -> None:
    """Log in to these, one after the other."""
    for name in names:
        cache.login(name, server.connect, is_refused=is_refused, budget_s=0)


def test_servers_are_bounded_too(client: Client) -> None:
    """A process that meets ever new servers forgets the one that it met first, and that one alone."""
    client.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    client.server.accepts = {"two"}
    for number in range(SERVERS_MAX + 1):
        client.login(server=f"node-{number}", budget_s=0)
    client.server.tried()
    client.login(server="node-1", budget_s=0)
    assert ["v2"] == client.server.tried()
    client.login(server="node-0", budget_s=0)
    assert ["v1", "v2"] == client.server.tried()
