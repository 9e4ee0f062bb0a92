"""Rotation of PostgreSQL passwords, of one user or of two users in turn.

The server gets a hash of the password, made here, so that no statement log has the password. Secrets have the
fields that AWS gives a database secret. Redshift does not accept such a hash: it needs a strategy of its own.

Connections use TLS and SCRAM unless the strategy's options say otherwise. `keyturn.rotation.trust` has the
checks by which a secret's value cannot turn a function against other accounts or servers.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from threading import Event
from typing import Final

import psycopg
from psycopg import sql

from keyturn.errors import ConfigurationError
from keyturn.integrations.arguments import LIBPQ_TLS
from keyturn.login.refusals import is_refused
from keyturn.model.protocols import SecretSource
from keyturn.model.versions import SecretVersion
from keyturn.rotation.trust import (
    Account,
    Address,
    Addresses,
    Master,
    RotationStepError,
    Unshown,
    UnshownError,
    change_as_master,
    master_of,
    must_agree,
    must_be_apart,
    other_user,
    same_account,
    with_fields,
    without_frames,
)
from keyturn.runtime.threads import start_thread

NAME_BYTES_MAX: Final = 63
"""PostgreSQL cuts longer names, so that two of them may become the same."""

PORT: Final = 5432
CONNECT_TIMEOUT_S: Final = 5
ANSWER_TIMEOUT_S: Final = 10
ANSWER_TIMEOUT_MAX_S: Final = 86_400
LIBPQ_MIN: Final = 160_000
"""The first version of libpq that knows `require_auth`."""

SCRAM: Final = "scram-sha-256"
MD5: Final = "md5"
"""The methods by which the server stores passwords, as `require_auth` names them."""

ENGINES: Final = ("postgres", "postgresql", "aurora-postgresql")
"""The field `engine` of a secret that a strategy of this module rotates, if the secret has the field."""

RESERVED: Final = ("pg_", "rds_", "rdsadmin", "rdsrepladmin", "rdsproxyadmin", "rdstopmgr")
"""How the names of predefined roles begin, PostgreSQL's and those of RDS."""

POWERFUL: Final = [
    "pg_execute_server_program",
    "pg_read_server_files",
    "pg_write_server_files",
    "rds_superuser",
    "rdsadmin",
    "cloudsqlsuperuser",
    "alloydbsuperuser",
    "azure_pg_admin",
]
"""Roles whose members can do what a superuser can, or nearly so, without the attribute."""

_SAME: Final = ("host", "port", "engine", "masterarn")


class SingleUser:
    """A strategy with one user. Between setSecret and finishSecret the server refuses AWSCURRENT.

    The user changes its own password. `options` are more connection parameters, for example
    `sslmode="verify-full"`. They come before the secret's `host`, `port`, `dbname` and `ssl`. Without them
    `sslmode` is what `ssl` says, `require` if it says nothing, and `require_auth` is `scram-sha-256`; for a
    server with other methods give its own, or `require_auth=""`.

    With the option `answer_timeout_s`, 10 s by default and a day at most, a statement ends with an error
    after that time, also if it waits for another session. After twice that time the connection is closed.
    """

    def __init__(self, **options: str | float) -> None:
        self._server = _Server(options)

    def renew(self, current: SecretVersion, password: str) -> str:
        """Return the same fields with the new password."""
        self._server.addresses.of(self._server.account(current))
        return with_fields(current, password=password)

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Run ALTER ROLE as the user itself, with the first known version that the server accepts."""
        current, wanted = self._server.account(known[0]), self._server.account(pending)
        must_agree(current, wanted, ("username", *_SAME))
        address = self._server.addresses.of(current)
        if not self._server.accepts(wanted, address):
            with self._server.unless_done(wanted, address):
                self._change(wanted, same_account(current, known[1:], self._server.addresses), address)

    def test(self, pending: SecretVersion) -> None:
        """Log in and run a query."""
        self._server.must_accept(self._server.account(pending))

    def _change(self, wanted: Account, accounts: Sequence[Account], address: Address) -> None:
        for account in accounts:
            connection = self._server.log_in(account, address)
            if connection is not None:
                with self._server.changing(connection):
                    # A role that the user takes at each login may not change the user.
                    connection.execute("SET LOCAL ROLE NONE")
                    self._server.alter(connection, wanted)
                return
        raise UnshownError(
            f"secret {wanted.secret_id!r}: the server refuses AWSCURRENT, AWSPREVIOUS and AWSPENDING"
        )


class AlternatingUsers:
    """A strategy with two users in turn, `app` and `app_clone`. The current user keeps its password.

    Its turn comes with the next rotation. The secret's `masterarn` names the secret of a user that may create
    roles, and may grant the memberships of the first user. The clone becomes a member of the first user: it
    has all its rights and memberships, but neither its attributes (CREATEDB, ...) nor its settings (ALTER
    ROLE ... SET). `source` reads the other secret, as `keyturn.aws.secretsmanager.SecretsManagerSource` does.

    `options` are as of `SingleUser`. The secret and the master's must name the same host and port. If the
    master's names none, as one managed by RDS, the options must: `host`, and `port` if it is not 5432. The
    master's `dbname` counts, else `postgres`.

    A master is used only after the server has accepted AWSCURRENT, and never for a role that is the master's
    own, is predefined (`pg_…`, `rds_…`), can become a superuser or create roles, or that can become what the
    current user cannot. A clone with grants or objects of its own must log in by a password of the secret.
    """

    def __init__(self, source: SecretSource, **options: str | float) -> None:
        self._source = source
        self._server = _Server(options)

    def renew(self, current: SecretVersion, password: str) -> str:
        """Return the same fields with the other user and the new password."""
        account = self._server.account(current)
        self._server.addresses.of(account)
        return with_fields(current, username=other_user(account, NAME_BYTES_MAX), password=password)

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Create or alter the other user, logged in as the user of `masterarn`."""
        current, wanted = self._server.account(known[0]), self._server.account(pending)
        must_agree(current, wanted, _SAME)
        if wanted.username != other_user(current, NAME_BYTES_MAX):
            raise RotationStepError(
                f"secret {pending.secret_id!r}: AWSPENDING is not for the user whose turn it is"
            )
        if any(name.startswith(RESERVED) for name in (current.username, wanted.username)):
            raise RotationStepError(f"secret {pending.secret_id!r}: it names a predefined role")
        master = master_of(self._source, current, ENGINES)
        address = must_be_apart(current, master, self._server.addresses)
        # Where pg_hba.conf admits by name or group, a clone that there is not yet is no refusal but an error.
        if not self._server.surely_accepts(wanted, address):
            others = same_account(wanted, known[1:], self._server.addresses)[1:]
            with self._server.unless_done(wanted, address):
                change_as_master(_AsMaster(self._server, others), current, wanted, master, address)

    def test(self, pending: SecretVersion) -> None:
        """Log in and run a query."""
        self._server.must_accept(self._server.account(pending))


class _Server:
    """Connects with one account, or reports that the server refuses it."""

    def __init__(self, options: Mapping[str, str | float]) -> None:
        if options.get("require_auth") is None and psycopg.pq.version() < LIBPQ_MIN:
            raise ConfigurationError(
                "this libpq cannot be told to log in by SCRAM only (it is older than 16): install "
                'psycopg[binary], or allow every method by require_auth=""'
            )
        # An option from a variable that is not set says nothing: it must take neither TLS nor SCRAM away.
        given = {name: value for name, value in options.items() if value is not None}
        self._answer_timeout_s = _seconds(given.pop("answer_timeout_s", ""))
        chosen = {"connect_timeout": CONNECT_TIMEOUT_S, "require_auth": SCRAM, **given}
        self._method = _method(str(chosen["require_auth"]))
        # An older libpq does not know require_auth; for every option an empty value means the same as none.
        self._options = {name: value for name, value in chosen.items() if value != ""}
        # A list of ports, beside a list of hosts, is for libpq alone.
        host, port = str(options.get("host") or ""), str(options.get("port") or "")
        self.addresses = Addresses(PORT, host or None, int(port) if port.isdecimal() else None)

    def account(self, version: SecretVersion) -> Account:
        """Return the version's account, for which there is a server. Raises `SecretFormatError`."""
        return Account.of(version, ENGINES)

    def log_in(self, account: Account, address: Address) -> psycopg.Connection | None:
        """Return a connection, or None if the server refuses the credentials."""

        def attempt() -> psycopg.Connection | None:
            try:
                return self._connect(account, address)
            except psycopg.OperationalError as error:
                # Judged by the server's own words: `without_frames` replaces a password that is one of them.
                if is_refused(error):
                    return None
                raise

        return without_frames(attempt, account.password)

    def accepts(self, account: Account, address: Address) -> bool:
        """Return True if the server lets this account in."""
        connection = self.log_in(account, address)
        if connection is not None:
            connection.close()
        return connection is not None

    def surely_accepts(self, account: Account, address: Address) -> bool:
        """Return True if the server lets this account in, and False whatever else comes of it."""
        try:
            return self.accepts(account, address)
        except psycopg.OperationalError:
            return False

    @contextmanager
    def unless_done(self, wanted: Account, address: Address) -> Iterator[None]:
        """Drop an error of the block if the server lets `wanted` in by now: another call was faster."""
        try:
            yield
        except (psycopg.Error, RotationStepError):
            if not self.surely_accepts(wanted, address):
                raise

    def must_accept(self, account: Account) -> None:
        """Log in at the account's own address and run a query. Raises psycopg's error if that fails."""
        address = self.addresses.of(account)
        connection = without_frames(lambda: self._connect(account, address), account.password)
        with self.changing(connection):
            connection.execute("SELECT 1")

    def alter(self, connection: psycopg.Connection, account: Account) -> None:
        """Give the account's user its password."""
        without_frames(lambda: connection.execute(self._altering(connection, account)), account.password)

    @contextmanager
    def changing(self, connection: psycopg.Connection) -> Iterator[None]:
        """Let the block change roles, for a short time, whatever the user's own settings say of that."""
        begin = _BEGIN_SINCE_17 if connection.info.server_version >= 170_000 else _BEGIN
        milliseconds = max(1, round(self._answer_timeout_s * 1000))
        with closing(connection), self._in_time(connection), connection:
            connection.execute(sql.SQL(begin + _LIMITS).format(limit=milliseconds))
            yield

    @contextmanager
    def _in_time(self, connection: psycopg.Connection) -> Iterator[None]:
        """Close the connection to a server that says nothing more: the driver would wait without end."""
        done, is_late = Event(), Event()
        limit_s = 2 * self._answer_timeout_s
        with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as line:

            def watch() -> None:
                if not done.wait(limit_s):
                    is_late.set()
                    with suppress(OSError):
                        line.shutdown(socket.SHUT_RDWR)

            start_thread("keyturn-rotation-deadline", watch)
            try:
                yield
            except psycopg.OperationalError as error:
                if is_late.is_set():
                    raise RotationStepError(f"the server did not answer within {limit_s:g} s") from error
                raise
            finally:
                done.set()

    def _altering(self, connection: psycopg.Connection, account: Account) -> sql.Composed:
        digest = connection.pgconn.encrypt_password(
            account.password.encode(), account.username.encode(), self._method
        ).decode()
        return sql.SQL("ALTER ROLE {} PASSWORD {}").format(
            sql.Identifier(account.username), sql.Literal(digest)
        )

    def _connect(self, account: Account, address: Address) -> psycopg.Connection:
        parameters = {
            "dbname": account.dbname or "postgres",
            "host": address.host,
            "port": address.port,
            # A role's own setting may be one that has no place for the letters of its name.
            "client_encoding": "utf8",
            **self._tls(account),
            **self._options,
            # `changing` begins the transaction itself.
            "autocommit": True,
            "user": account.username,
            "password": account.password,
        }
        return psycopg.connect(**parameters)  # type: ignore[arg-type] # psycopg checks them itself

    def _tls(self, account: Account) -> Mapping[str, object]:
        if LIBPQ_TLS.is_settled(self._options):
            return {}
        return LIBPQ_TLS.arguments(account.ssl, self._options) or LIBPQ_TLS.on


class _AsMaster:
    """The server as `keyturn.rotation.trust` asks it. `known` are accounts of the user whose turn it is."""

    def __init__(self, server: _Server, known: Sequence[Account]) -> None:
        self._server = server
        self._known = known

    def accepts(self, account: Account, address: Address) -> bool:
        """Return True if the server lets this account in."""
        return self._server.accepts(account, address)

    def as_master(self, account: Account, address: Address) -> AbstractContextManager[Master] | None:
        """Log in for changes of other users. Return None if the server refuses the credentials."""
        connection = self._server.log_in(account, address)
        return None if connection is None else self._session(connection, address)

    @contextmanager
    def _session(self, connection: psycopg.Connection, address: Address) -> Iterator[Master]:
        with self._server.changing(connection):
            # A database may have operators and functions of other users, which a master must not run.
            connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
            yield _Roles(connection, self._server, lambda: self._is_shown(address))

    def _is_shown(self, address: Address) -> bool:
        return any(self._server.accepts(account, address) for account in self._known)


class _Roles:
    """A master's session: the roles that it may change for a secret, and the change.

    `is_shown` asks whether the role whose turn it is logs in by a password of the secret.
    """

    def __init__(self, connection: psycopg.Connection, server: _Server, is_shown: Callable[[], bool]) -> None:
        self._connection = connection
        self._server = server
        self._is_shown = is_shown

    def objection(self, user: str, other: str) -> str | None:
        """Return why the secret of `user` must not change the password of `other`; None if it may."""
        ask = self._connection.execute
        given: dict[str, object] = {"names": [user, other], "powerful": POWERFUL}
        if ask(_POWERFUL, given).fetchone() is not None:
            return "one of its users is privileged: it can become a superuser, create roles, or nearly so"
        if ask(_EXISTS, [other]).fetchone() is None:
            return None
        if ask(_UNRELATED, {"user": user, "other": other}).fetchone() is not None:
            return (
                "the user whose turn it is can become, or do, what the current user cannot; it must be a "
                "member of the current user, or the current user a member of it"
            )
        if ask(_OF_ITS_OWN, {"user": user, "other": other}).fetchone() is not None and not self._is_shown():
            return Unshown(
                "the user whose turn it is has a grant, an object or an ADMIN OPTION of its own, and does "
                "not log in by a password of the secret"
            )
        return None

    def change(self, current: Account, pending: Account) -> None:
        """Create the user of `pending` if there is none, and give it its password."""
        if self._connection.execute(_EXISTS, [pending.username]).fetchone() is None:
            user, clone = sql.Identifier(current.username), sql.Identifier(pending.username)
            self._connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(clone))
            self._connection.execute(sql.SQL("GRANT {} TO {}").format(user, clone))
        self._server.alter(self._connection, pending)


def _method(require_auth: str) -> bytes | None:
    """Return the method by which the server is to store passwords; None leaves that to its setting.

    If `require_auth` lets in only one of the two, the setting may be the other: the user would be locked out.
    """
    named, is_negated = require_auth.split(","), require_auth.startswith("!")
    let_in = [
        method
        for method in (SCRAM, MD5)
        if require_auth == "" or (f"!{method}" not in named if is_negated else method in named)
    ]
    return let_in[0].encode() if len(let_in) == 1 else None


def _seconds(given: str | float) -> float:
    """Return the option `answer_timeout_s`, which may be a text, as libpq's options may."""
    try:
        seconds = ANSWER_TIMEOUT_S if given == "" else float(given)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= ANSWER_TIMEOUT_MAX_S:
        raise ConfigurationError(f"answer_timeout_s is {given!r}; give seconds above 0, at most a day")
    return seconds


_BEGIN: Final = "BEGIN READ WRITE;"
_BEGIN_SINCE_17: Final = f"{_BEGIN} SET LOCAL transaction_timeout = 0;"
"""The user's own limit counts from BEGIN on, and could end a transaction before another message comes."""

_LIMITS: Final = """
    SET LOCAL statement_timeout = {limit};
    SET LOCAL idle_in_transaction_session_timeout = {limit};
    SET LOCAL lock_timeout = {limit};
"""

_EXISTS: Final = "SELECT 1 FROM pg_roles WHERE rolname = %s"

_POWERFUL: Final = """
    SELECT 1 FROM pg_roles AS mine JOIN pg_roles AS other ON pg_has_role(mine.oid, other.oid, 'MEMBER')
    WHERE mine.rolname = ANY (%(names)s)
        AND (other.rolsuper OR other.rolcreaterole OR other.rolname = ANY (%(powerful)s))
"""
"""Finds a row if one of the roles is, or can become, a role that is powerful."""

_UNRELATED: Final = """
    SELECT 1 FROM pg_roles AS mine, pg_roles AS other
    WHERE mine.rolname = %(user)s AND other.rolname = %(other)s
        AND NOT pg_has_role(mine.oid, other.oid, 'MEMBER')
        AND (
            NOT pg_has_role(other.oid, mine.oid, 'MEMBER')
            OR other.rolcreatedb > mine.rolcreatedb
            OR other.rolreplication > mine.rolreplication
            OR other.rolbypassrls > mine.rolbypassrls
            OR EXISTS (
                SELECT 1 FROM pg_roles AS third
                WHERE third.oid NOT IN (mine.oid, other.oid)
                    AND pg_has_role(other.oid, third.oid, 'MEMBER')
                    AND NOT pg_has_role(mine.oid, third.oid, 'MEMBER')
            )
        )
"""
"""Finds a row unless the user can become the other already, or the other is no more than the user is."""

_OF_ITS_OWN: Final = """
    SELECT 1 FROM pg_roles AS mine, pg_roles AS other
    WHERE mine.rolname = %(user)s AND other.rolname = %(other)s
        AND NOT pg_has_role(mine.oid, other.oid, 'MEMBER')
        AND (
            EXISTS (
                SELECT 1 FROM pg_shdepend
                WHERE refclassid = 'pg_authid'::regclass AND refobjid = other.oid
            )
            OR EXISTS (
                SELECT 1 FROM pg_roles AS third
                WHERE pg_has_role(other.oid, third.oid, 'MEMBER WITH ADMIN OPTION')
                    AND NOT pg_has_role(mine.oid, third.oid, 'MEMBER WITH ADMIN OPTION')
            )
        )
"""
"""Finds a row if the user cannot become the other, and that one can do more than by its memberships.

What a role owns and was granted, in any database, stands in pg_shdepend. So do policies for its rows.
"""
