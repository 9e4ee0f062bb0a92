"""What a rotation believes of a secret, for every kind of server.

Whoever may put a value of a secret may not thereby use what the rotation function can do: send a password to
a server of his choice, or change an account that is not this secret's. So a function asks here first. What
depends on the kind of server stands behind `Engine`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final, NamedTuple, Protocol, TypeVar

from keyturn.errors import KeyturnError, SecretError, SecretFormatError
from keyturn.integrations.arguments import login_fields
from keyturn.model.fields import ADVICE_LOGIN, LOGIN, Value
from keyturn.model.protocols import SecretSource
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.runtime.frames import drop_attributes
from keyturn.runtime.quotes import without_values

CLONE: Final = "_clone"

_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252}[A-Za-z0-9_.])?")
"""A name in DNS, or an IPv4 address. A list of hosts and the path of a socket are neither."""

_T = TypeVar("_T")


class RotationStepError(KeyturnError):
    """The step cannot be done in the present state of the secret or the server. The message has no value."""


class UnshownError(RotationStepError):
    """No version that was given is let in, or shows that the account is the secret's. An older one may."""


class Unshown(str):
    """An objection that does not hold if a version of the secret shows that the account is the secret's."""

    __slots__ = ()


class Address(NamedTuple):
    """The server that a password may be sent to."""

    host: str
    port: int

    def __repr__(self) -> str:
        return "Address(...)"


@dataclass(frozen=True, slots=True)
class Account:
    """What a version of a secret says, judged field by field. The repr shows the secret's id only."""

    secret_id: str
    username: str = field(repr=False)
    password: str = field(repr=False)
    host: str | None = field(default=None, repr=False)
    port: int | None = field(default=None, repr=False)
    dbname: str | None = field(default=None, repr=False)
    ssl: bool | None = field(default=None, repr=False)
    engine: str | None = field(default=None, repr=False)
    masterarn: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, version: SecretVersion, engines: Collection[str] = ()) -> Account:
        """Return the account of a version. Raises `SecretFormatError` for a field that is not fit for one.

        Raises `RotationStepError` if the secret says that it is for another kind of server than `engines`.
        """
        fields = login_fields(version, LOGIN)
        if "host" in fields and not is_one_host(fields["host"]):
            raise SecretFormatError(
                version.secret_id, "the field host is not one name or address", advice=ADVICE_LOGIN
            )
        account = cls(version.secret_id, **fields)  # type: ignore[arg-type] # judged, each of its own type
        if engines and account.engine is not None and account.engine.lower() not in engines:
            raise RotationStepError(
                f"secret {account.secret_id!r}: its engine is none of {', '.join(engines)}"
            )
        return account

    def value(self, name: str) -> Value | None:
        """Return the field of this name."""
        value: Value | None = getattr(self, name)
        return value.lower() if name == "host" and isinstance(value, str) else value


class Master(Protocol):
    """A session that may change the accounts of other users."""

    def objection(self, user: str, other: str) -> str | None:
        """Return why the secret of `user` must not change the password of `other`; None if it may.

        An `Unshown` text says that the versions of the secret which are known do not suffice.
        """
        ...

    def change(self, current: Account, pending: Account) -> None:
        """Make the server accept `pending`. A new user gets the rights of the user of `current`."""
        ...


class Engine(Protocol):
    """One kind of server, as the checks need it."""

    def accepts(self, account: Account, address: Address) -> bool:
        """Return True if the server lets this account in, and False if it refuses the credentials."""
        ...

    def as_master(self, account: Account, address: Address) -> AbstractContextManager[Master] | None:
        """Log in for changes of other users. Return None if the server refuses the credentials."""
        ...


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the accounts of one function are. `host` and `port` are its options."""

    default_port: int
    host: str | None = None
    port: int | None = None

    def of(self, account: Account) -> Address:
        """Return where to connect: as the options say, else as the account's own version.

        Raises `SecretFormatError` if neither names a host.
        """
        host = self.host or account.host
        if host is None:
            raise SecretFormatError(account.secret_id, "no text in the field host", advice=ADVICE_LOGIN)
        return Address(host.lower(), self.port or account.port or self.default_port)

    def told(self, account: Account) -> Address | None:
        """Return the server that the account's version names, with the options for what it leaves out."""
        host = account.host or self.host
        return None if host is None else Address(host.lower(), account.port or self.port or self.default_port)


def is_one_host(host: Value) -> bool:
    """Return True for one name or address: neither a list, nor a socket, nor an address with a zone."""
    if not isinstance(host, str):
        return False
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return _HOST.fullmatch(host) is not None


def must_be_configured(described: Mapping[str, object], secret_id: str, invoked: object) -> None:
    """Raise `RotationStepError` unless the secret is rotated, and by the function that was invoked.

    `described` is the answer of DescribeSecret. `invoked` is the ARN in the Lambda context; outside of Lambda
    there is none, and then any function will do.
    """
    if described.get("RotationEnabled") is not True:
        raise RotationStepError(f"secret {secret_id!r}: rotation is not enabled")
    configured = described.get("RotationLambdaARN")
    if isinstance(invoked, str) and _unqualified(configured) != _unqualified(invoked):
        raise RotationStepError(f"secret {secret_id!r}: it is rotated by another function than {invoked}")


def must_agree(current: Account, pending: Account, names: Collection[str]) -> None:
    """Raise `RotationStepError` unless the two versions have the same in these fields.

    AWSPENDING need not be the work of createSecret.
    """
    differing = [name for name in names if current.value(name) != pending.value(name)]
    if differing:
        names_text = " and ".join(differing)
        raise RotationStepError(f"secret {current.secret_id!r}: its versions differ in {names_text}")


def master_of(source: SecretSource, account: Account, engines: Collection[str]) -> Account:
    """Return the account of the secret that `masterarn` names. Raises `RotationStepError` without one."""
    if account.masterarn is None:
        raise RotationStepError(f"secret {account.secret_id!r}: no text in the field masterarn")
    return Account.of(source.read(account.masterarn, stage=AWSCURRENT), engines)


def other_user(account: Account, bytes_max: int) -> str:
    """Return the user whose turn follows: `app_clone` after `app`, and `app` after `app_clone`.

    Raises `RotationStepError` if the server would cut one of the names, so that it could become another's.
    """
    if not all(0 < len(name.encode()) <= bytes_max for name in (account.username, _next(account.username))):
        raise RotationStepError(
            f"secret {account.secret_id!r}: the name of one of the two users would be empty or exceed "
            f"{bytes_max} bytes"
        )
    return _next(account.username)


def same_account(current: Account, versions: Iterable[SecretVersion], addresses: Addresses) -> list[Account]:
    """Return `current` and those of the versions that are of the same user at the same address.

    AWSPREVIOUS may be of another user, or be planted: its password goes nowhere else than it went before.
    """
    found = [current]
    for version in versions:
        try:
            account = Account.of(version)
            is_same = account.username == current.username and addresses.of(account) == addresses.of(current)
        except SecretError:
            continue
        if is_same:
            found.append(account)
    return found


def must_be_apart(current: Account, master: Account, addresses: Addresses) -> Address:
    """Return where to connect. Raise `RotationStepError` unless both name one server, and other users.

    Call it before anything is sent.
    """
    told = addresses.told(master)
    if told is None:
        # The host that the app's secret names may be anybody's.
        raise RotationStepError(
            f"secret {master.secret_id!r}: it names no host; give the strategy host=... and port=..."
        )
    if addresses.told(current) != told:
        raise RotationStepError(
            f"secret {current.secret_id!r}: it and the master's {master.secret_id!r} differ in host or port; "
            "if the master's names none, give the strategy host=... and port=..."
        )
    if _turns(current.username) & _turns(master.username):
        raise RotationStepError(f"secret {current.secret_id!r}: it names the master's own user")
    return addresses.of(current)


def first_accepted(engine: Engine, accounts: Sequence[Account], address: Address) -> Account:
    """Return the first of the accounts of a secret that the server lets in.

    Raises `UnshownError` if it refuses all of them.
    """
    for account in accounts:
        if engine.accepts(account, address):
            return account
    raise UnshownError(
        f"secret {accounts[0].secret_id!r}: the server refuses AWSCURRENT, AWSPREVIOUS and AWSPENDING"
    )


def change_as_master(
    engine: Engine, current: Account, pending: Account, master: Account, address: Address
) -> None:
    """Let a master change the account of `pending`, once AWSCURRENT has shown that the secret is in use.

    A password that was made up for somebody else's account does not pass. Raises `RotationStepError` if the
    server refuses AWSCURRENT or the master, or if the account is one that the secret must not change.
    """
    if not engine.accepts(current, address):
        raise RotationStepError(
            f"secret {current.secret_id!r}: the server refuses AWSCURRENT, so its master was not asked; "
            "store the user's password, or set it to the stored one"
        )
    opened = engine.as_master(master, address)
    if opened is None:
        raise RotationStepError(f"secret {master.secret_id!r}: the server refuses AWSCURRENT")
    without_frames(lambda: _changed(opened, current, pending))


def with_fields(current: SecretVersion, **changed: str) -> str:
    """Return the text of a version like `current`, with these fields changed."""
    document = current.json()
    return written({**document, **changed} if isinstance(document, dict) else changed)


def written(document: Mapping[str, object]) -> str:
    """Return the JSON to store. Letters stay letters: escapes could exceed what Secrets Manager takes."""
    return json.dumps(document, ensure_ascii=False)


def without_frames(call: Callable[[], _T], *values: str) -> _T:
    """Return what `call` returns. Its errors lose the frames of drivers, whose variables hold values.

    Where they quote one of `values`, that is replaced. keyturn's own errors keep their frames.
    """
    try:
        return call()
    except KeyturnError:
        raise
    except Exception as error:  # noqa: BLE001 # raised below
        failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
        drop_attributes(failure)
    without_values(failure, values)
    # The traceback has this frame.
    del values
    raise failure


def _changed(opened: AbstractContextManager[Master], current: Account, pending: Account) -> None:
    with opened as session:
        objection = session.objection(current.username, pending.username)
        if objection is not None:
            kind = UnshownError if isinstance(objection, Unshown) else RotationStepError
            raise kind(f"secret {current.secret_id!r}: {objection}")
        session.change(current, pending)


def _next(user: str) -> str:
    return user.removesuffix(CLONE) if user.endswith(CLONE) else user + CLONE


def _turns(user: str) -> set[str]:
    """Return the user and those whose turn could follow or come before."""
    return {user, user.removesuffix(CLONE), user + CLONE}


def _unqualified(arn: object) -> object:
    return arn.removesuffix(":$LATEST") if isinstance(arn, str) else None
