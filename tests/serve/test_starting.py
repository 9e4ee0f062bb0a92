"""What the server needs to begin: sockets that only this host can reach, and an end when it is told."""

from __future__ import annotations

import errno
import signal
import socket
from ipaddress import ip_address

import pytest
import uvicorn

from keyturn import SecretCache
from keyturn.errors import ConfigurationError
from keyturn.serve.server import ConnectionLimits, Tcp, serve
from keyturn.serve.sockets import loopback_sockets
from keyturn.serve.tokens import Token
from keyturn.settings.environment import KeyturnSettings

TOKEN = Token(lambda: "token-of-this-test", is_fixed=True, monotonic=lambda: 0.0)


def test_only_this_host_can_reach_it() -> None:
    """Every socket is bound to a loopback address, and what it sends can make one hop."""
    bound = loopback_sockets(0)
    try:
        addresses = [one.getsockname()[0] for one in bound]
        assert [address for address in addresses if not ip_address(address).is_loopback] == []
        assert len({one.getsockname()[1] for one in bound}) == 1
        assert bound[0].getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1
    finally:
        for one in bound:
            one.close()


def test_no_connection_brings_much_at_once() -> None:
    """Of each the system holds 16 KiB: what thousands send in a row does not fill the memory."""
    bound = loopback_sockets(0)
    try:
        with socket.create_connection(bound[0].getsockname()) as client:
            accepted, _ = bound[0].accept()
            with accepted:
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 16 * 1024
                client.settimeout(0)
                assert client.send(b"x" * 4_000_000) < 4_000_000
    finally:
        for one in bound:
            one.close()


def test_answers_are_sent_at_once() -> None:
    """The sockets say that they are TCP's: else asyncio leaves Nagle's algorithm on, 40 ms each."""
    bound = loopback_sockets(0)
    try:
        assert {one.proto for one in bound} == {socket.IPPROTO_TCP}
    finally:
        for one in bound:
            one.close()


def test_a_port_in_use_is_an_error() -> None:
    """A second server on the port is refused with the port's number."""
    first = loopback_sockets(0)
    port = first[0].getsockname()[1]
    first[0].listen()
    try:
        with pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1"):
            loopback_sockets(port)
    finally:
        for one in first:
            one.close()


def test_half_a_port_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds the port of ::1 would get the tokens of callers that try it first: not served at all then."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} of ::1"):
            loopback_sockets(port)
        # The port of 127.0.0.1 was let go of.
        socket.create_server(("127.0.0.1", port)).close()


def test_a_host_without_ipv6_is_served_on_the_other_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ::1 does not exist, nobody can listen there."""
    bind = socket.socket.bind

    def no_ipv6(self: socket.socket, address: tuple[str, int]) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        bind(self, address)

    monkeypatch.setattr(socket.socket, "bind", no_ipv6)
    (only,) = loopback_sockets(0)
    only.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_caches_were_closed(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """uvicorn raises the signal again at its end: only then are the caches closed, and the process ends."""
    order: list[object] = []
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    async def served(_self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        for one in sockets:
            one.close()
        signal.raise_signal(number)

    monkeypatch.setattr(uvicorn.Server, "serve", served)
    monkeypatch.setattr(SecretCache, "close", lambda _self: order.append("closed"))
    before = signal.signal(number, lambda number, _: order.append(number))
    try:
        serve(Tcp(0, TOKEN), KeyturnSettings(), ConnectionLimits())
    finally:
        signal.signal(number, before)
    assert ["closed", "closed", number] == order


def test_a_signal_that_comes_early_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first socket and uvicorn's first line nobody else heeds it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    cache = KeyturnSettings.cache

    def signalled(self: KeyturnSettings, *given: object, **named: object) -> SecretCache:
        signal.raise_signal(signal.SIGTERM)
        return cache(self, *given, **named)  # type: ignore[arg-type] # as they were given

    monkeypatch.setattr(KeyturnSettings, "cache", signalled)
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        serve(Tcp(0, TOKEN), KeyturnSettings(), ConnectionLimits())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [signal.SIGTERM] == seen
