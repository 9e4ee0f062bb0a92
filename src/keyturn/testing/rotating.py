"""A secret that rotates, and the server that its value opens, for tests of code that uses the two."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, get_args

from keyturn.errors import ConfigurationError
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.testing.events import SecretEvents
from keyturn.testing.rotation import Rotation, RotationFunction, StepFunctions, labelled, version_stages

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from keyturn.testing.events import EventBus
    from keyturn.testing.fakes import FakeClock

Connection = TypeVar("Connection")

Strategy: TypeAlias = Literal["single-user", "alternating-users"]
"""AWS's two rotation strategies: the user's password changes, or two users take turns."""

CLONE_SUFFIX: Final = "_clone"
"""The suffix that AWS's rotation functions give to the name of the second user."""


class WrongPasswordError(Exception):
    """The server refuses these credentials. The error stands for a driver's, so it is no `KeyturnError`.

    It has PostgreSQL's code of a wrong password, so `keyturn.is_refused` knows it, too.
    """

    sqlstate: Final = "28P01"


def is_wrong_password(error: Exception) -> bool:
    """Return True for a refusal of a `PasswordServer`. Use it as `is_refused` of a login."""
    return isinstance(error, WrongPasswordError)


class PasswordServer:
    """A server with one password per user. setSecret changes the password; `refused` lists refused logins.

    `field` is the field of the secret's JSON value that holds the password.
    """

    def __init__(self, user: str, password: str, *, field: str = "password") -> None:
        self.logins: list[str] = []
        self.refused: list[str] = []
        self._passwords = {user: password}
        self._field = field

    def log_in(self, version: SecretVersion) -> str:
        """Log in with a version of the secret and return the user. Raises `WrongPasswordError`.

        The version's id is added to `logins` or to `refused`.
        """
        user, password = credentials(version.text(), self._field)
        if not self._accepts(user, password):
            self.refused.append(version.version_id)
            raise WrongPasswordError(f"password authentication failed for version {version.version_id}")
        self.logins.append(version.version_id)
        return user

    def driver(self, connect: Callable[[], Connection]) -> Callable[..., Connection]:
        """Return a stand-in for a driver's connect function: `psycopg.connect`, `pymysql.connect`, ...

        It takes the driver's keyword arguments, and looks at `user` (or `username`) and `password` (or
        `passwd`) only. If they are right it returns what `connect()` returns, otherwise it raises
        `WrongPasswordError`. It adds the user to `logins` or to `refused`. Raises `ConfigurationError` for a
        connection string without them beside it.
        """

        def log_in(*address: object, **arguments: object) -> Connection:
            given = arguments.get("user", arguments.get("username"))
            password = arguments.get("password", arguments.get("passwd"))
            user = "" if given is None else str(given)
            if address and None in (given, password) and "" not in self._passwords:
                raise ConfigurationError(
                    "the stand-in for a driver reads no connection string: pass user and password by name"
                )
            if not self._accepts(user, password):
                self.refused.append(user)
                raise WrongPasswordError(f"password authentication failed for user {user!r}")
            self.logins.append(user)
            return connect()

        return log_in

    def change(self, value: str) -> None:
        """setSecret: accept the user and the password in `value` from now on."""
        user, password = credentials(value, self._field)
        self._passwords[user] = password

    def check(self, value: str) -> None:
        """testSecret: raise `WrongPasswordError` unless `value` logs in."""
        user, password = credentials(value, self._field)
        if not self._accepts(user, password):
            raise WrongPasswordError(f"password authentication failed for user {user!r}")

    def _accepts(self, user: str, password: object) -> bool:
        """Return True for the password of a user that the server knows."""
        return user in self._passwords and self._passwords[user] == password


class RotatingSecret:
    """A secret of `client`, the server that accepts it, and rotations whose events go to `bus`.

    `value` is text (a password) or a mapping, as with `username` and `password`. A rotation changes the field
    `password`, or the first field of a value without it, and leaves the others as they are. With the strategy
    "alternating-users" it changes `username` as well.

    Raises `ConfigurationError` for a strategy that does not exist, and for alternating users without a
    `username`. Not thread-safe.
    """

    def __init__(
        self,
        client: SecretsManagerClient,
        name: str,
        value: str | Mapping[str, str],
        *,
        strategy: Strategy,
        bus: EventBus,
        clock: FakeClock,
    ) -> None:
        text = value if isinstance(value, str) else json.dumps(dict(value))
        self._field = _password_field(text)
        _check_strategy(strategy, text, name)
        self.name: Final = name
        self.arn: Final = client.create_secret(Name=name, SecretString=text)["ARN"]
        self.server: Final = PasswordServer(*credentials(text, self._field), field=self._field)
        self.clock: Final = clock
        self._client = client
        self._strategy = strategy
        self._bus = bus
        self._rotations = count(1)

    def __repr__(self) -> str:
        return f"RotatingSecret({self.name!r})"

    @property
    def current_version_id(self) -> str:
        """Return the version that DescribeSecret shows under AWSCURRENT now."""
        version_id = labelled(version_stages(self._client, self.name), AWSCURRENT)
        if version_id is None:
            raise AssertionError(f"secret {self.name!r}: no version carries {AWSCURRENT}")
        return version_id

    def rotation(self, function: RotationFunction | None = None, *, cloudtrail: bool = False) -> Rotation:
        """Return a rotation that has not begun. With `cloudtrail` its events come through CloudTrail, too.

        `function` is a rotation function of yours, which then does the steps. It must call `server.change`
        itself, since `server` learns of no change otherwise.
        """
        events = self._events(cloudtrail=cloudtrail)
        return Rotation(self._client, self.arn, function or self._steps(), events=events)

    def rotate(self) -> Rotation:
        """Do all four steps of a rotation at once. Return the rotation, which can still be rolled back."""
        rotation = self.rotation()
        rotation.run()
        return rotation

    def put(self, value: str) -> str:
        """Store a value outside any rotation and return its version id. The server keeps the old value."""
        with self._events(cloudtrail=False).telling():
            return self._client.put_secret_value(SecretId=self.name, SecretString=value)["VersionId"]

    def _steps(self) -> StepFunctions:
        return StepFunctions(
            self._client,
            new_value=self._new_value,
            set_value=lambda _current, pending: self.server.change(pending),
            test_value=self.server.check,
        )

    def _events(self, *, cloudtrail: bool) -> SecretEvents:
        return SecretEvents(
            self._client, self.name, self._bus.send, wall=self.clock.wall, cloudtrail=cloudtrail
        )

    def _new_value(self, current: str) -> str:
        password = f"rotated-{next(self._rotations)}"
        fields = as_fields(current)
        if fields is None:
            return password
        changed = {self._field: password}
        if self._strategy == "alternating-users":
            user = str(fields["username"])
            clone = user.removesuffix(CLONE_SUFFIX) if user.endswith(CLONE_SUFFIX) else user + CLONE_SUFFIX
            changed["username"] = clone
        return json.dumps({**fields, **changed})


def _check_strategy(strategy: str, text: str, name: str) -> None:
    known = get_args(Strategy)
    if strategy not in known:
        raise ConfigurationError(
            f"secret {name!r}: strategy={strategy!r} does not exist; use {' or '.join(map(repr, known))}"
        )
    if strategy == "alternating-users" and "username" not in (as_fields(text) or {}):
        raise ConfigurationError(
            f"secret {name!r}: alternating users need the field 'username', which its value has not"
        )


def _password_field(text: str) -> str:
    """Return the field that a rotation changes: `password`, or the first one of a value without it."""
    fields = as_fields(text)
    return "password" if not fields or "password" in fields else next(iter(fields))


def credentials(value: str, field: str = "password") -> tuple[str, str]:
    """Return the user and the password in a secret's value. Text that is no JSON object is a password."""
    fields = as_fields(value)
    return ("", value) if fields is None else (str(fields.get("username", "")), str(fields.get(field)))


def as_fields(value: str) -> Mapping[str, object] | None:
    """Return the fields of a JSON object, or None for other text."""
    try:
        parsed: object = json.loads(value)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
