"""PyMySQL, and any pool that takes a function to connect with.

A connection of PyMySQL's own:

    connection = connect(Login(cache, "prod/orders"), autocommit=True)

It logs in anew where it is told to connect again, by `ping(reconnect=True)`: PyMySQL itself would do that
with the password of its first login.
"""

from __future__ import annotations

from collections.abc import Mapping
from socket import socket
from typing import TYPE_CHECKING, Final

import pymysql
from pymysql.cursors import Cursor

from keyturn.integrations.arguments import PYMYSQL, PYMYSQL_TLS, arguments, server_of, without_absent
from keyturn.integrations.login import Login, Opened
from keyturn.model.versions import SecretVersion

if TYPE_CHECKING:
    _Connection = pymysql.Connection[Cursor]
else:
    _Connection = pymysql.Connection

_OF_A_VERSION: Final = (
    "user",
    "password",
    "host",
    "port",
    "db",
    "client_flag",
    "ssl",
    "_ssl_required",
    "ctx",
)
"""The attributes into which PyMySQL parses what may differ from version to version.

Without `_ssl_required` PyMySQL would go on in clear where a server offers no TLS.
"""


class LoginConnection(_Connection):
    """A connection with its login. `connect` makes it."""

    login: Login
    opened: Opened
    given: Mapping[str, object]

    def connect(self, sock: socket | None = None) -> None:
        """Connect, also once more, with the first version of the secret that is accepted."""
        if sock is not None:
            super().connect(sock)
            return
        server = str(self.given.get("unix_socket") or "") or server_of(self.given)
        _, self.opened = self.login.open(self._open, server=server)

    def is_superseded(self) -> bool:
        """Return True if AWSCURRENT has moved to another version since this connection was opened.

        A pool that asks at each check-out, and closes the connection then, retires old sessions.
        """
        return self.login.is_superseded(self.opened)

    def _open(self, version: SecretVersion) -> None:
        self.take(version)
        super().connect()

    def take(self, version: SecretVersion) -> None:
        """Take the user, password, host, port, database and TLS of a version for the next connect."""
        parameters = arguments(version, PYMYSQL, self.given, PYMYSQL_TLS)
        # PyMySQL would encode a text as latin-1. The server hashed UTF-8, and an error would show the text.
        parameters["password"] = str(parameters["password"]).encode()
        parsed = pymysql.Connection(**{**parameters, "defer_connect": True})  # type: ignore[call-overload] # PyMySQL checks them
        for name, value in vars(parsed).items():
            if name in _OF_A_VERSION:
                setattr(self, name, value)


def connect(login: Login, **kwargs: object) -> LoginConnection:
    """Open a connection. The arguments are those of `pymysql.connect`.

    User and password are the secret's; so are host, port and database unless `kwargs` has them. With
    `defer_connect=True` it is opened by its method `connect`. Raises `LoginRefusedError`, or PyMySQL's own
    error for anything but a refusal.
    """
    given = without_absent(kwargs)
    others = {name: value for name, value in given.items() if name not in {"user", "password", "passwd"}}
    connection: LoginConnection = LoginConnection(**{**others, "defer_connect": True})  # type: ignore[call-overload] # PyMySQL checks them
    connection.login, connection.given = login, others
    if kwargs.get("defer_connect"):
        connection.take(login.current())
    else:
        connection.connect()
    return connection
