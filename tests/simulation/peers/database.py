"""A database that accepts the passwords that a rotation has set, and the line on which hosts reach it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import Wire

SERVERS: Final = {"": 0.0, "replica": 15.0}
"""The servers behind one secret, and how many seconds each is behind the first one."""

HANG_MAX_S: Final = 8.0
"""How long a connection hangs at most before it times out."""


class RefusedError(Exception):
    """Wrong credentials, in PostgreSQL's words."""

    sqlstate = "28P01"


class WhimError(RefusedError):
    """The same words about credentials that are right."""


@dataclass(frozen=True, slots=True)
class Password:
    """What a user has to say, and since when (true seconds)."""

    text: str = field(repr=False)
    since_s: float


@dataclass(slots=True)
class Database:
    """Users and their one password each, on several servers that learn of it one after the other."""

    scheduler: Scheduler
    passwords: dict[str, list[Password]] = field(default_factory=dict)

    def set_password(self, value: str) -> None:
        """What setSecret does with a secret's value, `user:password`; again changes nothing."""
        user, _, text = value.partition(":")
        known = self.passwords.setdefault(user, [])
        if not known or known[-1].text != text:
            known.append(Password(text, self.scheduler.now_s))

    def accepts_since(self, value: str, server: str) -> float | None:
        """Since when this server accepts this secret's value; None if it would refuse it now."""
        (user, _, text), lag_s = value.partition(":"), SERVERS[server]
        seen_s = self.scheduler.now_s - lag_s
        # The first password of all is there from the beginning.
        seen = [one for one in self.passwords.get(user, ()) if one.since_s <= seen_s]
        known = seen[-1] if seen else next(iter(self.passwords.get(user, ())), None)
        return known.since_s + lag_s if known is not None and known.text == text else None


def connect(database: Database, server: str, wire: Wire, value: str) -> None:
    """Log in to this server. Raises `RefusedError`, or `TimeoutError` where the server does not answer."""
    weather, user = wire.weather, value.partition(":")[0]
    words = f'password authentication failed for user "{user}"'

    def failure() -> Exception | None:
        if not weather.hits(weather.database_error, "logins timed out"):
            return None
        if weather.random.random() < 0.5:
            wire.scheduler.pause(HANG_MAX_S * weather.random.random())
        return TimeoutError()

    if wire.call(lambda: database.accepts_since(value, server), failure) is None:
        raise RefusedError(words)
    if weather.hits(weather.database_whims, "right passwords refused"):
        raise WhimError(words)
