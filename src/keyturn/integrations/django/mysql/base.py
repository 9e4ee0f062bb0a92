"""Django's MySQL backend (MySQL, MariaDB, mysqlclient), which opens every new connection by keyturn's login.

    DATABASES = {"default": {
        "ENGINE": "keyturn.integrations.django.mysql",
        "NAME": "orders",
        "OPTIONS": {"login": "orders.secrets.login"},
    }}

See `keyturn.integrations.django.base`.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.mysql import base, client

from keyturn.integrations.arguments import MYSQLCLIENT_TLS, PYMYSQL
from keyturn.integrations.django.logging_in import Driver, LoginMixin, ShellMixin


class DatabaseClient(ShellMixin, client.DatabaseClient):
    """The client `mysql` for `manage.py dbshell`."""


class DatabaseWrapper(LoginMixin, base.DatabaseWrapper):
    """Logs in by itself."""

    client_class = DatabaseClient
    driver = Driver(PYMYSQL, MYSQLCLIENT_TLS)

    def __init__(self, settings_dict: dict[str, object], alias: str = DEFAULT_DB_ALIAS) -> None:
        super().__init__(settings_dict, alias)

    def get_new_connection(self, conn_params: Mapping[str, object]) -> object:
        """Return a connection of the first version that is accepted.

        Raises `LoginRefusedError` if none is.
        """
        return self.log_in(super().get_new_connection, conn_params)

    def connect_once(self, parameters: dict[str, object]) -> object:
        """Return a connection of mysqlclient's own."""
        return super().get_new_connection(parameters)
