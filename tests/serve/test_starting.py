"""What the server needs to begin: a token, and sockets that only this host can reach."""

from __future__ import annotations

import signal
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvicorn

from keyturn import SecretCache
from keyturn.errors import ConfigurationError
from keyturn.serve.server import ConnectionLimits, loopback_sockets, serve
from keyturn.serve.tokens import found_token
from keyturn.settings.environment import KeyturnSettings


def read_text(path: str) -> str:
    """The file, as the command reads it."""
    return Path(path).read_text("utf-8")


def test_the_token_is_that_of_the_first_variable() -> None:
    """AWS_TOKEN before AWS_SESSION_TOKEN before AWS_CONTAINER_AUTHORIZATION_TOKEN; an empty one is none."""
    variables = {
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container",
        "AWS_SESSION_TOKEN": "session",
        "AWS_TOKEN": "agent",
    }
    found = []
    for name in ("AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"):
        found.append(found_token(variables, read_text))
        variables[name] = ""
    assert found == ["agent", "session", "container"]


def test_the_token_may_be_in_a_file(tmp_path: Path) -> None:
    """file://PATH names a file that holds the token; white space around it is not part of it."""
    file = tmp_path / "token"
    file.write_text("from-file\n")
    assert found_token({"AWS_TOKEN": f"file://{file}"}, read_text) == "from-file"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_without_a_token_it_does_not_begin(tmp_path: Path, content: bytes | None) -> None:
    """No variable, no file, an empty or unreadable one: an error that names it, not an open door."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="token"):
        found_token({"AWS_TOKEN": f"file://{file}"}, read_text)
    with pytest.raises(ConfigurationError, match="set AWS_TOKEN"):
        found_token({}, read_text)


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_caches_were_closed(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """uvicorn raises the signal again at its end: only then are the caches closed, and the process ends."""
    order: list[object] = []
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    def run(_self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        for one in sockets:
            one.close()
        signal.raise_signal(number)

    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr(SecretCache, "close", lambda _self: order.append("closed"))
    before = signal.signal(number, lambda number, _: order.append(number))
    try:
        serve(0, "token-of-this-test", KeyturnSettings(), ConnectionLimits())
    finally:
        signal.signal(number, before)
    assert ["closed", "closed", number] == order
