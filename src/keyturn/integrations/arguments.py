"""The drivers' names for the fields of a database secret: one mapping for all integrations.

The fields are those that AWS gives its database secrets (a secret managed by RDS has only the first two):
https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from keyturn.errors import SecretFormatError
from keyturn.model.versions import SecretVersion

Names: TypeAlias = Mapping[str, str]
"""Field of the secret -> the driver's argument."""

CREDENTIALS: Final = ("username", "password")

LIBPQ: Final = {
    "username": "user",
    "password": "password",
    "host": "host",
    "port": "port",
    "dbname": "dbname",
}
PYMYSQL: Final = LIBPQ | {"dbname": "database"}
REDIS: Final = {"username": "username", "password": "password"}


def arguments(
    version: SecretVersion, names: Names, given: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return the arguments of a connection: the secret's fields by the driver's names, and `given`.

    A given argument comes first, for example the name of a proxy or of another database. User name and
    password are always the secret's. Raises `SecretFormatError` if the secret lacks either as text.
    """
    fields = _fields(version)
    told = {names[field]: value for field, value in fields.items() if field in names}
    credentials = {names[field]: fields[field] for field in CREDENTIALS}
    return {**told, **(given or {}), **credentials}


def server_of(given: Mapping[str, object], *, host: str = "host", port: str = "port") -> str:
    """Name the server that the caller gave, as `host:port`; empty where the secret names it.

    `host` and `port` are the driver's names of the two arguments.
    """
    chosen = [str(given.get(name) or "") for name in (host, port)]
    return ":".join(chosen) if any(chosen) else ""


def _fields(version: SecretVersion) -> dict[str, str | int]:
    """Return the usable fields of the secret, with the port as a number."""
    document = version.json()
    if not isinstance(document, dict):
        raise SecretFormatError(version.secret_id, "its JSON is not an object with the fields of a login")
    fields: dict[str, str | int] = {
        name: value for name, value in document.items() if isinstance(value, str) and value
    }
    port = document.get("port")
    if isinstance(port, int) or (isinstance(port, str) and port.isdecimal()):
        fields["port"] = int(port)
    missing = [name for name in CREDENTIALS if name not in fields]
    if missing:
        raise SecretFormatError(version.secret_id, f"no text in the field {' and '.join(missing)}")
    return fields
