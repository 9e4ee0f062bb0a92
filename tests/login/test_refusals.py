"""What counts as refused, beyond what was recorded on real servers: see `test_recorded.py`.

The errors are of the drivers' own classes where the driver is installed, of the documented shape elsewhere.
"""

from __future__ import annotations

import ftplib
import time
import urllib.error
from email.message import Message
from types import SimpleNamespace

import asyncpg  # type: ignore[import-untyped] # it has no annotations that a checker finds
import httpx
import psycopg
import pymongo.errors
import pymysql
import pytest
import redis.exceptions
import requests
import sqlalchemy.exc
from redis._parsers.base import BaseParser

from keyturn import AccessDeniedError, LoginRefusedError
from keyturn.refusals import HTTP_FORBIDDEN, Refusal, any_of, is_refused

WORDS = "password authentication failed for user 'app'"


def shaped(package: str, *arguments: object, **attributes: object) -> Exception:
    """An error of a class that `package` defines, with the arguments and attributes documented for it."""
    kind = type("DatabaseError", (Exception,), {"__module__": f"{package}.errors"})
    error: Exception = kind(*arguments)
    vars(error).update(attributes)
    return error


def answered(status: int) -> requests.HTTPError:
    """An answer by requests, as `raise_for_status` raises it."""
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("denied", response=response)


def httpx_answered(status: int) -> httpx.HTTPStatusError:
    """The same by httpx."""
    request = httpx.Request("GET", "https://api.example/")
    return httpx.HTTPStatusError("denied", request=request, response=httpx.Response(status))


def replied(line: str) -> Exception:
    """What redis-py makes of a server's line."""
    error: Exception = BaseParser.parse_error(line)  # type: ignore[no-untyped-call] # annotated in part
    return error


def caused_by(error: Exception, outer: Exception | None = None) -> Exception:
    """`outer`, raised from `error`."""
    wrapper = outer or RuntimeError("could not connect")
    wrapper.__cause__ = error
    return wrapper


REFUSED = {
    "psycopg, the server's message": psycopg.OperationalError(f"connection failed: FATAL:  {WORDS}"),
    "psycopg, 28P01": psycopg.errors.InvalidPassword("no"),
    "psycopg, 28000": psycopg.errors.InvalidAuthorizationSpecification(WORDS),
    "psycopg2": shaped("psycopg2", f"FATAL:  {WORDS}", pgcode=None),
    "psycopg2, pgcode": shaped("psycopg2", "no", pgcode="28P01"),
    "asyncpg": asyncpg.InvalidPasswordError("no"),
    "asyncpg, 28000": asyncpg.InvalidAuthorizationSpecificationError(
        'PAM authentication failed for user "app"'
    ),
    "pg8000": shaped("pg8000", {"S": "FATAL", "C": "28P01", "M": WORDS}),
    "redshift_connector": shaped("redshift_connector", {"S": "FATAL", "C": "28000", "M": WORDS}),
    "RDS Proxy, no credentials": psycopg.OperationalError(
        "FATAL:  This RDS proxy has no credentials for the role app. Check the credentials for this role"
    ),
    "RDS Proxy, wrong password": psycopg.OperationalError(
        "FATAL:  The password that was provided for the role app is wrong."
    ),
    "PyMySQL": pymysql.err.OperationalError(1045, "Access denied for user 'app'@'10.0.0.1'"),
    "PyMySQL, RDS Proxy": pymysql.err.OperationalError(
        1045, "Access denied for user 'app'@'%' (using password: YES)"
    ),
    "PyMySQL, an address with a zone": pymysql.err.OperationalError(
        1045, "Access denied for user 'app'@'fe80::1%eth0' (using password: YES)"
    ),
    "mysqlclient": shaped("MySQLdb", 1045, "Access denied for user"),
    "MySQL Connector": shaped("mysql", "1045 (28000): Access denied", errno=1045),
    "MariaDB Connector": shaped("mariadb", "Access denied", errno=1045),
    "pymssql": shaped("pymssql", (18456, b"Login failed for user 'app'.")),
    "python-tds": shaped("pytds", "Login failed for user 'app'.", msg_no=18456),
    "pyodbc": shaped("pyodbc", "28000", "[28000] [ODBC Driver 18] Login failed for user 'app'. (18456)"),
    "oracledb": shaped("oracledb", SimpleNamespace(code=1017, full_code="ORA-01017")),
    "oracledb, by its text": shaped("oracledb", "ORA-01017: invalid credential or not authorized"),
    "cx_Oracle": shaped("cx_Oracle", SimpleNamespace(code=9911)),
    "Oracle, 17079": shaped("oracledb", SimpleNamespace(code=17079)),
    "redis-py, WRONGPASS": replied("WRONGPASS invalid username-password pair"),
    "redis-py, NOAUTH": replied("NOAUTH Authentication required."),
    "redis-py, old server": redis.exceptions.AuthenticationError("invalid password"),
    "coredis": shaped("coredis", "WRONGPASS invalid username-password pair"),
    "PyMongo": pymongo.errors.OperationFailure("Authentication failed.", 18),
    "requests, 401": answered(401),
    "httpx, 401": httpx_answered(401),
    "aiohttp": shaped("aiohttp", "Unauthorized", status=401),
    "an SDK's own class": shaped("vendor", "denied", status_code=401),
    "urllib": urllib.error.HTTPError("https://api.example/", 401, "Unauthorized", Message(), None),
    "SQLAlchemy around psycopg": sqlalchemy.exc.OperationalError(
        "SELECT 1", None, psycopg.OperationalError(WORDS)
    ),
    "a cause": caused_by(pymysql.err.OperationalError(1045, "Access denied")),
    "an argument": RuntimeError("could not connect", pymysql.err.OperationalError(1045, "Access denied")),
    "a group": ExceptionGroup("all hosts", [ConnectionRefusedError(111), psycopg.OperationalError(WORDS)]),
}

NOT_REFUSED = {
    "a time-out": TimeoutError("timed out"),
    "a time-out because of a refusal": caused_by(psycopg.OperationalError(WORDS), TimeoutError("gave up")),
    "a refused connection": ConnectionRefusedError(111, "Connection refused"),
    "psycopg, nobody listens": psycopg.OperationalError("connection failed: Connection refused"),
    "psycopg, time-out": psycopg.errors.ConnectionTimeout("connection timeout expired"),
    "psycopg, 28000 of a role that may not log in": psycopg.errors.InvalidAuthorizationSpecification(
        'role "app" is not permitted to log in'
    ),
    "psycopg, a name like the text": psycopg.OperationalError(
        f'connection failed: FATAL:  database "FATAL:  {WORDS}" does not exist'
    ),
    "psycopg, the refusal of a server that the server asked": psycopg.errors.lookup("08001")(
        f'could not connect to server "other"\nDETAIL:  connection to server failed: FATAL:  {WORDS}'
    ),
    "psycopg, no such database": psycopg.OperationalError('FATAL:  database "x" does not exist'),
    "psycopg, no entry": psycopg.OperationalError("FATAL:  no pg_hba.conf entry for host"),
    "asyncpg, no entry": asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry for host"),
    "too many connections": asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    "no right to a table": psycopg.errors.InsufficientPrivilege("permission denied for table"),
    "PyMySQL, nobody listens": pymysql.err.OperationalError(2003, "Can't connect to MySQL server"),
    "PyMySQL, too many": pymysql.err.OperationalError(1040, "Too many connections"),
    "PyMySQL, no right to the database": pymysql.err.OperationalError(1044, "Access denied to database"),
    "Oracle, locked": shaped("oracledb", SimpleNamespace(code=28000), "ORA-28000: the account is locked"),
    "pyodbc, time-out": shaped("pyodbc", "HYT00", "[HYT00] Login timeout expired (0)"),
    "redis-py, nobody listens": redis.exceptions.ConnectionError("Error 111 connecting"),
    "redis-py, a name like a code": redis.exceptions.ResponseError(
        "unknown command 'NOAUTH', with args beginning with: "
    ),
    "ftplib, no login was tried": ftplib.error_perm("530 Please login with USER and PASS."),  # noqa: S321 # only its error
    "redis-py, no right": redis.exceptions.NoPermissionError("this user has no permissions"),
    "PyMongo, nobody listens": pymongo.errors.ServerSelectionTimeoutError("no servers found"),
    "PyMongo, no right": pymongo.errors.OperationFailure("not authorized on db", 13),
    "requests, 403": answered(403),
    "requests, 500": answered(500),
    "urllib, without a body": urllib.error.HTTPError("https://api.example/", 500, "down", Message(), None),
    "requests, 429": answered(429),
    "requests, no answer": requests.ConnectionError("refused"),
    "httpx, time-out": httpx.ConnectTimeout("timed out"),
    "an errno that is a code of MongoDB": OSError(18, "Invalid cross-device link"),
    "a key that is a code of MySQL": KeyError(1045),
    "somebody's words about a refusal": RuntimeError(WORDS),
    "nothing": Exception(),
}


@pytest.mark.parametrize("error", REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_known(error: Exception) -> None:
    """Each driver's way of saying "wrong credentials" is one."""
    assert is_refused(error)


@pytest.mark.parametrize("error", NOT_REFUSED.values(), ids=NOT_REFUSED)
def test_other_trouble_is_no_refusal(error: Exception) -> None:
    """What a new password cannot mend never makes a login go on to the next version."""
    assert not is_refused(error)


def test_403_is_a_choice() -> None:
    """A 403 is a refusal for those who add it: elsewhere it would lock a right key without a right out."""
    judge = any_of(is_refused, HTTP_FORBIDDEN.fits)
    assert judge(answered(403))
    assert judge(httpx_answered(403))
    assert judge(answered(401))
    assert not judge(answered(429))


@pytest.mark.parametrize(
    "words", ["The password that was provided for the role ", f"FATAL:  {WORDS} ", ":  ", "\n", "x"]
)
def test_long_texts_cost_little(words: str) -> None:
    """A megabyte of text in an error is judged in less than a tenth of a second, whatever it repeats."""
    error = psycopg.OperationalError(words * (1_000_000 // len(words)))
    began_s = time.perf_counter()
    is_refused(error)
    assert time.process_time() - began_s < 0.1


def test_long_chains_cost_little() -> None:
    """Ten thousand errors that caused one another take less than a tenth of a second of the processor."""
    error = RuntimeError("the first")
    for _ in range(10_000):
        error = caused_by(error)  # type: ignore[assignment] # of the same class
    began_s = time.process_time()
    assert not is_refused(error)
    assert not is_refused(RuntimeError(*[RuntimeError("one of many")] * 10_000))
    assert not is_refused(ExceptionGroup("many", [RuntimeError(str(number)) for number in range(10_000)]))
    assert time.process_time() - began_s < 0.1


def test_an_error_that_cannot_be_read_is_no_refusal() -> None:
    """Properties, texts and comparisons that raise get nothing out of the judge."""

    class HostileError(Exception):
        __module__ = "psycopg"

        def __getattr__(self, name: str) -> object:
            raise KeyError(name)

        def __str__(self) -> str:
            raise ValueError

    assert not is_refused(HostileError())
    assert is_refused(caused_by(answered(401), HostileError()))


def test_what_was_being_handled_is_not_the_cause() -> None:
    """A refusal that somebody had dealt with before another error arose says nothing about that error."""
    error = RuntimeError("the disk is full")
    error.__context__ = psycopg.OperationalError(WORDS)
    assert not is_refused(error)


def test_causes_in_a_circle_end() -> None:
    """Two errors that are each other's cause are looked at once each."""
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert not is_refused(one)


@pytest.mark.parametrize(
    "error",
    [
        caused_by(psycopg.OperationalError(WORDS), LoginRefusedError("tunnel")),
        caused_by(caused_by(psycopg.OperationalError(WORDS), LoginRefusedError("tunnel"))),
        caused_by(caused_by(answered(401), LoginRefusedError("tunnel")), answered(401)),
        LoginRefusedError("tunnel"),
        RuntimeError("the tunnel is closed", caused_by(answered(401), LoginRefusedError("tunnel"))),
        caused_by(answered(401), AccessDeniedError("tunnel")),
    ],
    ids=[
        "caused",
        "raised from it",
        "a refusal raised from it",
        "itself",
        "an argument",
        "a secret that is denied",
    ],
)
def test_a_refusal_of_another_login_is_none_of_this_one(error: Exception) -> None:
    """What keyturn raised, and what was raised from that, is about another secret than the one at hand."""
    assert not is_refused(error)


def test_a_group_is_judged_member_by_member() -> None:
    """The tunnel of one host was refused and the database of another one: the latter counts."""
    tunnel = caused_by(answered(401), LoginRefusedError("tunnel"))
    assert not is_refused(ExceptionGroup("all hosts", [tunnel]))
    assert is_refused(ExceptionGroup("all hosts", [tunnel, psycopg.OperationalError(WORDS)]))


def test_users_add_their_own() -> None:
    """A row or a function of one's own is put beside the table."""
    ftp = Refusal("FTP", at=("args.0",), codes=(530,), packages=frozenset({"aioftp"}))
    judge = any_of(is_refused, ftp.fits, lambda error: "bad token" in str(error))
    assert judge(shaped("aioftp", 530))
    assert judge(RuntimeError("bad token"))
    assert judge(pymysql.err.OperationalError(1045, "Access denied"))
    assert not judge(shaped("aioftp", 550))
