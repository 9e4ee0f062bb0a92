"""PyMySQL: connections by login, against a server that only ever says no."""

from __future__ import annotations

import socketserver
import struct
from collections.abc import Iterator
from typing import Final

import pymysql
import pytest

from keyturn import LoginRefusedError
from keyturn.integrations.pymysql import connect
from tests.integrations.conftest import Account
from tests.serving import answering

DENIED: Final = (1045, b"28000")
TOO_MANY: Final = (1040, b"08004")


class SaysNo(socketserver.BaseRequestHandler):
    """Greets every client with an error packet, as a server does that lets nobody in."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.greeted += 1
        code, state = server.error
        body = b"\xff" + struct.pack("<H", code) + b"#" + state + b"no"
        self.request.sendall(struct.pack("<I", len(body))[:3] + b"\0" + body)


class OffersNoTls(socketserver.BaseRequestHandler):
    """Greets every client as a server without TLS does, and keeps what the client says then."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.greeted += 1
        salt, status, plugin = b"12345678", b"\x02\0", b"mysql_native_password\0"
        abilities = bytes([0, 0x82, 0x08, 0])  # CLIENT_PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH
        body = b"\n8.0.36\0" + bytes(4) + salt + b"\0" + abilities[:2] + b"\x2d" + status + abilities[2:]
        body += bytes([21]) + bytes(10) + b"123456789012\0" + plugin
        self.request.sendall(struct.pack("<I", len(body))[:3] + b"\0" + body)
        server.heard += self.request.recv(4096)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    greeted = 0
    error = DENIED
    heard = b""


@pytest.fixture
def server() -> Iterator[Server]:
    """The server, on a free port."""
    server = Server(("127.0.0.1", 0), SaysNo)
    with answering(server):
        yield server


@pytest.fixture
def account(server: Server) -> Account:
    """An account of that server, in the window."""
    port = int(server.server_address[1])
    account = Account({"username": "app", "host": "127.0.0.1", "port": port, "dbname": "orders"})
    account.store("two", "v2", "AWSPENDING")
    return account


def test_a_refusal_moves_on(server: Server, account: Account) -> None:
    """1045 is a refusal: AWSCURRENT and AWSPENDING are tried once each, and named."""
    with pytest.raises(LoginRefusedError, match=r"version v1 .* version v2 "):
        connect(account.login)
    assert 2 == server.greeted


def test_other_trouble_does_not(server: Server, account: Account) -> None:
    """1040, too many connections, is raised as it is."""
    server.error = TOO_MANY
    with pytest.raises(Exception, match="1040") as caught:
        connect(account.login)
    assert "pymysql.err" == type(caught.value).__module__
    assert 1 == server.greeted


def test_the_fields_by_pymysqls_names(account: Account) -> None:
    """Host, port, database, user and password are the secret's; what is given beside them stays."""
    connection = connect(account.login, defer_connect=True, connect_timeout=3, database="other")
    assert ("127.0.0.1", account.fields["port"]) == (connection.host, connection.port)
    assert ("app", b"one", "other") == (connection.user, connection.password, connection.db)


@pytest.mark.parametrize("is_deferred", [False, True])
def test_a_secret_that_asks_for_tls_gets_no_login_in_clear(
    server: Server,
    account: Account,
    is_deferred: bool,  # noqa: FBT001 # a table
) -> None:
    """A server that offers no TLS, or that somebody in between lets say so, hears nothing of the login."""
    account.fields["ssl"] = True
    account.secrets.put("app/db", account.value("three"), "v3", "AWSCURRENT")
    server.RequestHandlerClass = OffersNoTls
    with pytest.raises(pymysql.err.OperationalError, match="SSL is required"):
        connect(account.login, defer_connect=is_deferred).connect()
    assert (1, b"") == (server.greeted, server.heard)
