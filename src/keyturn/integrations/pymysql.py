"""PyMySQL, and any pool that is given a function to connect with.

A connection of PyMySQL's own:

    connection = connect(Login(cache, "prod/orders"), autocommit=True)
"""

from __future__ import annotations

import pymysql
from pymysql.cursors import Cursor

from keyturn.integrations.arguments import PYMYSQL, arguments, server_of
from keyturn.integrations.login import Login
from keyturn.model.versions import SecretVersion


def connect(login: Login, **kwargs: object) -> pymysql.Connection[Cursor]:
    """One connection; the arguments are those of `pymysql.connect`.

    User and password are the secret's, as are host, port and database where `kwargs` has them not.
    Raises `LoginRefusedError`, or what PyMySQL raises for anything but a refusal.
    """

    def attempt(version: SecretVersion) -> pymysql.Connection[Cursor]:
        # PyMySQL judges the arguments itself.
        parameters = arguments(version, PYMYSQL, kwargs)
        opened: pymysql.Connection[Cursor] = pymysql.Connection(**parameters)  # type: ignore[call-overload]
        return opened

    return login(attempt, server=str(kwargs.get("unix_socket") or "") or server_of(kwargs))
