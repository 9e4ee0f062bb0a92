"""A database that accepts the passwords that a rotation has set."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Database:
    """Users and their one password each."""

    passwords: dict[str, str] = field(default_factory=dict)

    def set_password(self, value: str) -> None:
        """What setSecret does with a secret's value, `user:password`."""
        user, _, password = value.partition(":")
        self.passwords[user] = password

    def accepts(self, value: str) -> bool:
        """Whether a login with this secret's value succeeds."""
        user, _, password = value.partition(":")
        return self.passwords.get(user) == password
