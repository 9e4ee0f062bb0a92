"""A session of MySQL 8 by its documentation: accounts with two passwords, and statements that change them.

https://dev.mysql.com/doc/refman/8.4/en/password-management.html#dual-passwords
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from keyturn.rotation.mysql.hashes import SHA2, Method
from keyturn.rotation.mysql.shown import account

ALTER = re.compile(
    r"(?P<account>`[^`]+`@`[^`]+`) (?:IDENTIFIED WITH '(?P<plugin>\w+)' AS '(?P<stored>[^']+)'"
    r"(?P<retain> RETAIN CURRENT PASSWORD)?|(?P<discard>DISCARD OLD PASSWORD))(?:, |\Z)"
)


@dataclass
class FakeAccount:
    """An account: its method, its first and second password as they are stored, and its grants."""

    plugin: str
    first: str
    second: str | None = None
    rest: str = "REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK"
    grants: list[str] = field(default_factory=list)

    def lets_in(self, password: str) -> bool:
        return any(
            Method(self.plugin, stored).fits(password) for stored in (self.first, self.second) if stored
        )


@dataclass
class FakeMySql:
    """The connection, its cursor, and the server. `after` is called after each statement that changes it."""

    version: str = "8.0.36"
    comment: str = "MySQL Community Server - GPL"
    accounts: dict[str, FakeAccount] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    after: Callable[[], None] = lambda: None
    rows: list[tuple[object, ...]] = field(default_factory=list)

    def cursor(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def fetchall(self) -> list[tuple[object, ...]]:
        return self.rows

    def execute(self, statement: str, values: tuple[str, ...] | None = None) -> None:
        self.statements.append(statement)
        self.rows = self.answer(statement, values or ())

    def answer(self, statement: str, values: tuple[str, ...]) -> list[tuple[object, ...]]:
        """Return the rows of a statement. One that is not expected is an error."""
        words, _, named = statement.partition("USER ")
        if statement.startswith("SELECT VERSION()"):
            return [(self.version, self.comment)]
        if statement.startswith("SET SESSION"):
            return []
        if statement.startswith("SELECT Host"):
            names = [name.partition("`@`") for name in self.accounts]
            return [(host[:-1],) for user, _, host in names if user[1:] == values[0]]
        if statement.startswith("SELECT JSON_UNQUOTE"):
            return [(self.accounts[account(*values)].second,)]
        if words == "SHOW CREATE ":
            found = self.accounts[named]
            stored = f"0x{found.first.encode().hex()}"
            return [(f"CREATE USER {named} IDENTIFIED WITH '{found.plugin}' AS {stored} {found.rest}",)]
        if statement.startswith("SHOW GRANTS FOR "):
            grantee = statement.removeprefix("SHOW GRANTS FOR ")
            return [(line,) for line in self.accounts[grantee].grants or [f"GRANT USAGE ON *.* TO {grantee}"]]
        if words == "CREATE " and named.startswith("IF NOT EXISTS "):
            self.create(named.removeprefix("IF NOT EXISTS "))
        elif words == "ALTER ":
            self.alter(named)
        elif not statement.startswith(("GRANT ", "REVOKE ", "SET DEFAULT ROLE ")):
            raise AssertionError(statement)
        self.after()
        return []

    def create(self, text: str) -> None:
        found = re.fullmatch(r"(`[^`]+`@`[^`]+`) IDENTIFIED WITH '(\w+)' AS '([^']+)' (.*)", text)
        assert found is not None, text
        self.accounts.setdefault(found[1], FakeAccount(found[2], found[3], rest=found[4]))

    def alter(self, text: str) -> None:
        """Change accounts: RETAIN makes the first password the second one, else that stays as it is."""
        place = 0
        while place < len(text):
            found = ALTER.match(text, place)
            assert found is not None, text
            one, place = self.accounts[found["account"]], found.end()
            if found["discard"]:
                one.second = None
                continue
            assert found["plugin"] == one.plugin, "MySQL cannot retain the password of another method"
            if found["retain"]:
                one.second = one.first
            one.first = found["stored"]


def sha2_account(password: str, *, second: str | None = None, grants: list[str] | None = None) -> FakeAccount:
    """An account of MySQL's default method."""
    from keyturn.rotation.mysql.hashes import hashed

    stored = None if second is None else hashed(SHA2, second)
    return FakeAccount(SHA2, hashed(SHA2, password), stored, grants=grants or [])
