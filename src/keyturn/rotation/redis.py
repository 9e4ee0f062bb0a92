"""Rotation of Redis and Valkey passwords: a user of the ACL has two, so no login is refused at any time.

After setSecret the user has the passwords of AWSPENDING and AWSCURRENT, which are then AWSCURRENT and
AWSPREVIOUS until the next rotation, or until nobody holds AWSPREVIOUS (`keyturn.rotation.Retirement`). The
server gets their SHA-256 hashes, never a password, except where a connection authenticates.

Servers do not copy users to each other: a cluster's nodes and a server's replicas are changed one by one.
`keyturn.rotation.trust` has the checks by which a secret's value cannot turn a function against other
accounts or servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from typing import Final, Literal, TypeAlias

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection
from redis.retry import Retry

from keyturn.errors import ConfigurationError
from keyturn.login.refusals import is_refused
from keyturn.model.protocols import SecretSource
from keyturn.model.versions import SecretVersion
from keyturn.rotation.trust import (
    Account,
    Address,
    Addresses,
    Master,
    RotationStepError,
    UnshownError,
    change_as_master,
    is_one_host,
    master_of,
    must_agree,
    must_be_apart,
    same_account,
    with_fields,
    without_frames,
)

PORT: Final = 6379
TIMEOUT_S: Final = 5

ENGINES: Final = ("redis", "valkey")
"""The field `engine` of a secret that the strategy of this module rotates, if the secret has the field."""

Save: TypeAlias = Literal["acl", "config"]
"""Where a node keeps its users: in its aclfile (ACL SAVE), or in its configuration (CONFIG REWRITE)."""

_SAME: Final = ("username", "host", "port", "engine", "masterarn")


class TwoPasswords:
    """A strategy with one user that has two passwords. No login is refused at any time.

    The secret's `masterarn` names the secret of a user that may run ACL GETUSER and ACL SETUSER. Such a user
    can do everything on the server. `source` reads that secret, as
    `keyturn.aws.secretsmanager.SecretsManagerSource` does.

    The secret and the master's must name the same host and port. If the master's names none, `host` must,
    and `port` if it is not 6379. `nodes` are the other nodes of the cluster and the replicas, each as
    `host:port` or `[2001:db8::1]:port`; passwords go to them, too. A node that is not among them keeps its
    passwords.

    `save` says how each node stores its users, so that a restart does not bring the old passwords back.

    Connections use TLS, and verify the server's certificate. `tls=False` is for servers without TLS; so is
    the field `ssl` of a secret if it is false and no option is about TLS. `options` are more arguments of
    redis-py's connections, for example `ssl_ca_certs`. Raises `ConfigurationError` for a node that is not a
    host with a port.

    A master is used only after the node has let in one of the passwords of the secret, and never for its
    own user, or for one that any password lets in.
    """

    def __init__(
        self,
        source: SecretSource,
        *,
        host: str | None = None,
        port: int | None = None,
        nodes: Sequence[str] = (),
        save: Save | None = None,
        tls: bool | None = None,
        **options: object,
    ) -> None:
        if save not in (None, "acl", "config"):
            raise ConfigurationError("save is one of 'acl', 'config' and None")
        self._source = source
        self._addresses = Addresses(PORT, host, port)
        self._nodes = [_node(text) for text in nodes]
        self._save: Save | None = save
        self._server = _Server(tls, options)

    def renew(self, current: SecretVersion, password: str) -> str:
        """Return the same fields with the new password."""
        self._addresses.of(_account(current))
        return with_fields(current, password=password)

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Give the user the passwords of AWSPENDING and AWSCURRENT, on each node."""
        current, wanted = _account(known[0]), _account(pending)
        must_agree(current, wanted, _SAME)
        # AWSCURRENT is accepted also if an earlier try got this far. So nothing is refused in a rotation.
        proofs = [current, wanted, *same_account(current, known[1:], self._addresses)[1:]]
        self._set(proofs, kept=[wanted, current])

    def retire(self, known: Sequence[SecretVersion], others: Iterator[SecretVersion]) -> None:
        """Leave the user the password of AWSCURRENT only, on each node."""
        proofs = same_account(_account(known[0]), others, self._addresses)
        self._set(proofs, kept=proofs[:1])

    def test(self, pending: SecretVersion) -> None:
        """Log in to each node."""
        account = _account(pending)
        for node in _each(self._addresses.of(account), self._nodes):
            if not self._server.accepts(account, node):
                raise RotationStepError(f"secret {pending.secret_id!r}: a node refuses AWSPENDING")

    def _set(self, proofs: Sequence[Account], kept: Sequence[Account]) -> None:
        """Leave the user the passwords of `kept`, where the node accepts one of the `proofs`."""
        wanted = kept[0]
        master = master_of(self._source, wanted, ENGINES)
        for node in _each(must_be_apart(wanted, master, self._addresses), self._nodes):
            shown = next((account for account in proofs if self._server.accepts(account, node)), None)
            if shown is None:
                raise UnshownError(
                    f"secret {wanted.secret_id!r}: a node refuses AWSCURRENT, AWSPREVIOUS and AWSPENDING"
                )
            # Also if AWSPENDING is accepted: the user may need no password, or the change may be unsaved.
            change_as_master(_Node(self._server, kept, self._save), shown, wanted, master, node)


class _Server:
    """Connects with one account, or reports that the server refuses it."""

    def __init__(self, tls: bool | None, options: Mapping[str, object]) -> None:  # noqa: FBT001 # as given
        self._tls = tls
        self._options = options

    def log_in(self, account: Account, address: Address) -> AbstractConnection | None:
        """Return a connection, or None if the server refuses the credentials."""
        connection = without_frames(lambda: self._connection(account, address), account.password)

        def attempt() -> AbstractConnection | None:
            try:
                connection.connect()  # type: ignore[no-untyped-call] # redis-py's
            except Exception as error:
                _close(connection)
                # Judged by the server's own words: `without_frames` replaces a password that is one of them.
                if is_refused(error):
                    return None
                raise
            return connection

        return without_frames(attempt, account.password)

    def accepts(self, account: Account, address: Address) -> bool:
        """Return True if the server lets this account in."""
        connection = self.log_in(account, address)
        if connection is not None:
            _close(connection)
        return connection is not None

    def _connection(self, account: Account, address: Address) -> AbstractConnection:
        is_tls = self._tls
        if is_tls is None:
            # What the secret says counts only where the function's owner has said nothing about TLS.
            is_tls = account.ssl is not False or any(name.startswith("ssl") for name in self._options)
        given = {
            name: value for name, value in self._options.items() if is_tls or not name.startswith("ssl_")
        }
        kind = SSLConnection if is_tls else Connection
        arguments: dict[str, object] = {
            "socket_connect_timeout": TIMEOUT_S,
            "socket_timeout": TIMEOUT_S,
            # Secrets Manager tries the rotation again.
            "retry": Retry(NoBackoff(), 0),
            **given,
            "host": address.host,
            "port": address.port,
            "username": account.username,
            "password": account.password,
            # A user need not be allowed to say HELLO.
            "protocol": 2,
            "decode_responses": False,
        }
        return kind(**arguments)  # type: ignore[arg-type] # redis-py checks them itself


class _Node:
    """One node, on which a user is left the passwords of the accounts `kept`."""

    def __init__(self, server: _Server, kept: Sequence[Account], save: Save | None) -> None:
        self._server = server
        self._kept = kept
        self._save = save

    def accepts(self, account: Account, address: Address) -> bool:
        """Return True if the node lets this account in."""
        return self._server.accepts(account, address)

    def as_master(self, account: Account, address: Address) -> AbstractContextManager[Master] | None:
        """Log in for changes of other users. Return None if the node refuses the credentials."""
        connection = self._server.log_in(account, address)
        return None if connection is None else self._session(connection)

    @contextmanager
    def _session(self, connection: AbstractConnection) -> Iterator[Master]:
        try:
            yield _Acl(connection, self._kept, self._save)
        finally:
            _close(connection)


class _Acl:
    """A master's session: the user that it may change for a secret, and the change."""

    def __init__(self, connection: AbstractConnection, kept: Sequence[Account], save: Save | None) -> None:
        self._connection = connection
        self._kept = kept
        self._save = save

    def objection(self, user: str, other: str) -> str | None:
        """Return why the secret of `user` must not change the password of `other`; None if it may."""
        described = self._ask("ACL", "GETUSER", other)
        if user != other or not isinstance(described, list):
            return "the server has no such user in its ACL"
        found = dict(zip(described[::2], described[1::2], strict=True))
        flags = found.get(b"flags")
        if not isinstance(flags, list) or b"nopass" in flags:
            return "its user needs no password (nopass), so the stored password proves nothing"
        return None

    def change(self, current: Account, pending: Account) -> None:  # noqa: ARG002 # AWSPREVIOUS, perhaps
        """Give the user the passwords that are kept, and let the node store its users."""
        hashes = [f"#{sha256(account.password.encode()).hexdigest()}" for account in self._kept]
        change = ("ACL", "SETUSER", pending.username, "resetpass", *hashes)
        # A proxy that does not know ACL may repeat the words. The hash of a weak password tells the password.
        without_frames(lambda: self._ask(*change), *hashes)
        if self._save == "acl":
            self._ask("ACL", "SAVE")
        elif self._save == "config":
            self._ask("CONFIG", "REWRITE")

    def _ask(self, *words: str) -> object:
        self._connection.send_command(*words)  # type: ignore[no-untyped-call] # redis-py's
        answer: object = self._connection.read_response()
        return answer


def _close(connection: AbstractConnection) -> None:
    connection.disconnect()  # type: ignore[no-untyped-call] # redis-py's


def _each(address: Address, others: Sequence[Address]) -> list[Address]:
    """Return the address and the other nodes, each once."""
    return list(dict.fromkeys([address, *others]))


def _node(text: str) -> Address:
    host, _, port = text.rpartition(":")
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    # An IPv6 address without brackets might end with the port, or with a part of the address.
    is_host = is_one_host(name) and (":" in name) == (name != host)
    if not (is_host and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigurationError(f"a node is given as host:port, not {text!r}")
    return Address(name.lower(), int(port))


def _account(version: SecretVersion) -> Account:
    return Account.of(version, ENGINES)
