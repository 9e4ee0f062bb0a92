"""Rotation of PostgreSQL passwords, of one user or of two users in turn.

The server gets a hash of the password, made here, so that no statement log has the password. Secrets have the
fields that AWS gives a database secret. Redshift does not accept such a hash: it needs a strategy of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg import sql

from keyturn.errors import SecretFormatError
from keyturn.integrations.arguments import LIBPQ, arguments
from keyturn.login.refusals import is_refused
from keyturn.model.protocols import SecretSource
from keyturn.model.versions import AWSCURRENT, Json, SecretVersion
from keyturn.rotation.function import RotationStepError

CLONE: Final = "_clone"
NAME_BYTES_MAX: Final = 63
"""PostgreSQL cuts longer names, so that two of them may become the same."""

CONNECT_TIMEOUT_S: Final = 5


class SingleUser:
    """A strategy with one user. Between setSecret and finishSecret the server refuses AWSCURRENT.

    The user changes its own password. `options` are more connection parameters, for example
    `sslmode="verify-full"`. They come before the secret's host, port and dbname.
    """

    def __init__(self, **options: str | int) -> None:
        self._server = _Server(options)

    def renew(self, current: SecretVersion, password: str) -> str:
        """Return the same fields with the new password."""
        return json.dumps({**_checked(current), "password": password})

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Run ALTER ROLE as the user itself, with the first known version that the server accepts."""
        _must_share(("username", "host"), known[0], pending)
        if self._server.accepts(pending):
            return
        user = _text(pending, "username")
        # AWSPREVIOUS may belong to another user, if somebody changed the secret by hand.
        for version in (one for one in known if _fields(one).get("username") == user):
            connection = self._server.connection(version, at=pending)
            if connection is not None:
                with connection:
                    _alter(connection, pending)
                return
        raise RotationStepError(
            f"secret {pending.secret_id!r}: the server refuses AWSCURRENT, AWSPREVIOUS and AWSPENDING"
        )

    def test(self, pending: SecretVersion) -> None:
        """Log in and run a query."""
        self._server.must_accept(pending)


class AlternatingUsers:
    """A strategy with two users in turn, `app` and `app_clone`. The current user keeps its password.

    Its turn comes with the next rotation. The secret's `masterarn` names the secret of a user that may create
    roles, and may grant the memberships of the first user. The clone becomes a member of the first user: it
    has all its rights and memberships, but neither its attributes (CREATEDB, ...) nor its settings (ALTER
    ROLE ... SET). `source` reads the other secret, as `keyturn.aws.secretsmanager.SecretsManagerSource` does.
    """

    def __init__(self, source: SecretSource, **options: str | int) -> None:
        self._source = source
        self._server = _Server(options)

    def renew(self, current: SecretVersion, password: str) -> str:
        """Return the same fields with the other user and the new password."""
        return json.dumps({**_checked(current), "username": _other(current), "password": password})

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Create or alter the other user, logged in as the user of `masterarn`."""
        current = known[0]
        _must_share(("host", "masterarn"), current, pending)
        if _text(pending, "username") != _other(current):
            raise RotationStepError(
                f"secret {pending.secret_id!r}: AWSPENDING is not for the user whose turn it is"
            )
        if self._server.accepts(pending):
            return
        master = self._source.read(_text(current, "masterarn"), stage=AWSCURRENT)
        # A secret managed by RDS has no host.
        if "host" in _fields(master):
            _must_share(("host",), master, current)
        connection = self._server.connection(master, at=current)
        if connection is None:
            raise RotationStepError(f"secret {master.secret_id!r}: the server refuses AWSCURRENT")
        with connection:
            if not _exists(connection, pending):
                _clone(connection, current, pending)
            _alter(connection, pending)

    def test(self, pending: SecretVersion) -> None:
        """Log in and run a query."""
        self._server.must_accept(pending)


class _Server:
    """Connects with one version, or reports that the server refuses it."""

    def __init__(self, options: dict[str, str | int]) -> None:
        self._options = {"connect_timeout": CONNECT_TIMEOUT_S, **options}

    def connection(
        self, version: SecretVersion, *, at: SecretVersion | None = None
    ) -> psycopg.Connection | None:
        """Return a connection, or None if the server refuses the credentials.

        It connects to the server in `at`, if given, and otherwise to the version's own.
        """
        try:
            return self._connect(version, at or version)
        except psycopg.OperationalError as error:
            if is_refused(error):
                return None
            raise

    def accepts(self, version: SecretVersion) -> bool:
        connection = self.connection(version)
        if connection is not None:
            connection.close()
        return connection is not None

    def must_accept(self, version: SecretVersion) -> None:
        with self._connect(version, version) as connection:
            connection.execute("SELECT 1")

    def _connect(self, version: SecretVersion, at: SecretVersion) -> psycopg.Connection:
        place = {"dbname": "postgres", **arguments(at, LIBPQ), **self._options}
        parameters = arguments(version, LIBPQ, place)
        return psycopg.connect(**parameters)  # type: ignore[arg-type] # psycopg checks them itself


def _exists(connection: psycopg.Connection, version: SecretVersion) -> bool:
    query = "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s"
    return connection.execute(query, [_text(version, "username")]).fetchone() is not None


def _clone(connection: psycopg.Connection, current: SecretVersion, pending: SecretVersion) -> None:
    user, clone = (sql.Identifier(_text(version, "username")) for version in (current, pending))
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(clone))
    connection.execute(sql.SQL("GRANT {} TO {}").format(user, clone))


def _alter(connection: psycopg.Connection, pending: SecretVersion) -> None:
    user, password = _text(pending, "username"), _text(pending, "password")
    digest = connection.pgconn.encrypt_password(password.encode(), user.encode()).decode()
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(digest))
    connection.execute(statement)


def _other(current: SecretVersion) -> str:
    """Return the user that follows the current one."""
    user = _text(current, "username")
    if user.endswith(CLONE):
        return user.removesuffix(CLONE)
    clone = user + CLONE
    if len(clone.encode()) > NAME_BYTES_MAX:
        raise RotationStepError(f"secret {current.secret_id!r}: a clone's name would exceed 63 bytes")
    return clone


def _must_share(names: Sequence[str], one: SecretVersion, other: SecretVersion) -> None:
    """Raise `RotationStepError` unless the two versions agree in these fields.

    A pending version must not lead a known password to another server, nor change another user.
    """
    differing = [name for name in names if _fields(one).get(name) != _fields(other).get(name)]
    if differing:
        raise RotationStepError(f"secret {one.secret_id!r}: its versions differ in {' and '.join(differing)}")


def _checked(current: SecretVersion) -> dict[str, Json]:
    """Return the fields. Raises `SecretFormatError` if one is missing that a rotation needs."""
    for name in ("host", "username", "password"):
        _text(current, name)
    return _fields(current)


def _text(version: SecretVersion, name: str) -> str:
    value = _fields(version).get(name)
    if not isinstance(value, str) or not value:
        raise SecretFormatError(version.secret_id, f"no text in the field {name}")
    return value


def _fields(version: SecretVersion) -> dict[str, Json]:
    document = version.json()
    if not isinstance(document, dict):
        raise SecretFormatError(version.secret_id, "its JSON is not an object with the fields of a login")
    return document
