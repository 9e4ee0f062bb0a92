"""What the backends share: the login that the settings name, sessions that end, and the server's shell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from keyturn.integrations.arguments import CREDENTIALS, Names, Tls, arguments, server_of
from keyturn.integrations.login import Login, Opened
from keyturn.model.versions import SecretVersion

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.client import BaseDatabaseClient

    _Wrapper = BaseDatabaseWrapper
else:
    _Wrapper = object

OPTIONS: Final = frozenset({"login", "retire_superseded"})
"""The options in the settings that are keyturn's and not the driver's."""

SETTING_OF: Final = {
    "username": "USER",
    "password": "PASSWORD",
    "host": "HOST",
    "port": "PORT",
    "dbname": "NAME",
}


def login_of(settings: Mapping[str, object], alias: str) -> Login:
    """Return the login that a database's settings name. Raises `ImproperlyConfigured` if there is none."""
    options = settings["OPTIONS"]
    path = options.get("login") if isinstance(options, Mapping) else None
    login = import_string(path) if isinstance(path, str) else None
    if not isinstance(login, Login):
        raise ImproperlyConfigured(
            f"DATABASES[{alias!r}]['OPTIONS']['login'] is not the dotted path of a Login"
        )
    return login


@dataclass(frozen=True, slots=True)
class Driver:
    """How a backend's driver names the fields of a secret."""

    names: Names
    tls: Tls


class LoginMixin(_Wrapper):
    """A backend whose connections log in by `login`. Stands before Django's own backend."""

    driver: Driver
    _login: Login
    opened: Opened | None = None
    retires: bool = False

    def __init__(self, settings_dict: dict[str, object], alias: str) -> None:
        self._login = login_of(settings_dict, alias)
        options = settings_dict["OPTIONS"]
        self.retires = isinstance(options, Mapping) and bool(options.get("retire_superseded"))
        super().__init__(settings_dict, alias)

    def get_connection_params(self) -> dict[str, object]:
        """Return the parent's parameters without the options that only this class uses."""
        parameters: dict[str, object] = super().get_connection_params()
        return {name: value for name, value in parameters.items() if name not in OPTIONS}

    def close_if_unusable_or_obsolete(self) -> None:
        """Close the connection as Django does at the ends of a request, and a superseded one if so chosen."""
        super().close_if_unusable_or_obsolete()
        may_close = self.retires and self.connection is not None and not self.in_atomic_block
        if may_close and self.opened is not None and self._login.is_superseded(self.opened):
            self.close()

    def log_in(self, connect: Callable[[dict[str, object]], object], given: Mapping[str, object]) -> object:
        """Return what `connect` returns for the arguments with the first version that is accepted."""
        connection, self.opened = self._login.open(
            lambda version: connect(self._arguments(version, given)), server=server_of(given)
        )
        return connection

    def connect_once(self, parameters: dict[str, object]) -> object:
        """Return a connection of the driver's own. Each backend has it."""
        raise NotImplementedError

    def shell_settings(self) -> dict[str, object]:
        """Return the settings with the server and the login of the version that the server accepts now."""
        given = self.get_connection_params()

        def attempt(version: SecretVersion) -> dict[str, object]:
            found = self._arguments(version, given)
            close = getattr(self.connect_once(found), "close", None)
            if callable(close):
                close()
            return found

        found = self._login(attempt, server=server_of(given))
        names = {field: self.driver.names[field] for field in SETTING_OF}
        told = {SETTING_OF[field]: found.get(name, "") for field, name in names.items()}
        options = self.settings_dict["OPTIONS"]
        others = {
            name: value for name, value in options.items() if name not in (*names.values(), *CREDENTIALS)
        }
        return {**self.settings_dict, **told, "OPTIONS": others}

    def _arguments(self, version: SecretVersion, given: Mapping[str, object]) -> dict[str, object]:
        return arguments(version, self.driver.names, given, self.driver.tls)


if TYPE_CHECKING:
    _Client = BaseDatabaseClient
else:
    _Client = object


class ShellMixin(_Client):
    """`manage.py dbshell`: the server's own client, as the user and on the host of the secret."""

    def runshell(self, parameters: Iterable[str]) -> None:
        """Log in once, to find the version that the server accepts, and run the client with it."""
        backend = self.connection
        assert isinstance(backend, LoginMixin)  # noqa: S101 # for the type checker: the backends make the clients
        # All that the client looks at.
        self.connection = SimpleNamespace(settings_dict=backend.shell_settings())  # type: ignore[assignment]
        try:
            super().runshell(parameters)
        finally:
            self.connection = backend
