"""A database that accepts the passwords that a rotation has set, and the line on which hosts reach it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import Wire


class RefusedError(Exception):
    """Wrong credentials, in PostgreSQL's words."""

    sqlstate = "28P01"


@dataclass(frozen=True, slots=True)
class Password:
    """What a user has to say, and since when (true seconds)."""

    text: str = field(repr=False)
    since_s: float


@dataclass(slots=True)
class Database:
    """Users and their one password each."""

    scheduler: Scheduler
    passwords: dict[str, Password] = field(default_factory=dict)

    def set_password(self, value: str) -> None:
        """What setSecret does with a secret's value, `user:password`; again changes nothing."""
        user, _, text = value.partition(":")
        known = self.passwords.get(user)
        if known is None or known.text != text:
            self.passwords[user] = Password(text, self.scheduler.now_s)

    def accepts_since(self, value: str) -> float | None:
        """Since when a login with this secret's value succeeds; None if it would be refused now."""
        user, _, text = value.partition(":")
        known = self.passwords.get(user)
        return known.since_s if known is not None and known.text == text else None


def connect(database: Database, wire: Wire, value: str) -> None:
    """Log in. Raises `RefusedError`, or `TimeoutError` where the database does not answer."""
    weather = wire.weather

    def failure() -> Exception | None:
        return TimeoutError() if weather.hits(weather.database_error, "logins timed out") else None

    if wire.call(lambda: database.accepts_since(value), failure) is None:
        user, _, _ = value.partition(":")
        raise RefusedError(f'password authentication failed for user "{user}"')
