"""PyMySQL, and any pool that takes a function to connect with.

A connection of PyMySQL's own:

    connection = connect(Login(cache, "prod/orders"), autocommit=True)
"""

from __future__ import annotations

import pymysql
from pymysql.cursors import Cursor

from keyturn.integrations.arguments import PYMYSQL, PYMYSQL_TLS, arguments, server_of
from keyturn.integrations.login import Login
from keyturn.model.versions import SecretVersion


def connect(login: Login, **kwargs: object) -> pymysql.Connection[Cursor]:
    """Open a connection. The arguments are those of `pymysql.connect`.

    User and password are the secret's; so are host, port and database unless `kwargs` has them. Raises
    `LoginRefusedError`, or PyMySQL's own error for anything but a refusal.
    """

    def attempt(version: SecretVersion) -> pymysql.Connection[Cursor]:
        # PyMySQL checks the arguments itself.
        parameters = arguments(version, PYMYSQL, kwargs, PYMYSQL_TLS)
        opened: pymysql.Connection[Cursor] = pymysql.Connection(**parameters)  # type: ignore[call-overload]
        return opened

    return login(attempt, server=str(kwargs.get("unix_socket") or "") or server_of(kwargs))
