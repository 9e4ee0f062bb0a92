"""The drivers' names for the fields of a database secret: one mapping for all integrations.

The fields are those that AWS gives its database secrets (a secret managed by RDS has only the first two):
https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple, TypeAlias

from keyturn.errors import SecretFormatError
from keyturn.model.fields import ADVICE_LOGIN, Flaw, Value, login
from keyturn.model.versions import SecretVersion
from keyturn.runtime.host import environment

Names: TypeAlias = Mapping[str, str]
"""Field of the secret -> the driver's argument."""

CREDENTIALS: Final = ("username", "password")

_BYTE_ORDER_MARK: Final = "\ufeff"
"""Some programs on Windows begin a file with it. JSON does not, and a password behind it is a wrong one."""

LIBPQ: Final = {
    "username": "user",
    "password": "password",
    "host": "host",
    "port": "port",
    "dbname": "dbname",
}
PYMYSQL: Final = LIBPQ | {"dbname": "database"}
ASYNCPG: Final = PYMYSQL

ALIASES: Final[Mapping[str, frozenset[str]]] = {
    "username": frozenset({"user", "username"}),
    "password": frozenset({"passwd", "password"}),
    "host": frozenset({"host", "hostname", "server"}),
    "port": frozenset({"port"}),
    "dbname": frozenset({"database", "db", "dbname"}),
}
"""Field of the secret -> every name that some driver has for it. A driver may take several of them."""


class Tls(NamedTuple):
    """What a driver is given where the secret says `"ssl": true` (`on`), and where it says false (`off`).

    The secret is not asked if the caller gives one of the arguments `settling`, or if one of the environment
    `variables` is set, which the driver reads itself. Nor is false believed beside any argument about TLS.
    """

    on: Mapping[str, object]
    off: Mapping[str, object]
    settling: Collection[str]
    variables: Collection[str] = ()

    def is_settled(self, given: Mapping[str, object]) -> bool:
        """Return True if the caller has said whether to use TLS."""
        # libpq then verifies in any case, and takes no weaker mode beside it.
        by_system = given.get("sslrootcert") == "system"
        by_caller = any(given.get(name) for name in self.settling)
        return by_system or by_caller or any(environment().get(name) for name in self.variables)

    def arguments(self, ssl: Value | None, given: Mapping[str, object]) -> Mapping[str, object]:
        """Return the arguments for what the secret says; none if it says nothing, or if the caller does."""
        if ssl is None or self.is_settled(given):
            return {}
        if ssl:
            return self.on
        return {} if any(given[name] for name in given if name.startswith("ssl")) else self.off


LIBPQ_TLS: Final = Tls(
    on={"sslmode": "require"},
    off={"sslmode": "disable"},
    settling=("sslmode", "service"),
    variables=("PGSSLMODE", "PGSERVICE"),
)
PYMYSQL_TLS: Final = Tls(
    on={"ssl": {"check_hostname": False}},
    off={"ssl_disabled": True},
    settling=("ssl", "ssl_disabled", "ssl_ca", "ssl_cert", "ssl_key", "read_default_file"),
)
MYSQLCLIENT_TLS: Final = Tls(
    on={"ssl_mode": "REQUIRED"},
    off={},
    settling=("ssl", "ssl_mode", "read_default_file"),
)
ASYNCPG_TLS: Final = Tls(
    on={"ssl": "require"},
    off={"ssl": "disable"},
    settling=("ssl", "dsn"),
    variables=("PGSSLMODE",),
)


def arguments(
    version: SecretVersion,
    names: Names,
    given: Mapping[str, object] | None = None,
    tls: Tls | None = None,
) -> dict[str, object]:
    """Return the arguments of a connection: the secret's fields by the driver's names, and `given`.

    A given argument comes first, for example the name of a proxy or of another database, by whichever of the
    driver's names. None and an empty text for one of these count as not given: a variable that is not set
    must not lead to another server than the secret's. User name and password are always the secret's.

    Raises `SecretFormatError` if the secret lacks either as text, or if a field that the driver would get is
    not what `keyturn.model.fields` lets through.
    """
    chosen = without_absent(given or {})
    wanted = [field for field in names if field in CREDENTIALS or chosen.keys().isdisjoint(ALIASES[field])]
    asked = None if tls is None or tls.is_settled(chosen) else tls
    fields = login_fields(version, [*wanted, *(["ssl"] if asked is not None else ())])
    secured = asked.arguments(fields.get("ssl"), chosen) if asked is not None else {}
    told = {names[field]: fields[field] for field in wanted if field in fields}
    credentials = {names[field]: fields[field] for field in CREDENTIALS}
    others = {name: value for name, value in chosen.items() if name not in _NAMES_OF_CREDENTIALS}
    return {**told, **others, **secured, **credentials}


_NAMES_OF_CREDENTIALS: Final = frozenset().union(*(ALIASES[field] for field in CREDENTIALS))


def _is_given(value: object) -> bool:
    return value is not None and value != ""


def without_absent(given: Mapping[str, object]) -> dict[str, object]:
    """Return the given arguments without those that name a server or a database by None or an empty text."""
    names = frozenset().union(*ALIASES.values())
    return {name: value for name, value in given.items() if name not in names or _is_given(value)}


def login_fields(version: SecretVersion, wanted: Collection[str]) -> Mapping[str, Value]:
    """Return those of the fields `wanted` that the secret has, judged. User name and password it must have.

    Raises `SecretFormatError`, which names the field.
    """
    fields = login(version.json(), wanted)
    if isinstance(fields, Flaw):
        raise fields.error(version.secret_id)
    missing = [name for name in CREDENTIALS if name not in fields]
    if missing:
        raise SecretFormatError(
            version.secret_id, f"no text in the field {' and '.join(missing)}", advice=ADVICE_LOGIN
        )
    return fields


def user_and_password(version: SecretVersion) -> tuple[str | None, str]:
    """Return the user name, None for the server's default user, and the password.

    The secret is an object with a password and perhaps a username, or the bare password. Raises
    `SecretFormatError`.
    """
    found = _user_and_password(version)
    if isinstance(found, Flaw):
        raise found.error(version.secret_id)
    return found


def _user_and_password(version: SecretVersion) -> tuple[str | None, str] | Flaw:
    text = version.text()
    if text.startswith(_BYTE_ORDER_MARK):
        return Flaw("begins with U+FEFF, a mark of the byte order", "store the text without that mark")
    is_object = text.lstrip().startswith("{")
    fields = login(version.json() if is_object else {"password": text}, CREDENTIALS)
    if isinstance(fields, Flaw):
        return fields
    if "password" not in fields:
        return Flaw("no text in the field password", ADVICE_LOGIN)
    user = fields.get("username")
    return (None if user is None else str(user)), str(fields["password"])


def server_of(given: Mapping[str, object], *, host: str = "host", port: str = "port") -> str:
    """Name the server that the caller gave, as `host:port`; empty where the secret names it.

    `host` and `port` are the driver's names of the two arguments.
    """
    chosen = [str(given.get(name) or "") for name in (host, port)]
    return ":".join(chosen) if any(chosen) else ""
