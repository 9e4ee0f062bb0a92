"""What urllib3 has and other clients have not: proxies, pools of their own, retries inside of an attempt."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import urllib3

from keyturn import Peers, SecretCache
from keyturn.integrations.http import Key, Outgoing
from keyturn.integrations.urllib3 import with_key
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.integrations.http_server import KeyServer

NAME = "prod/api-key"


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A server that takes the key `two`, which is AWSPENDING."""
    with KeyServer().running() as server:
        server.keys = {"two"}
        yield server


@pytest.fixture
def cache() -> SecretCache:
    """A cache of a secret in the window of a rotation."""
    clock = FakeClock()
    secrets = FakeSecretsManager(clock)
    secrets.create(NAME, "one", "v1")
    secrets.put(NAME, "two", "v2", "AWSPENDING")
    return SecretCache(peers=Peers(source=secrets, clock=clock, sleep=clock.advance))


def test_through_a_proxy(server: KeyServer, cache: SecretCache) -> None:
    """The origin is that of the request and not the proxy's: other origins behind it get no key."""
    with urllib3.ProxyManager(server.origin) as proxied:
        http = with_key(proxied, Key(cache, NAME, "http://api.example.com"))
        assert 200 == http.request("GET", "http://api.example.com/a").status
        assert 401 == http.request("GET", "http://other.example.com/a").status
        assert 401 == http.request("GET", server.origin + "/a").status
    assert ["one", "two", None, None] == server.sent


@pytest.mark.parametrize(
    "url", ["http://evil.example\\@api.example.com/a", "http://evil.example\\.api.example.com/a"]
)
def test_a_url_that_two_parsers_read_in_two_ways(server: KeyServer, cache: SecretCache, url: str) -> None:
    """urllib3 ends the host at a backslash, so the proxy is told of another host: it gets no key.

    A redirect of any server can lead there. Earlier releases of urllib3 gave the pool the URL as it was.
    """
    with urllib3.ProxyManager(server.origin) as proxied:
        http = with_key(proxied, Key(cache, NAME, "http://api.example.com"))
        assert 401 == http.request("GET", url).status
        pool = http.connection_from_host("evil.example", 80, "http")
        assert 401 == pool.urlopen("GET", url, assert_same_host=False).status
    assert [None, None] == server.sent


def test_a_pool_of_a_proxy_follows_no_redirect_with_the_key(server: KeyServer, cache: SecretCache) -> None:
    """Asked by itself it would follow it to any host: the caller gets the redirect, a manager follows it."""
    server.redirect_to = "http://evil.example/there"
    with urllib3.ProxyManager(server.origin) as proxied:
        http = with_key(proxied, Key(cache, NAME, "http://api.example.com"))
        pool = http.connection_from_url("http://api.example.com")
        answer = pool.urlopen("GET", "http://api.example.com/away", assert_same_host=False)
        assert 302 == answer.status
        assert server.sent
        assert None not in server.sent
        server.sent.clear()
        assert 401 == http.request("GET", "http://api.example.com/away").status
    assert [None] == server.sent[-1:]


def test_a_pool_of_another_host_gets_no_key(server: KeyServer, cache: SecretCache) -> None:
    """A pool without a proxy sends all to its own host, also a request with the URL of the key's origin."""
    with KeyServer().running() as other, urllib3.PoolManager() as manager:
        pool = with_key(manager, Key(cache, NAME, server.origin)).connection_from_url(other.origin)
        assert 401 == pool.urlopen("GET", server.origin + "/a", assert_same_host=False).status
        assert [None] == other.sent
        own = manager.connection_from_url(server.origin)
        assert 200 == own.urlopen("GET", server.origin + "/a").status


def test_several_keys(server: KeyServer, cache: SecretCache) -> None:
    """Each origin gets its own key."""
    with KeyServer().running() as other, urllib3.PoolManager() as manager:
        other.keys = {"one"}
        http = with_key(manager, Key(cache, NAME, server.origin))
        http = with_key(http, Key(cache, NAME, other.origin))
        statuses = [http.request("GET", one.origin).status for one in (server, other, server)]
        assert [200, 200, 200] == statuses
        assert ["one"] == other.sent
    assert ["one", "two", "two"] == server.sent


def test_a_pool_of_the_manager_has_the_key(server: KeyServer, cache: SecretCache) -> None:
    """Also one that was made before, once it is asked for again; by `request` and by `urlopen`."""
    with urllib3.PoolManager() as manager:
        manager.connection_from_url(server.origin)
        pool = with_key(manager, Key(cache, NAME, server.origin)).connection_from_url(server.origin)
        assert 200 == pool.request("GET", "/a", fields={"b": "c"}).status
        assert 200 == pool.urlopen("POST", "/a", b"body").status
        assert pool.num_connections == 1
        with pool as same:
            assert 200 == same.request("GET", "/a").status
    assert [b"", b"", b"body", b""] == server.bodies


def test_what_urlopen_takes_by_position(server: KeyServer, cache: SecretCache) -> None:
    """A wrapper that hands on urllib3's own arguments works, and a wrong one is a TypeError as there."""
    with urllib3.PoolManager() as manager:
        pool = with_key(manager, Key(cache, NAME, server.origin)).connection_from_url(server.origin)
        retries = urllib3.Retry(1, status_forcelist=[429], raise_on_status=False)
        answer = pool.urlopen("GET", "/busy", None, {}, retries, preload_content=False)
        assert 429 == answer.status
        assert answer.retries is not None
        assert 0 == answer.retries.total
        assert "429 for /busy" == answer.read().decode()
        with pytest.raises(TypeError, match="multiple values for argument 'retries'"):
            pool.urlopen("GET", "/", None, {}, retries, retries=retries)  # type: ignore[misc] # the mistake
        with pytest.raises(TypeError, match="too many positional arguments"):
            pool.urlopen("GET", "/", None, {}, *[None] * 20)  # type: ignore[arg-type] # the mistake
    assert ["one", "two", "two"] == server.sent


def test_a_retry_has_the_key(server: KeyServer, cache: SecretCache) -> None:
    """urllib3 retries 429 by itself, within one attempt, with the headers of the caller and the key."""
    retries = urllib3.Retry(2, status_forcelist=[429], allowed_methods=None, raise_on_status=False)
    with urllib3.PoolManager(retries=retries) as manager:
        http = with_key(manager, Key(cache, NAME, server.origin))
        file = io.BytesIO(b"skipped and sent")
        file.seek(12)
        response = http.request("POST", server.origin + "/busy", body=file, headers={"X-Own": "1"})
        assert 429 == response.status
    assert ["one", "two", "two", "two"] == server.sent
    assert [b"sent"] * 4 == server.bodies


def test_the_callers_headers_are_left_alone(server: KeyServer, cache: SecretCache) -> None:
    """Neither the headers of a request nor those of the manager get the key."""
    with urllib3.PoolManager(headers={"X-All": "1"}) as manager:
        http = with_key(manager, Key(cache, NAME, server.origin))
        own = {"X-Own": "1", "authorization": "mine"}
        assert [200, 200] == [
            http.request("GET", server.origin, headers=headers).status for headers in (None, own)
        ]
        assert {"X-All": "1"} == dict(manager.headers)
    assert {"X-Own": "1", "authorization": "mine"} == own
    assert ["one", "two", "two"] == server.sent


@pytest.mark.parametrize("url", ["http://[::1]:8080", "http://api.example.com:80", "https://api.example.com"])
def test_what_is_signed_is_the_whole_url(cache: SecretCache, url: str) -> None:
    """With brackets around an address of IPv6, and without the port that goes without saying."""
    seen: list[str] = []

    class SeenError(Exception):
        pass

    def sign(_version: SecretVersion, outgoing: Outgoing) -> dict[str, str]:
        seen.append(outgoing.url)
        raise SeenError

    with urllib3.PoolManager() as manager, pytest.raises(SeenError):
        with_key(manager, Key(cache, NAME, url, sign)).request("GET", url + "/a?b=c")
    assert [url.removesuffix(":80") + "/a?b=c"] == seen


def test_a_response_that_is_streamed(server: KeyServer, cache: SecretCache) -> None:
    """What is not read yet stays readable, and a pool of one connection that blocks is free after it."""
    with urllib3.PoolManager(maxsize=1, block=True, timeout=10) as manager:
        http = with_key(manager, Key(cache, NAME, server.origin))
        for _ in range(3):
            response = http.request("GET", server.origin + "/a", preload_content=False)
            assert b"200 for /a" == b"".join(response.stream())
            response.release_conn()
