"""Connections to MySQL and MariaDB, by default with TLS and a verified certificate.

Some of MySQL's methods send the password itself, and the server chooses the method. So a certificate that
nobody verified would let any server have the password. PostgreSQL can be held to SCRAM instead.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import pymysql
from pymysql.cursors import Cursor

from keyturn.errors import ConfigurationError
from keyturn.login.refusals import is_refused
from keyturn.model.versions import SecretVersion
from keyturn.rotation.mysql.hashes import Method
from keyturn.rotation.mysql.shown import Created, Grant, Version, account, created, grant
from keyturn.rotation.trust import (
    Account,
    Address,
    Addresses,
    Master,
    RotationStepError,
    without_frames,
)

PORT: Final = 3306
CONNECT_TIMEOUT_S: Final = 5
ANSWER_TIMEOUT_S: Final = 10

DRIVER_MIN: Final = (1, 2, 0)
"""The first PyMySQL that fails where a server has no TLS. Those before go on without."""

ENGINES: Final = ("mysql", "mariadb", "aurora-mysql")
"""The field `engine` of a secret that a strategy of this package rotates, if the secret has the field."""


EXPIRED: Final = (1820, 1862)
"""The server takes no statement of a user whose password has expired, or does not let him in."""

ABSENT: Final = (1054, 1146, 1305)
"""A column, a table or a routine is not there. Users may still have rights on it."""


class Session:
    """A user's session, and what the server shows in it. Its `sql_mode` is empty."""

    def __init__(self, connection: pymysql.Connection[Cursor]) -> None:
        self._connection = connection
        ((version, comment),) = self.ask("SELECT VERSION(), @@version_comment")
        self.version: Final = Version.of(str(version), str(comment))
        self.run("SET SESSION sql_mode = '', SESSION sql_quote_show_create = 1")
        # By the server's own setting it may be read-only.
        self.run("SET SESSION TRANSACTION READ WRITE")
        if self.version.has_hashes_as_hex:
            self.run("SET SESSION print_identified_with_as_hex = ON")

    def ask(self, statement: str, *values: str) -> tuple[tuple[object, ...], ...]:
        """Return the rows of a query. Raises `RotationStepError` if the user's password has expired."""
        with _telling_of_expiry():
            return without_frames(lambda: self._rows(statement, values))

    def run(self, statement: str) -> None:
        """Run a statement."""
        self.ask(statement)

    def give(self, one: Grant, account: str) -> None:
        """Give an account, which is quoted already, what a grant of another says.

        Raises `RotationStepError` if what the grant is about is not there: the server keeps such rights, and
        gives none anew.
        """
        try:
            self.run(one.to(account))
        except pymysql.MySQLError as error:
            if error.args[:1] not in [(code,) for code in ABSENT]:
                raise
            raise RotationStepError(
                f"the current user has a right on what is not there, {one.what}, which its clone cannot get: "
                "revoke it from the current user, or make what it is about"
            ) from error

    def hosts(self, user: str) -> list[str]:
        """Return the hosts of the accounts that have this name. Roles of MariaDB have no host."""
        rows = self.ask("SELECT Host FROM mysql.user WHERE User = %s AND Host <> '' ORDER BY Host", user)
        return [_text(host) for (host,) in rows]

    def shown(self, user: str, host: str) -> Created:
        """Return an account with its methods: the first one, and the second password if it has two."""
        first, *more = (
            created(_text(line)) for (line,) in self.ask(f"SHOW CREATE USER {account(user, host)}")
        )
        # MariaDB shows the lifetime of a password that was expired by hand in a second line, as ALTER USER.
        found = first._replace(rest=" ".join([first.rest, *(one.rest for one in more)]))
        if self.version.is_mariadb or not self.version.has_two_passwords:
            return found
        second = self.ask(
            "SELECT JSON_UNQUOTE(JSON_EXTRACT(User_attributes, '$.additional_password')) FROM mysql.user "
            "WHERE User = %s AND Host = %s",
            user,
            host,
        )
        stored = [_text(text) for (text,) in second if text is not None]
        plugin = found.methods[0].plugin if found.methods else ""
        return found._replace(methods=(*found.methods, *(Method(plugin, text) for text in stored)))

    def grants(self, grantee: str) -> list[Grant]:
        """Return the grants of an account or a role, which is quoted as in SQL.

        Raises `RotationStepError` for a line that is not understood, and if no line is about the grantee.
        """
        found = [grant(_text(row[0])) for row in self.ask(f"SHOW GRANTS FOR {grantee}")]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            raise RotationStepError("SHOW GRANTS has a line that is not understood")
        own = [one for one in known if one.grantee == grantee]
        if not own:
            # Every account and role has a line, if only USAGE.
            raise RotationStepError("SHOW GRANTS has no line about the account or role that was asked for")
        return own

    def _rows(self, statement: str, values: tuple[str, ...]) -> tuple[tuple[object, ...], ...]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return tuple(cursor.fetchall())


class Server:
    """Connects with one account, or reports that the server refuses it."""

    def __init__(
        self,
        host: str | None,
        port: int | None,
        tls: bool | None,  # noqa: FBT001 # as given
        ssl_ca: str | None,
        options: Mapping[str, object],
    ) -> None:
        if pymysql.VERSION[:3] < DRIVER_MIN:
            raise ConfigurationError(
                "this PyMySQL goes on without TLS where a server has none (it is older than 1.2): install a "
                "newer one"
            )
        self.addresses: Final = Addresses(PORT, host, port)
        self._tls = tls
        self._ssl_ca = ssl_ca
        self._options = options

    def account(self, version: SecretVersion) -> Account:
        """Return the version's account, for which there is a server. Raises `SecretFormatError`."""
        return Account.of(version, ENGINES)

    def log_in(self, account: Account, address: Address) -> pymysql.Connection[Cursor] | None:
        """Return a connection, or None if the server refuses the credentials."""

        def attempt() -> pymysql.Connection[Cursor] | None:
            try:
                return self._connect(account, address, None)
            except pymysql.MySQLError as error:
                if is_refused(error):
                    return None
                raise

        with _telling_of_expiry():
            return without_frames(attempt, account.password)

    def accepts(self, account: Account, address: Address) -> bool:
        """Return True if the server lets this account in."""
        connection = self.log_in(account, address)
        if connection is not None:
            connection.close()
        return connection is not None

    def must_accept(self, account: Account) -> None:
        """Log in at the account's own address and run a query. Raises PyMySQL's error if that fails."""
        address = self.addresses.of(account)
        with _telling_of_expiry():
            connecting = without_frames(
                lambda: self._connect(account, address, account.dbname), account.password
            )
        with connecting as connection:
            Session(connection).run("SELECT 1")

    def _connect(
        self, account: Account, address: Address, database: str | None
    ) -> pymysql.Connection[Cursor]:
        parameters: dict[str, object] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": ANSWER_TIMEOUT_S,
            "write_timeout": ANSWER_TIMEOUT_S,
            **self._security(account),
            **self._options,
            "host": address.host,
            "port": address.port,
            "database": database,
            "cursorclass": Cursor,
            "autocommit": True,
            "user": account.username,
            # PyMySQL would encode a text as latin-1. The server hashed UTF-8.
            "password": account.password.encode(),
        }
        return pymysql.connect(**parameters)  # type: ignore[call-overload,no-any-return] # PyMySQL checks them

    def _security(self, account: Account) -> Mapping[str, object]:
        is_tls = self._tls
        if is_tls is None:
            # What the secret says counts only where the function's owner has said nothing about TLS.
            is_tls = account.ssl is not False or any(name.startswith("ssl") for name in self._options)
            is_tls = is_tls or self._ssl_ca is not None
        if not is_tls:
            return {"ssl_disabled": True}
        return {"ssl": ssl.create_default_context(cafile=self._ssl_ca)}


class AsMaster:
    """The server as `keyturn.rotation.trust` asks it, with the change that a master is to make."""

    def __init__(self, server: Server, change: Callable[[Session], Master]) -> None:
        self._server = server
        self._change = change

    def accepts(self, account: Account, address: Address) -> bool:
        """Return True if the server lets this account in."""
        return self._server.accepts(account, address)

    def as_master(self, account: Account, address: Address) -> AbstractContextManager[Master] | None:
        """Log in for changes of other users. Return None if the server refuses the credentials."""
        connection = self._server.log_in(account, address)
        return None if connection is None else self._session(connection)

    @contextmanager
    def _session(self, connection: pymysql.Connection[Cursor]) -> Iterator[Master]:
        with connection:
            yield self._change(Session(connection))


@contextmanager
def _telling_of_expiry() -> Iterator[None]:
    try:
        yield
    except pymysql.MySQLError as error:
        if error.args[:1] not in [(code,) for code in EXPIRED]:
            raise
        raise RotationStepError(
            "the user's password has expired, so the server takes no statement of this user: let an "
            "administrator set it to the stored one"
        ) from error


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
