"""PyMySQL: connections by login, against a server that only ever says no."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from keyturn import LoginRefusedError
from keyturn.integrations.pymysql import connect
from tests.integrations.conftest import Account

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


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    greeted = 0
    error = DENIED


@pytest.fixture
def server() -> Iterator[Server]:
    """The server, on a free port."""
    with Server(("127.0.0.1", 0), SaysNo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


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
