"""What counts as "wrong credentials", per server: a table, and one function that reads it.

No driver is imported: an error is judged by the package its class comes from, by the code that it
carries and by its text. A time-out, a refused connection and a missing right are no refusals.
Add what the table does not know:

    cache.login("prod/ftp", connect, is_refused=any_of(is_refused, Refusal("FTP", ("args.0",), (530,)).fits))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from keyturn.errors import KeyturnError

TEXT_LENGTH_MAX = 10_000
"""How many characters of an error's text are looked at: drivers quote what a server sends, and statements."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way in which a server says that the credentials are wrong.

    An error fits if its class or one of its bases is defined in one of `packages` (any, if there
    are none), if one of `codes` stands at one of the paths `at` (attributes, keys and indices,
    "args.0.code") or `text`, a regular expression, is in its message, and if `unless` is not. Of the
    message the first 10,000 characters count.
    """

    server: str
    at: tuple[str, ...] = ()
    codes: tuple[str | int, ...] = ()
    packages: frozenset[str] = frozenset()
    text: str | None = None
    unless: str | None = None

    def fits(self, error: BaseException) -> bool:
        """Whether this very error, its causes left out, is such a refusal."""
        if self.packages and self.packages.isdisjoint(_packages(error)):
            return False
        if self.unless is not None and re.search(self.unless, _text(error)):
            return False
        if self.text is not None and re.search(self.text, _text(error)):
            return True
        return any(_at(error, path) in self.codes for path in self.at)


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        # invalid_password, invalid_authorization_specification. Redshift says 28000 for both.
        # pg8000 and redshift_connector put the server's fields into a mapping.
        server="PostgreSQL, Redshift",
        at=("sqlstate", "pgcode", "args.0.C"),
        codes=("28P01", "28000"),
        # This one has code 28000 as well, but no password helps against it.
        unless="no pg_hba.conf entry",
    ),
    Refusal(
        # libpq does not tell the code of a connection that failed, only the server's message. It is
        # English where the server's lc_messages is.
        server="PostgreSQL, Redshift over libpq",
        packages=frozenset({"psycopg", "psycopg2"}),
        text="password authentication failed",
    ),
    Refusal(
        # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.troubleshooting.html
        server="RDS Proxy",
        text=(
            "This RDS proxy has no credentials for the role"
            # Without a limit the time grows with the square of the text.
            "|The password that was provided for the role .{1,300} is wrong"
        ),
    ),
    Refusal(
        server="MySQL, MariaDB",
        at=("errno", "args.0"),
        codes=(1045,),
        packages=frozenset({"MySQLdb", "aiomysql", "asyncmy", "mariadb", "mysql", "pymysql"}),
    ),
    Refusal(
        server="SQL Server",
        at=("number", "msg_no", "args.0", "args.0.0"),
        codes=(18456,),
        packages=frozenset({"pymssql", "pytds"}),
    ),
    Refusal(
        server="SQL Server over ODBC",
        packages=frozenset({"pyodbc", "aioodbc"}),
        text=r"\(18456\)",
    ),
    Refusal(
        server="Oracle",
        at=("code", "args.0.code"),
        codes=(1017, 9911, 17079),
        packages=frozenset({"cx_Oracle", "oracledb"}),
        text=r"ORA-(01017|09911|17079)\b",
    ),
    Refusal(
        # The client libraries make this class of WRONGPASS and NOAUTH, and cut the word off.
        server="Redis, Valkey",
        at=("__class__.__name__",),
        codes=("AuthenticationError",),
        packages=frozenset({"redis", "valkey"}),
    ),
    Refusal(
        server="Redis, Valkey by the server's own words",
        packages=frozenset({"coredis", "glide", "redis", "valkey"}),
        text=r"\b(WRONGPASS|NOAUTH)\b",
    ),
    Refusal(
        server="MongoDB",
        at=("code",),
        codes=(18,),
        packages=frozenset({"pymongo"}),
    ),
    Refusal(
        server="HTTP",
        at=("response.status_code", "response.status", "status_code", "status"),
        codes=(401, 403),
    ),
)
"""Every refusal that `is_refused` knows, one row each."""

Judge = Callable[[Exception], bool]
"""What `is_refused` is: whether an error means that the credentials were refused."""


def is_refused(error: Exception) -> bool:
    """Whether `error`, or an error that it was made of, is one of `REFUSALS`.

    Made of: its `__cause__`, SQLAlchemy's `orig`, errors among its arguments, and the members of a
    group. What else was being handled when it was raised (`__context__`) says nothing about it. A
    `TimeoutError` is never a refusal, whatever caused it, and neither is an error of keyturn's own or one
    that was raised from it: the login of a tunnel, say, is another login than the one it was opened for.
    """
    if isinstance(error, TimeoutError):
        return False
    return any(refusal.fits(one) for one in _made_of(error) for refusal in REFUSALS)


def is_about_another_login(error: BaseException) -> bool:
    """Return True if the error is keyturn's own, or was raised from such an error."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, KeyturnError):
            return True
        seen.add(id(cause))
        cause = cause.__cause__
    return False


def any_of(*judges: Judge) -> Judge:
    """A judge that says yes where one of these does, asked in this order."""
    return lambda error: any(judge(error) for judge in judges)


def _made_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and those inside it, each once, but nothing that is about another login."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or is_about_another_login(one):
            continue
        seen.add(id(one))
        yield one
        inside = (one.__cause__, getattr(one, "orig", None), *one.args)
        waiting.extend(found for found in inside if isinstance(found, BaseException))
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)


def _text(error: BaseException) -> str:
    return str(error)[:TEXT_LENGTH_MAX]


def _packages(error: BaseException) -> set[str]:
    """The packages in which the error's class and its bases are defined."""
    return {kind.__module__.partition(".")[0] for kind in type(error).__mro__}


def _at(value: object, path: str) -> object:
    """What stands at a path of attributes, keys and indices; None if it leads nowhere."""
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, tuple) and part.isdigit():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = getattr(value, part, None)
    return value
