"""Servers that cannot be had here: errors made as the named document shows them, of the driver's class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Final, NoReturn

from tests.verdicts.cases import Door, Driver, Server, Situation

MONGODB: Final = "https://www.mongodb.com/docs/manual/reference/error-codes/"
ATLAS: Final = "https://github.com/microsoft/vscode-cosmosdb/issues/1003"
MSSQL: Final = "https://learn.microsoft.com/sql/relational-databases/errors-events/mssqlserver-18456-database-engine-error"
MSSQL_EVENTS: Final = "https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors-18000-to-18999"
MSSQL_PYTHON: Final = "https://github.com/microsoft/mssql-python/blob/main/mssql_python/exceptions.py"
ORACLE: Final = "https://docs.oracle.com/error-help/db/"
MYSQL: Final = "https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html"
SNOWFLAKE: Final = "https://docs.snowflake.com/en/user-guide/troubleshooting-connectivity"
KAFKA: Final = "https://kafka.apache.org/protocol#protocol_error_codes"
REDSHIFT: Final = "https://docs.aws.amazon.com/redshift/latest/mgmt/troubleshooting-connections.html"
RDS_PROXY: Final = "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.troubleshooting.html"
ACTIVE_DIRECTORY: Final = (
    "https://ldapwiki.com/wiki/Wiki.jsp?page=Common%20Active%20Directory%20Bind%20Errors"
)

Make = Callable[[], Exception]


def _of(name: str, *arguments: object, **attributes: object) -> Exception:
    """Return an error of a driver's class, `module:Name`, whose constructor is not run."""
    module, _, path = name.partition(":")
    kind: type[Exception]
    try:
        kind = getattr(import_module(module), path)
    except (ImportError, AttributeError):
        kind = type(path, (Exception,), {"__module__": module})
    error = kind.__new__(kind)
    error.args = arguments
    vars(error).update(attributes)
    return error


def _mongo(code: int, text: str) -> Exception:
    from pymongo.errors import OperationFailure

    return OperationFailure(text, code)


def _kafka_exception(code: int, text: str) -> Exception:
    from confluent_kafka import KafkaError, KafkaException  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    error: Exception = KafkaException(KafkaError(code, text))
    return error


def _odbc(state: str, text: str) -> Exception:
    return _of(
        "pyodbc:InterfaceError",
        state,
        f"[{state}] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text}",
    )


def _tds(number: int, text: str) -> Exception:
    return _of(
        "pymssql.exceptions:OperationalError",
        (
            number,
            f"{text}DB-Lib error message 20018, severity 14:\nGeneral SQL Server error: Check messages from the SQL Server\n".encode(),
        ),
    )


def _pytds(number: int, text: str) -> Exception:
    return _of("pytds.tds_base:LoginError", text, msg_no=number, text=text)


def _mssql_python(text: str) -> Exception:
    """As the driver's `_raise_connection_error` makes it, which leaves out the name of the ODBC driver."""
    told = f"Driver Error: Invalid authorization specification; DDBC Error: [Microsoft][SQL Server]{text}"
    return _of("mssql_python.exceptions:OperationalError", told, message=told)


def _oracle(number: int, text: str) -> Exception:
    message = f"ORA-{number:05}: {text}"
    told = type("_Error", (), {"code": number, "full_code": f"ORA-{number:05}", "__str__": lambda _: message})
    return _of("oracledb.exceptions:DatabaseError", told())


def _snowflake(number: int, text: str) -> Exception:
    message = f"{number} (08001): None: Failed to connect to DB: x.snowflakecomputing.com:443. {text}"
    return _of(
        "snowflake.connector.errors:DatabaseError", message, errno=number, sqlstate="08001", msg=message
    )


def _mysql(number: int, text: str) -> Exception:
    import pymysql

    return pymysql.err.OperationalError(number, text)


def _libpq(text: str) -> Exception:
    import psycopg

    return psycopg.OperationalError(
        f'connection failed: connection to server at "10.0.0.1", port 5432 failed: FATAL:  {text}'
    )


def _redshift(code: str, text: str) -> Exception:
    fields = {"S": "FATAL", "C": code, "M": text}
    return _of("redshift_connector.error:InterfaceError", fields)


def _directory(data: str) -> Exception:
    info = f"80090308: LdapErr: DSID-0C090449, comment: AcceptSecurityContext error, data {data}, v4563"
    return _of("ldap:INVALID_CREDENTIALS", {"result": 49, "desc": "Invalid credentials", "info": info})


LOGIN_FAILED: Final = "Login failed for user 'app'."
NO_DATABASE: Final = 'Cannot open database "app" requested by the login. The login failed.'

CASES: Final[dict[str, tuple[tuple[str, str, Make, bool, str], ...]]] = {
    "MongoDB": (
        ("pymongo", "wrong password", partial(_mongo, 18, "Authentication failed."), True, MONGODB),
        (
            "pymongo",
            "no right",
            partial(_mongo, 13, "not authorized on app to execute command"),
            False,
            MONGODB,
        ),
    ),
    "MongoDB Atlas": (
        ("pymongo", "wrong password", partial(_mongo, 8000, "bad auth : authentication failed"), True, ATLAS),
        (
            "pymongo",
            "no right",
            partial(_mongo, 8000, "user is not allowed to do action [find] on [app.x]"),
            False,
            ATLAS,
        ),
    ),
    "SQL Server": (
        ("pymssql", "wrong password", partial(_tds, 18456, LOGIN_FAILED), True, MSSQL),
        ("pymssql", "unknown database", partial(_tds, 18456, f"{NO_DATABASE}{LOGIN_FAILED}"), False, MSSQL),
        ("pymssql", "unknown database", partial(_tds, 4060, NO_DATABASE), False, MSSQL),
        (
            "pymssql",
            "locked",
            partial(_tds, 18486, "Login failed for user 'app' because the account is currently locked out."),
            False,
            MSSQL_EVENTS,
        ),
        (
            "pymssql",
            "expired",
            partial(
                _tds, 18487, "Login failed for user 'app'.  Reason: The password of the account has expired."
            ),
            False,
            MSSQL_EVENTS,
        ),
        ("python-tds", "wrong password", partial(_pytds, 18456, LOGIN_FAILED), True, MSSQL),
        ("python-tds", "unknown database", partial(_pytds, 4060, NO_DATABASE), False, MSSQL),
        (
            "python-tds",
            "expired",
            partial(
                _pytds,
                18488,
                "Login failed for user 'app'.  Reason: The password of the account must be changed.",
            ),
            False,
            MSSQL_EVENTS,
        ),
        (
            "pyodbc",
            "wrong password",
            partial(_odbc, "28000", f"{LOGIN_FAILED} (18456) (SQLDriverConnect)"),
            True,
            MSSQL,
        ),
        (
            "pyodbc",
            "unknown database",
            partial(
                _odbc, "28000", f"{LOGIN_FAILED} (18456) (SQLDriverConnect); [28000] {NO_DATABASE} (4060)"
            ),
            False,
            MSSQL,
        ),
        (
            "pyodbc",
            "locked",
            partial(
                _odbc,
                "28000",
                "Login failed for user 'app' because the account is currently locked out. (18486)",
            ),
            False,
            MSSQL_EVENTS,
        ),
        (
            "mssql-python",
            "wrong password",
            partial(_mssql_python, LOGIN_FAILED),
            True,
            MSSQL_PYTHON,
        ),
        (
            "mssql-python",
            "unknown database",
            partial(_mssql_python, f"{NO_DATABASE}{LOGIN_FAILED}"),
            False,
            MSSQL_PYTHON,
        ),
        (
            "mssql-python",
            "locked",
            partial(
                _mssql_python, "Login failed for user 'app' because the account is currently locked out."
            ),
            False,
            MSSQL_EVENTS,
        ),
        (
            "mssql-python",
            "expired",
            partial(
                _mssql_python,
                "Login failed for user 'app'.  Reason: The password of the account has expired.",
            ),
            False,
            MSSQL_EVENTS,
        ),
        (
            "pyodbc",
            "no answer",
            partial(
                _of,
                "pyodbc:OperationalError",
                "HYT00",
                "[HYT00] [Microsoft][ODBC Driver 18 for SQL Server]Login timeout expired (0)",
            ),
            False,
            MSSQL,
        ),
    ),
    "Oracle": (
        (
            "oracledb",
            "wrong password",
            partial(_oracle, 1017, "invalid credential or not authorized; logon denied"),
            True,
            f"{ORACLE}ora-01017/",
        ),
        (
            "cx_Oracle",
            "wrong password",
            partial(_of, "cx_Oracle:DatabaseError", "ORA-01017: invalid username/password; logon denied"),
            True,
            f"{ORACLE}ora-01017/",
        ),
        (
            "oracledb",
            "locked",
            partial(_oracle, 28000, "The account is locked."),
            False,
            f"{ORACLE}ora-28000/",
        ),
        (
            "oracledb",
            "expired",
            partial(_oracle, 28001, "The account has expired."),
            False,
            f"{ORACLE}ora-28001/",
        ),
        (
            "oracledb",
            "no right",
            partial(_oracle, 1045, "user APP lacks CREATE SESSION privilege; logon denied"),
            False,
            f"{ORACLE}ora-01045/",
        ),
        (
            "oracledb",
            "too many connections",
            partial(_oracle, 18, "maximum number of sessions exceeded"),
            False,
            f"{ORACLE}ora-00018/",
        ),
    ),
    "MySQL 8": (
        (
            "PyMySQL",
            "wrong password",
            partial(_mysql, 1045, "Access denied for user 'app'@'10.0.0.1' (using password: YES)"),
            True,
            MYSQL,
        ),
        (
            "PyMySQL",
            "locked",
            partial(_mysql, 3118, "Access denied for user 'app'@'10.0.0.1'. Account is locked."),
            False,
            MYSQL,
        ),
        (
            "PyMySQL",
            "locked",
            partial(
                _mysql,
                3955,
                "Access denied for user 'app'@'10.0.0.1'. Account is blocked for 1 day(s) (1 day(s) remaining) due to 3 consecutive failed logins.",
            ),
            False,
            MYSQL,
        ),
        (
            "PyMySQL",
            "expired",
            partial(
                _mysql,
                1862,
                "Your password has expired. To log in you must change it using a client that supports expired passwords.",
            ),
            False,
            MYSQL,
        ),
        (
            "PyMySQL",
            "TLS",
            partial(
                _mysql,
                3159,
                "Connections using insecure transport are prohibited while --require_secure_transport=ON.",
            ),
            False,
            MYSQL,
        ),
    ),
    "Snowflake": (
        (
            "snowflake-connector-python",
            "wrong password",
            partial(_snowflake, 250001, "Incorrect username or password was specified."),
            True,
            SNOWFLAKE,
        ),
        (
            "snowflake-connector-python",
            "wrong password",
            partial(_snowflake, 390100, "Incorrect username or password was specified."),
            True,
            SNOWFLAKE,
        ),
        (
            "snowflake-connector-python",
            "locked",
            partial(
                _snowflake,
                250001,
                "Your user account has been temporarily locked due to too many failed attempts. Try again after 15 minutes.",
            ),
            False,
            SNOWFLAKE,
        ),
        (
            "snowflake-connector-python",
            "not from here",
            partial(
                _snowflake,
                250001,
                "Incoming request with IP/Token 10.0.0.1 is not allowed to access Snowflake.",
            ),
            False,
            SNOWFLAKE,
        ),
    ),
    "Kafka": (
        (
            "kafka-python",
            "wrong password",
            partial(
                _of,
                "kafka.errors:SaslAuthenticationFailedError",
                "Authentication failed: Invalid username or password",
            ),
            True,
            KAFKA,
        ),
        (
            "kafka-python",
            "no right",
            partial(_of, "kafka.errors:TopicAuthorizationFailedError", "orders"),
            False,
            KAFKA,
        ),
        (
            "aiokafka",
            "wrong password",
            partial(
                _of,
                "aiokafka.errors:SaslAuthenticationFailed",
                "Authentication failed: Invalid username or password",
            ),
            True,
            KAFKA,
        ),
        (
            "aiokafka",
            "wrong password",
            partial(_of, "aiokafka.errors:AuthenticationFailedError", "Invalid username or password"),
            True,
            KAFKA,
        ),
        (
            "aiokafka",
            "no right",
            partial(_of, "aiokafka.errors:TopicAuthorizationFailedError", "orders"),
            False,
            KAFKA,
        ),
        (
            "confluent-kafka",
            "wrong password",
            partial(_kafka_exception, -169, "SASL authentication error: Authentication failed"),
            True,
            KAFKA,
        ),
        (
            "confluent-kafka",
            "wrong password",
            partial(_kafka_exception, 58, "Broker: SASL Authentication failed"),
            True,
            KAFKA,
        ),
        (
            "confluent-kafka",
            "down",
            partial(_kafka_exception, -195, "Local: Broker transport failure"),
            False,
            KAFKA,
        ),
        (
            "confluent-kafka",
            "no right",
            partial(_kafka_exception, 29, "Broker: Topic authorization failed"),
            False,
            KAFKA,
        ),
    ),
    "Redshift": (
        (
            "redshift-connector",
            "wrong password",
            partial(_redshift, "28000", 'password authentication failed for user "app"'),
            True,
            REDSHIFT,
        ),
        (
            "redshift-connector",
            "not from here",
            partial(
                _redshift,
                "28000",
                'no pg_hba.conf entry for host "10.0.0.1", user "app", database "dev", SSL off',
            ),
            False,
            REDSHIFT,
        ),
    ),
    "RDS Proxy": (
        (
            "psycopg",
            "wrong password",
            partial(_libpq, "The password that was provided for the role app is wrong."),
            True,
            RDS_PROXY,
        ),
        (
            "psycopg",
            "unknown user",
            partial(
                _libpq,
                "This RDS proxy has no credentials for the role app. Check the credentials for this role and try again.",
            ),
            True,
            RDS_PROXY,
        ),
        ("psycopg", "TLS", partial(_libpq, "This RDS Proxy requires TLS connections"), False, RDS_PROXY),
        (
            "PyMySQL",
            "wrong password",
            partial(_mysql, 1045, "Access denied for user 'app'@'%' (using password: YES)"),
            True,
            RDS_PROXY,
        ),
        (
            "psycopg",
            "too many connections",
            partial(_libpq, "Timed-out waiting to acquire database connection"),
            False,
            RDS_PROXY,
        ),
    ),
    "Active Directory": (
        ("python-ldap", "wrong password", partial(_directory, "52e"), True, ACTIVE_DIRECTORY),
        ("python-ldap", "unknown user", partial(_directory, "525"), True, ACTIVE_DIRECTORY),
        ("python-ldap", "locked", partial(_directory, "775"), False, ACTIVE_DIRECTORY),
        ("python-ldap", "expired", partial(_directory, "532"), False, ACTIVE_DIRECTORY),
        ("python-ldap", "not from here", partial(_directory, "531"), False, ACTIVE_DIRECTORY),
    ),
}
"""Server -> driver, situation, error, whether it is a refusal, and the document that says so."""


def servers() -> Iterator[Server]:
    """Yield each server with what its documents say."""
    for name, cases in CASES.items():
        for package in dict.fromkeys(case[0] for case in cases):
            made = [case for case in cases if case[0] == package]
            situations = tuple(
                Situation(situation, Door(number), refused, why=document)
                for number, (_, situation, _, refused, document) in enumerate(made)
            )
            makes = tuple(make for _, _, make, _, _ in made)
            yield Server(name, (Driver(package, partial(_raise, makes)),), situations)


def _raise(makes: tuple[Make, ...], door: Door) -> NoReturn:
    error = makes[door.port]()
    raise error
