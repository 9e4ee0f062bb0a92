"""Django's PostgreSQL backend, which opens every new connection through keyturn's login.

    DATABASES = {"default": {
        "ENGINE": "keyturn.integrations.django",
        "NAME": "orders",
        "OPTIONS": {"login": "orders.secrets.login", "pool": True},
    }}

`login` is the dotted path of a `keyturn.integrations.login.Login`, since settings are copied and sent to
other processes, and a cache cannot be. Host, port and name in the settings come before the secret's.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base, client

from keyturn.integrations.arguments import LIBPQ, LIBPQ_TLS
from keyturn.integrations.django.logging_in import Driver, LoginMixin, ShellMixin, login_of
from keyturn.integrations.login import Login


class DatabaseClient(ShellMixin, client.DatabaseClient):
    """psql for `manage.py dbshell`."""


class DatabaseWrapper(LoginMixin, base.DatabaseWrapper):
    """Logs in by itself without a pool; gives a pool a class of connections that log in."""

    client_class = DatabaseClient
    driver = Driver(LIBPQ, LIBPQ_TLS)

    def __init__(self, settings_dict: dict[str, object], alias: str = DEFAULT_DB_ALIAS) -> None:
        login = login_of(settings_dict, alias)
        super().__init__(
            {**settings_dict, "OPTIONS": _with_pooled_logins(settings_dict["OPTIONS"], login)}, alias
        )

    def get_new_connection(self, conn_params: Mapping[str, object]) -> object:
        """Return a connection of the first version that is accepted.

        Raises `LoginRefusedError` if none is.
        """
        if not self.pool:
            return self.log_in(super().get_new_connection, conn_params)
        connection = super().get_new_connection(conn_params)
        while self.retires and _is_retired(connection):
            # The pool opens another one in its place.
            self.pool.putconn(connection)
            connection = super().get_new_connection(conn_params)
        return connection

    def connect_once(self, parameters: dict[str, object]) -> object:
        """Return a connection of psycopg's own."""
        return super().get_new_connection(parameters)


def _with_pooled_logins(options: object, login: Login) -> object:
    """Return the OPTIONS. If they ask for a pool, the pool opens its connections through `login`."""
    if not isinstance(options, Mapping) or not options.get("pool"):
        return options
    from keyturn.integrations.psycopg import connection_class

    given = options["pool"] if isinstance(options["pool"], Mapping) else {}
    return {**options, "pool": {"connection_class": connection_class(login), **given}}


def _is_retired(connection: object) -> bool:
    """Close a pooled connection if it is superseded, and return True then. The pool's `check` is Django's."""
    from keyturn.integrations.psycopg import LoginConnection, SupersededError, retire_superseded

    if not isinstance(connection, LoginConnection):
        return False
    try:
        retire_superseded(connection)
    except SupersededError:
        return True
    return False
