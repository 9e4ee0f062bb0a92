"""The three strategies for MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from keyturn.model.protocols import SecretSource
from keyturn.model.versions import SecretVersion
from keyturn.rotation.mysql.changes import BothPasswords, Clone, OnlyPassword, own_change
from keyturn.rotation.mysql.server import ENGINES, AsMaster, Server, Session
from keyturn.rotation.trust import (
    Account,
    Master,
    RotationStepError,
    UnshownError,
    change_as_master,
    first_accepted,
    master_of,
    must_agree,
    must_be_apart,
    other_user,
    same_account,
    with_fields,
)

NAME_BYTES_MAX: Final = 80
"""MariaDB refuses longer names; MySQL refuses those of more than 32 characters itself."""

_SAME: Final = ("host", "port", "engine", "masterarn")


class SingleUser:
    """A strategy with one user. Between setSecret and finishSecret the server refuses AWSCURRENT.

    On MariaDB the user changes its own password, that of the account by which the server knows it. MySQL
    takes the hash of a password only from a user that may create users. With `source`, therefore, the user
    of the secret that `masterarn` names makes the change, for all hosts for which the user has an account
    with the secret's password. `source` reads that secret, as
    `keyturn.aws.secretsmanager.SecretsManagerSource` does; it must name the same host and port, or `host`
    and `port` must.

    Connections use TLS, and verify the server's certificate by `ssl_ca`, else by the authorities that the
    system trusts. `tls=False` is for servers without TLS. So is the field `ssl` of a secret, if it is false
    and no option is about TLS. `options` are more arguments of `pymysql.connect`.
    """

    def __init__(
        self,
        source: SecretSource | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        tls: bool | None = None,
        ssl_ca: str | None = None,
        **options: object,
    ) -> None:
        self._source = source
        self._server = Server(host, port, tls, ssl_ca, options)

    def renew(self, current: SecretVersion, password: str) -> str:
        """Return the same fields with the new password."""
        self._server.addresses.of(self._server.account(current))
        return with_fields(current, password=password)

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Give the user the password of AWSPENDING: as the user itself, or as the user of `masterarn`."""
        server = self._server
        current, wanted = server.account(known[0]), server.account(pending)
        must_agree(current, wanted, ("username", *_SAME))
        accounts = same_account(current, known[1:], server.addresses)
        if self._source is not None and current.masterarn is not None:
            proofs = [current, wanted, *accounts[1:]]
            _as_master(server, self._source, wanted, proofs, lambda session: OnlyPassword(session, proofs))
            return
        address = server.addresses.of(current)
        if server.accepts(wanted, address):
            return
        for account in accounts:
            connection = server.log_in(account, address)
            if connection is not None:
                with connection:
                    own_change(Session(connection), wanted)
                return
        # Another call of this step may have been faster.
        if not server.accepts(wanted, address):
            raise UnshownError(
                f"secret {pending.secret_id!r}: the server refuses AWSCURRENT, AWSPREVIOUS and AWSPENDING"
            )

    def test(self, pending: SecretVersion) -> None:
        """Log in and run a query."""
        self._server.must_accept(self._server.account(pending))


class AlternatingUsers:
    """A strategy with two users in turn, `app` and `app_clone`. The current user keeps its password.

    Its turn comes with the next rotation. The secret's `masterarn` names the secret of a user that may create
    users and grant what the first user may. The clone gets an account for each host for which the current
    user has one with the secret's password, with its grants, GRANT OPTION, roles, default role, limits and
    requirements. Grants are given again at each rotation; none is taken away.

    `source`, `host`, `port`, `tls`, `ssl_ca` and `options` are as of `SingleUser`.

    A master is used only after the server has accepted AWSCURRENT, and never for an account that is the
    master's or the server's own, that may change accounts, or that may do what the current user may not.
    """

    def __init__(
        self,
        source: SecretSource,
        *,
        host: str | None = None,
        port: int | None = None,
        tls: bool | None = None,
        ssl_ca: str | None = None,
        **options: object,
    ) -> None:
        self._source = source
        self._server = Server(host, port, tls, ssl_ca, options)

    def renew(self, current: SecretVersion, password: str) -> str:
        """Return the same fields with the other user and the new password."""
        account = self._server.account(current)
        self._server.addresses.of(account)
        return with_fields(current, username=other_user(account, NAME_BYTES_MAX), password=password)

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Create or alter the other user, logged in as the user of `masterarn`."""
        server = self._server
        current, wanted = server.account(known[0]), server.account(pending)
        must_agree(current, wanted, _SAME)
        if wanted.username != other_user(current, NAME_BYTES_MAX):
            raise RotationStepError(
                f"secret {pending.secret_id!r}: AWSPENDING is not for the user whose turn it is"
            )
        others = same_account(wanted, known[1:], server.addresses)
        master = master_of(self._source, current, ENGINES)
        address = must_be_apart(current, master, server.addresses)
        # Also if AWSPENDING is accepted: an earlier try may have stopped before the last host or grant.
        engine = AsMaster(server, lambda session: Clone(session, current, others))
        change_as_master(engine, current, wanted, master, address)

    def test(self, pending: SecretVersion) -> None:
        """Log in and run a query."""
        self._server.must_accept(self._server.account(pending))


class TwoPasswords:
    """A strategy with one user that has two passwords. No login is refused at any time.

    MariaDB has them since 10.4, for the method mysql_native_password; MySQL since 8.0.14. After setSecret the
    user has the passwords of AWSPENDING and AWSCURRENT, which are then AWSCURRENT and AWSPREVIOUS until the
    next rotation, or until nobody holds AWSPREVIOUS (`keyturn.rotation.Retirement`).

    The secret's `masterarn` names the secret of a user that may create users and read the database `mysql`.
    It changes the user's accounts for all hosts whose password is one of the secret's. `source`, `host`,
    `port`, `tls`, `ssl_ca` and `options` are as of `SingleUser`.

    A master is used only after the server has let in one of the passwords of the secret, and never for its
    own user, for an account of the server's own, or for one that may change accounts.
    """

    def __init__(
        self,
        source: SecretSource,
        *,
        host: str | None = None,
        port: int | None = None,
        tls: bool | None = None,
        ssl_ca: str | None = None,
        **options: object,
    ) -> None:
        self._source = source
        self._server = Server(host, port, tls, ssl_ca, options)

    def renew(self, current: SecretVersion, password: str) -> str:
        """Return the same fields with the new password."""
        self._server.addresses.of(self._server.account(current))
        return with_fields(current, password=password)

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Give the user the passwords of AWSPENDING and AWSCURRENT."""
        server = self._server
        current, wanted = server.account(known[0]), server.account(pending)
        must_agree(current, wanted, ("username", *_SAME))
        # AWSCURRENT is accepted also if an earlier try got this far. So nothing is refused in a rotation.
        proofs = [current, wanted, *same_account(current, known[1:], server.addresses)[1:]]
        _as_master(
            server, self._source, wanted, proofs, lambda session: BothPasswords(session, proofs, kept=current)
        )

    def test(self, pending: SecretVersion) -> None:
        """Log in and run a query."""
        self._server.must_accept(self._server.account(pending))

    def retire(self, known: Sequence[SecretVersion], others: Iterator[SecretVersion]) -> None:
        """Leave the user the password of AWSCURRENT only."""
        proofs = same_account(self._server.account(known[0]), others, self._server.addresses)
        _as_master(
            self._server, self._source, proofs[0], proofs, lambda session: OnlyPassword(session, proofs)
        )


def _as_master(
    server: Server,
    source: SecretSource,
    wanted: Account,
    proofs: Sequence[Account],
    change: Callable[[Session], Master],
) -> None:
    """Let the master make a change for an account, once the server has accepted one of the `proofs`."""
    master = master_of(source, wanted, ENGINES)
    address = must_be_apart(wanted, master, server.addresses)
    engine = AsMaster(server, change)
    change_as_master(engine, first_accepted(engine, proofs, address), wanted, master, address)
