"""A secret that rotates, and the server that its value opens, for tests of code that uses the two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.testing.events import SecretEvents
from keyturn.testing.rotation import Rotation, RotationFunction, StepFunctions, labelled, version_stages

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from keyturn.testing.events import EventBus
    from keyturn.testing.fakes import FakeClock

Strategy: TypeAlias = Literal["single-user", "alternating-users"]
"""AWS's two rotation strategies: the user's password changes, or two users take turns."""

CLONE_SUFFIX: Final = "_clone"
"""The suffix that AWS's rotation functions give to the name of the second user."""


class WrongPasswordError(Exception):
    """The server refuses these credentials. The error stands for a driver's, so it is no `KeyturnError`."""


def is_wrong_password(error: Exception) -> bool:
    """Return True for a refusal of a `PasswordServer`. Use it as `is_refused` of a login."""
    return isinstance(error, WrongPasswordError)


class PasswordServer:
    """A server with one password per user. setSecret changes the password; `refused` lists refused logins."""

    def __init__(self, user: str, password: str) -> None:
        self.logins: list[str] = []
        self.refused: list[str] = []
        self._passwords = {user: password}

    def log_in(self, version: SecretVersion) -> str:
        """Log in with a version of the secret and return the user. Raises `WrongPasswordError`.

        The version's id is added to `logins` or to `refused`.
        """
        user, password = credentials(version.text())
        if self._passwords.get(user) != password:
            self.refused.append(version.version_id)
            raise WrongPasswordError(f"password authentication failed for version {version.version_id}")
        self.logins.append(version.version_id)
        return user

    def change(self, value: str) -> None:
        """setSecret: accept the user and the password in `value` from now on."""
        user, password = credentials(value)
        self._passwords[user] = password

    def check(self, value: str) -> None:
        """testSecret: raise `WrongPasswordError` unless `value` logs in."""
        user, password = credentials(value)
        if self._passwords.get(user) != password:
            raise WrongPasswordError(f"password authentication failed for user {user!r}")


class RotatingSecret:
    """A secret of `client`, the server that accepts it, and rotations whose events go to `bus`.

    `value` is text (a password) or a mapping with `username` and `password`. Not thread-safe.
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
        self.name: Final = name
        self.arn: Final = client.create_secret(Name=name, SecretString=text)["ARN"]
        self.server: Final = PasswordServer(*credentials(text))
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
        user = str(fields.get("username", ""))
        if self._strategy == "alternating-users":
            user = user.removesuffix(CLONE_SUFFIX) if user.endswith(CLONE_SUFFIX) else user + CLONE_SUFFIX
        return json.dumps({**fields, "username": user, "password": password})


def credentials(value: str) -> tuple[str, str]:
    """Return the user and the password in a secret's value. Text that is no JSON object is a password."""
    fields = as_fields(value)
    return ("", value) if fields is None else (str(fields.get("username", "")), str(fields.get("password")))


def as_fields(value: str) -> Mapping[str, object] | None:
    """Return the fields of a JSON object, or None for other text."""
    try:
        parsed: object = json.loads(value)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
