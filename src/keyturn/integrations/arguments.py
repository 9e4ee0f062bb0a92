"""How the fields of a database secret are named by the drivers: one mapping for all integrations.

The fields are those that AWS gives its database secrets (a secret managed by RDS has the first two
only): https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
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
    """What to connect with: the secret's fields by the driver's names, and what the caller gave.

    What was given wins, as the name of a proxy or of another database does; user name and password
    are always the secret's. `SecretFormatError` if it has not both, as text.
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
    """The usable fields of the secret; a port is a number."""
    document = version.json()
    if not isinstance(document, dict):
        raise SecretFormatError(version.secret_id, "JSON, but not an object with the fields of a login")
    fields: dict[str, str | int] = {
        name: value for name, value in document.items() if isinstance(value, str) and value
    }
    port = document.get("port")
    if isinstance(port, int) or (isinstance(port, str) and port.isdecimal()):
        fields["port"] = int(port)
    missing = [name for name in CREDENTIALS if name not in fields]
    if missing:
        raise SecretFormatError(version.secret_id, f"without a text {' and '.join(missing)}")
    return fields
