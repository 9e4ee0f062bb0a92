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

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base
from django.utils.module_loading import import_string

from keyturn.integrations.arguments import LIBPQ, LIBPQ_TLS, arguments, server_of
from keyturn.integrations.login import Login


class DatabaseWrapper(base.DatabaseWrapper):
    """Logs in by itself without a pool; gives a pool a class of connections that log in."""

    def __init__(self, settings_dict: dict[str, object], alias: str = DEFAULT_DB_ALIAS) -> None:
        options = settings_dict["OPTIONS"]
        path = options.get("login") if isinstance(options, Mapping) else None
        login = import_string(path) if isinstance(path, str) else None
        if not isinstance(options, Mapping) or not isinstance(login, Login):
            raise ImproperlyConfigured(
                f"DATABASES[{alias!r}]['OPTIONS']['login'] is not the dotted path of a Login"
            )
        self._login = login
        super().__init__({**settings_dict, "OPTIONS": _with_pooled_logins(options, login)}, alias)

    def get_connection_params(self) -> dict[str, object]:
        """Return the parent's parameters without the option that only this class uses."""
        parameters: dict[str, object] = super().get_connection_params()
        return {name: value for name, value in parameters.items() if name != "login"}

    def get_new_connection(self, conn_params: Mapping[str, object]) -> object:
        """Return a connection of the first version that is accepted.

        Raises `LoginRefusedError` if none is.
        """
        if self.pool:
            return super().get_new_connection(conn_params)
        # `super()` does not work inside a lambda.
        connect = super().get_new_connection
        server = server_of(conn_params)
        return self._login(
            lambda version: connect(arguments(version, LIBPQ, conn_params, LIBPQ_TLS)), server=server
        )


def _with_pooled_logins(options: Mapping[str, object], login: Login) -> dict[str, object]:
    """Return the OPTIONS. If they ask for a pool, the pool opens its connections through `login`."""
    if not options.get("pool"):
        return dict(options)
    from keyturn.integrations.psycopg import connection_class

    given = options["pool"] if isinstance(options["pool"], Mapping) else {}
    return {**options, "pool": {"connection_class": connection_class(login), **given}}
