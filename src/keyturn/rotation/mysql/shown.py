"""What a server shows of itself and of its accounts: versions, methods of logging in, grants. No I/O.

The texts are those of SHOW CREATE USER and SHOW GRANTS in MySQL and MariaDB, with `sql_mode` empty:

    CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$…' REQUIRE NONE …
    CREATE USER `app`@`%` IDENTIFIED VIA mysql_native_password USING '*…' OR … REQUIRE SSL …
    CREATE USER `app`@`%` IDENTIFIED BY PASSWORD '*…' …
    GRANT SELECT, UPDATE (`a`) ON `orders`.`lines` TO `app`@`%` WITH GRANT OPTION
    GRANT `reader` TO `app`@`%` WITH ADMIN OPTION
    SET DEFAULT ROLE `reader` FOR `app`@`%`

They are read token by token, so that a name may hold any character.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from keyturn.rotation.mysql.hashes import NATIVE, Method

# A quoted text without an end reaches to the end of the line, so that each character is looked at once.
_TOKEN: Final = re.compile(
    r"`(?:[^`]|``)*+(?:`|\Z)"
    r"|'(?:[^'\\]|''|\\.)*+(?:'|\\?\Z)"
    r'|"(?:[^"\\]|""|\\.)*+(?:"|\\?\Z)'
    r"""|[^\s`'",()@]++|[,()@]|\s++""",
    re.DOTALL,
)
_LETTER: Final = re.compile(r"\\?.", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_VERSION: Final = re.compile(r"(?:5\.5\.5-)?(\d{1,5})\.(\d{1,5})(?:\.(\d{1,5}))?")

_READING: Final = frozenset(
    {
        *("USAGE", "SELECT", "SHOW DATABASES", "SHOW VIEW", "PROCESS", "LOCK TABLES"),
        *("CREATE TEMPORARY TABLES", "REPLICATION CLIENT", "REPLICATION SLAVE"),
        *("BINLOG MONITOR", "SLAVE MONITOR", "REPLICA MONITOR"),
    }
)
"""What an account may be allowed on every database without being able to change accounts."""

_ALL: Final = frozenset({"ALL PRIVILEGES"})

_SYSTEM: Final = "mysql"
"""The database that has the accounts."""

_AFTER_METHODS: Final = ("DEFAULT", "REQUIRE", "WITH", "PASSWORD", "ACCOUNT", "COMMENT", "ATTRIBUTE")
"""The words with which the part behind the methods may begin."""

_ESCAPES: Final = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "b": "\b"}


class Version(NamedTuple):
    """A server's kind and version. Versions are compared as numbers: 10.11 is newer than 10.9."""

    is_mariadb: bool
    number: tuple[int, int, int]

    @classmethod
    def of(cls, version: str, comment: str) -> Version:
        """Return the version that `VERSION()` and `@@version_comment` tell; 0.0.0 if it has no numbers."""
        found = _VERSION.match(version)
        numbers = [int(one or 0) for one in found.groups()] if found else [0, 0, 0]
        is_mariadb = "mariadb" in f"{version} {comment}".lower()
        return cls(is_mariadb, (numbers[0], numbers[1], numbers[2]))

    @property
    def has_two_passwords(self) -> bool:
        """Whether an account can have two passwords: MariaDB since 10.4, MySQL since 8.0.14."""
        return self.number >= ((10, 4, 0) if self.is_mariadb else (8, 0, 14))

    @property
    def has_hashes_as_hex(self) -> bool:
        """Whether SHOW CREATE USER can show hashes as hexadecimal numbers: MySQL since 8.0.17."""
        return not self.is_mariadb and self.number >= (8, 0, 17)


class Created(NamedTuple):
    """An account as SHOW CREATE USER shows it.

    `rest` is what follows the methods: REQUIRE, limits, expiry and the like, without the default roles, which
    are apart in `default_roles` (MySQL). `is_known` is False if there is more to its login than one password
    of one of the methods, such as a second factor.
    """

    methods: tuple[Method, ...]
    rest: str
    default_roles: str
    is_known: bool

    @property
    def is_expired(self) -> bool:
        """Whether an administrator has expired the password, so that its user can only change it."""
        return _expiry(self.rest) is not None

    @property
    def lasting(self) -> str:
        """The `rest` without that expiry, which is about the present password. Lifetimes stay."""
        expiry = _expiry(self.rest)
        return self.rest if expiry is None else self.rest[: expiry.start].rstrip() + self.rest[expiry.stop :]

    def has_only(self, plugins: Collection[str]) -> bool:
        """Return True if a password is all that a login takes, by one of these methods."""
        return self.is_known and bool(self.methods) and all(one.plugin in plugins for one in self.methods)


class Grant(NamedTuple):
    """A line of SHOW GRANTS: `verb` `what` `link` the account, and its options.

    `what` is a text such as "SELECT ON `orders`.*", "`reader`" or "`reader`@`%`".
    """

    verb: str
    what: str
    link: str
    user: str
    host: str | None
    options: frozenset[str]

    @property
    def grantee(self) -> str:
        """The account or role that the line is about, quoted as in SQL."""
        return quoted(self.user) if self.host is None else account(self.user, self.host)

    @property
    def privileges(self) -> frozenset[str]:
        """The privileges, each with its columns; or the roles."""
        return frozenset(_parts(_before_on(self.what)))

    @property
    def level(self) -> str | None:
        """What the privileges are about, such as `*.*`; None if these are roles."""
        before = _before_on(self.what)
        return None if before == self.what else self.what[len(before) :].removeprefix(" ON ")

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that the line grants, quoted as in SQL, also where the server does not quote them."""
        is_of_roles = self.verb == "GRANT" and self.level is None
        return tuple(_requoted(part) for part in _parts(self.what)) if is_of_roles else ()

    @property
    def is_powerful(self) -> bool:
        """Whether the account could come to change accounts by it, or become another user."""
        level = self.level
        if self.verb != "GRANT" or level is None:
            return False
        if self.privileges == {"PROXY"}:
            return True
        if level != "*.*" and not _may_be_system(level):
            return False
        return not self.privileges <= _READING or (level == "*.*" and "GRANT OPTION" in self.options)

    def is_within(self, others: Iterable[Grant]) -> bool:
        """Return True if one of the others allows all that this one does."""
        wanted = self.privileges - {"USAGE"}
        if self.verb != "GRANT" or not (wanted or self.options):
            return True
        return any(
            other.verb == "GRANT"
            and other.level == self.level
            and _has_all(other.privileges, wanted)
            and self.options <= other.options
            for other in others
        )

    def to(self, account: str) -> str:
        """Return the statement that gives the same to another account, which is quoted already."""
        options = "".join(f" WITH {option}" for option in sorted(self.options))
        return f"{self.verb} {self.what} {self.link} {account}{options}"


def are_within(grants: Sequence[Grant], others: Sequence[Grant]) -> bool:
    """Return True if the others allow all that these do. MySQL shows what it takes from a grant as REVOKE."""
    taken, taken_here = _by_level(others, "REVOKE"), _by_level(grants, "REVOKE")
    everywhere = _by_level(grants, "GRANT").get("*.*", frozenset()) - {"USAGE"}
    return all(one.is_within(others) for one in grants) and all(
        # What the others lack at a level matters where these have it, by a grant on every level.
        _has_all(taken_here.get(level, frozenset()), _common(lacking, everywhere))
        for level, lacking in taken.items()
    )


def quoted(name: str) -> str:
    """Return a name as it stands in a statement."""
    return "`" + name.replace("`", "``") + "`"


def account(user: str, host: str) -> str:
    """Return an account as it stands in a statement."""
    return f"{quoted(user)}@{quoted(host)}"


def created(text: str) -> Created:
    """Return what a line of SHOW CREATE USER says."""
    found = [one for one in _TOKEN.finditer(text) if not one[0].isspace()]
    words = [one[0] for one in found]
    starts = [*(one.start() for one in found), len(text)]
    # CREATE USER name @ host
    place = 5 if words[3:4] == ["@"] else 3
    methods = list[Method]()
    while words[place : place + 1] == [("OR" if methods else "IDENTIFIED")]:
        method, place = _method(words, place + 1)
        methods.append(method)
    behind = roles = min(place, len(words))
    if words[place : place + 2] == ["DEFAULT", "ROLE"]:
        ends = (number for number in range(place + 1, len(words)) if words[number] in _AFTER_METHODS)
        behind, roles = next(ends, len(words)), place + 2
    return Created(
        tuple(methods),
        rest=text[starts[behind] :],
        default_roles=text[starts[roles] : starts[behind]].strip(),
        is_known=behind == len(words) or words[behind] in _AFTER_METHODS,
    )


def grant(text: str) -> Grant | None:
    """Return what a line of SHOW GRANTS says; None if it is not understood."""
    tokens = _tokens(text)
    links = [number for number, token in enumerate(tokens) if token in ("TO", "FROM", "FOR")]
    if not links:
        return None
    link = links[0]
    verb = "SET DEFAULT ROLE" if tokens[0] == "SET" else tokens[0]
    words = [token for token in tokens[link + 1 :] if not token.isspace()]
    has_host = words[1:2] == ["@"]
    if has_host and len(words) == 2:
        return None
    tail = words[3 if has_host else 1 :]
    options = {f"{name} OPTION" for name in ("GRANT", "ADMIN") if _has(tail, name, "OPTION")}
    return Grant(
        verb,
        "".join(tokens[:link]).removeprefix(verb).strip(),
        tokens[link],
        text_of(words[0]) if words else "",
        text_of(words[2]) if has_host else None,
        frozenset(options),
    )


def text_of(token: str) -> str:
    """Return what a token says: a quoted text or name, a hexadecimal number, or a word."""
    mark = token[:1]
    if mark == "`":
        return token[1:-1].replace("``", "`")
    if mark in ("'", '"'):
        inside = token[1:-1].replace(mark * 2, mark)
        return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), inside)
    if token.lower().startswith("0x"):
        try:
            return bytes.fromhex(token[2:]).decode("latin-1")
        except ValueError:
            return token
    return token


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _method(words: Sequence[str], place: int) -> tuple[Method, int]:
    """Return the method that begins here, after IDENTIFIED or OR, and the place behind it."""
    if list(words[place : place + 2]) == ["BY", "PASSWORD"]:
        return Method(NATIVE, text_of("".join(words[place + 2 : place + 3]))), place + 3
    if words[place : place + 1] in (["VIA"], ["WITH"]):
        place += 1
    plugin = text_of("".join(words[place : place + 1]))
    place += 1
    if words[place : place + 1] in (["USING"], ["AS"]):
        return Method(plugin, text_of("".join(words[place + 1 : place + 2]))), place + 2
    return Method(plugin, ""), place


def _expiry(rest: str) -> slice | None:
    """Return where a bare PASSWORD EXPIRE stands, without DEFAULT, NEVER or INTERVAL behind it."""
    found = [one for one in _TOKEN.finditer(rest) if not one[0].isspace()]
    words = [one[0] for one in found]
    for place in range(len(words) - 1):
        is_expiry = words[place : place + 2] == ["PASSWORD", "EXPIRE"]
        if is_expiry and words[place + 2 : place + 3] not in (["DEFAULT"], ["NEVER"], ["INTERVAL"]):
            return slice(found[place].start(), found[place + 1].end())
    return None


def _by_level(lines: Iterable[Grant], verb: str) -> dict[str, frozenset[str]]:
    """Return the privileges of the lines with this verb, for each level."""
    found: dict[str, frozenset[str]] = {}
    for one in lines:
        if one.verb == verb and one.level is not None:
            found[one.level] = found.get(one.level, frozenset()) | one.privileges
    return found


def _common(first: frozenset[str], second: frozenset[str]) -> frozenset[str]:
    """Return the privileges that are in both."""
    if first >= _ALL:
        return second
    return first if second >= _ALL else first & second


def _has_all(privileges: frozenset[str], wanted: frozenset[str]) -> bool:
    return privileges >= wanted or privileges >= _ALL


def _has(words: Sequence[str], *wanted: str) -> bool:
    size = len(wanted)
    return any(tuple(words[place : place + size]) == wanted for place in range(len(words)))


def _before_on(what: str) -> str:
    """Return the text before the word ON, or all of it."""
    tokens = _tokens(what)
    place = tokens.index("ON") if "ON" in tokens else len(tokens)
    return "".join(tokens[:place]).rstrip()


def _parts(text: str) -> list[str]:
    """Return the parts between commas that stand in no parentheses."""
    parts, depth = [""], 0
    for part in _tokens(text):
        depth += (part == "(") - (part == ")")
        if part == "," and not depth:
            parts.append("")
        else:
            parts[-1] += part
    return [part.strip() for part in parts]


def _requoted(name: str) -> str:
    """Return a role's name as `quoted` or `account` would give it."""
    words = [one for one in _tokens(name) if one != "@" and not one.isspace()]
    return "@".join(quoted(text_of(word) if word[:1] in "`'\"" else word) for word in words)


def _may_be_system(level: str) -> bool:
    """Return True if the level may take in the database `mysql`.

    The name of a database is a pattern there, as of LIKE: `%` is any text, `_` any character.
    """
    name = next((token for token in _tokens(level) if token[:1] in ("`", "'", '"')), "")
    letters = _LETTER.findall(text_of(name).lower())
    for place, letter in enumerate(letters):
        if letter == "%":
            return True
        if _SYSTEM[place : place + 1] != letter[-1:] and (letter != "_" or place >= len(_SYSTEM)):
            return False
    return len(letters) == len(_SYSTEM)
