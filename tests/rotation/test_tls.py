"""A server with TLS: it is used by default, and wherever the secret asks for it.

The embedded PostgreSQL is built without TLS, so a relay before it speaks TLS with the clients.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keyturn import Peers, SecretCache
from keyturn.integrations.login import Login
from keyturn.integrations.psycopg import connect
from keyturn.rotation.postgresql import SingleUser
from keyturn.testing.embedded import LOCALHOST, EmbeddedPostgres
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.rotation.conftest import Stage
from tests.rotation.impostor import GSS_REQUEST, SSL_REQUEST

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("client", ["moto"], indirect=True)]


def context(folder: Path) -> ssl.SSLContext:
    """The server's side of TLS, with a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    both = made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.pem").write_bytes(both)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(folder / "server.pem")
    return found


@dataclass
class Relay:
    """Passes connections on to a PostgreSQL, and notes of each whether it came over TLS."""

    upstream: int
    tls: ssl.SSLContext
    came_over_tls: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.listener = socket.create_server((LOCALHOST, 0))
        self.port = self.listener.getsockname()[1]

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client: socket.socket) -> None:
        with suppress(OSError):
            said = client.recv(65536)
            while said == GSS_REQUEST:
                client.sendall(b"N")
                said = client.recv(65536)
            is_tls = said == SSL_REQUEST
            if is_tls:
                client.sendall(b"S")
                client = self.tls.wrap_socket(client, server_side=True)
                said = client.recv(65536)
            self.came_over_tls.append(is_tls)
            server = socket.create_connection((LOCALHOST, self.upstream))
            server.sendall(said)
            pass_on(client, server)


def pass_on(client: socket.socket, server: socket.socket) -> None:
    """Pass on what comes, until one side ends. One thread does both ways: TLS takes no two at a time."""
    with client, server:
        while True:
            has_rest = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [client] if has_rest else select.select([client, server], [], [])[0]
            for source, sink in ((client, server), (server, client)):
                if source in ready:
                    said = source.recv(65536)
                    if not said:
                        return
                    sink.sendall(said)


@pytest.fixture
def relay(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Relay]:
    """A server that takes connections with TLS and without."""
    one = Relay(postgres.port, context(tmp_path))
    thread = threading.Thread(target=one.serve)
    thread.start()
    yield one
    one.listener.shutdown(socket.SHUT_RDWR)
    one.listener.close()
    thread.join(timeout=5)


@pytest.fixture
def fields(client: SecretsManagerClient, postgres: EmbeddedPostgres, relay: Relay) -> dict[str, object]:
    """The secret of a role of the server behind the relay."""
    return {**Stage(client, postgres).fields(), "port": relay.port}


def login(fields: dict[str, object]) -> Login:
    """A login with one version of a secret."""
    secrets = FakeSecretsManager(FakeClock())
    secrets.create("app/db", json.dumps(fields), "v1")
    return Login(SecretCache(peers=Peers(source=secrets)), "app/db")


def test_a_rotation_over_tls_needs_no_option(
    client: SecretsManagerClient, postgres: EmbeddedPostgres, relay: Relay
) -> None:
    """TLS and SCRAM are the default: every connection has both."""
    stage = Stage(client, postgres)
    value = {**stage.fields(), "port": relay.port}
    client.put_secret_value(SecretId=stage.name, SecretString=json.dumps(value))
    stage.rotation(SingleUser()).run()
    assert stage.accepts(*stage.credentials())
    assert relay.came_over_tls
    assert all(relay.came_over_tls)


@pytest.mark.parametrize(
    ("word", "expected"), [(True, True), ("true", True), (False, False), ("False", False)]
)
def test_an_integration_does_what_the_secret_says(
    fields: dict[str, object], relay: Relay, word: object, expected: object
) -> None:
    """`"ssl": true` is `sslmode=require`, false is `disable`; text counts as AWS's functions take it."""
    connect(login({**fields, "ssl": word})).close()
    assert [expected] == relay.came_over_tls


def test_what_the_caller_says_counts(
    fields: dict[str, object], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument wins over the secret, and so does the environment that the driver reads."""
    connect(login({**fields, "ssl": True}), sslmode="disable").close()
    connect(login({**fields, "ssl": False}), "sslmode=require").close()
    monkeypatch.setenv("PGSSLMODE", "disable")
    connect(login({**fields, "ssl": True})).close()
    assert [False, True, False] == relay.came_over_tls
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    with pytest.raises(psycopg.OperationalError, match="root certificate"):
        connect(login({**fields, "ssl": True}))


def test_a_server_without_tls_is_not_used_where_the_secret_asks_for_it(
    fields: dict[str, object], postgres: EmbeddedPostgres
) -> None:
    """libpq would go on in clear by itself."""
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        connect(login({**fields, "ssl": True, "port": postgres.port}))
