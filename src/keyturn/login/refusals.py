"""What counts as "wrong credentials", per server: a table, and one function that reads it.

The rows are made from what the drivers raise on real servers; docs/verdicts.md shows all that was tried. A
time-out, a refused connection, a missing right and an account that is locked or expired are no refusals,
where the server tells them apart. Add what the table does not know:

    vault = Refusal("Vault", ("code",), (7,), frozenset({"vault"}))
    cache.login("prod/vault", connect, is_refused=any_of(is_refused, vault.fits))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from keyturn.errors import KeyturnError
from keyturn.login.refusal import Refusal, value_at

# What PostgreSQL says of a password that it, or the service that it asks, does not accept: in English and in
# the languages that it ships. "ident", "trust" and "certificate" are no passwords.
_POSTGRESQL: Final = (
    r"(?:password|LDAP|PAM|RADIUS|BSD) authentication failed\b",
    r"(?:Passwort|LDAP|PAM|RADIUS|BSD)-Authentifizierung für Benutzer .* fehlgeschlagen",
    r"la autentificación (?:password|LDAP|PAM|RADIUS|BSD) falló para el usuario",
    r"authentification (?:par mot de passe|LDAP|PAM|RADIUS|BSD) échouée pour l'utilisateur",
    r"[Aa]utenticazione (?:con password|LDAP|PAM|RADIUS|BSD) fallita per l'utente",
    r"ユーザー.*の ?(?:パスワード|LDAP|PAM|RADIUS|BSD) ?認証に失敗しました",
    r"(?:პაროლით|LDAP|PAM|რადიუსით|BSD) ავთენტიფიკაცია მომხმარებლისთვის .* ვერ მოხერხდა",
    r"(?:사용자 .*의|.* 사용자의|.* 사용자에 대한) (?:password|LDAP|PAM|RADIUS|BSD) 인증을 실패했습니다",
    r"autoryzacja hasłem nie powiodła się dla użytkownika",
    r"autenticação do tipo senha falhou para o usuário",
    r"пользователь .* не прошёл проверку подлинности \((?:по паролю|LDAP|PAM|RADIUS|BSD)\)",
    r"(?:Lösenords|(?:LDAP|PAM|RADIUS|RADOUS|BSD)-)autentisering misslyckades för användare",
    r"[Кк]ористувач .* не пройшов автентифікацію (?:за допомогою пароля|LDAP|PAM|RADIUS|BSD)",
    r"(?:对于)?用户 .* ?的 ?(?:密码|LDAP|PAM|RADIUS|BSD) ?认证失败",
    # As 15.18 and older say it.
    r"用户 .* (?:Password 认证|认证 PAM )失败",
    r"(?:密碼|LDAP|PAM|RADIUS|BSD) ?驗證使用者 .* ?失敗",
)
# What PgBouncer and the proxies of clouds say before they have asked the server.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.troubleshooting.html
_PROXIES: Final = (
    r"SASL authentication failed\s*$",
    r"no such user\b",
    r"This RDS proxy has no credentials for the role",
    r"The password that was provided for the role .* is wrong",
)
# A message begins the line, or stands behind the severity, which libpq ends by a colon and two spaces.
# Anywhere else it is a name: of a database, say.
_AT_ITS_PLACE: Final = r"(?m)^(?:(?:(?!:  ).)*:  )?(?:{})"

_LIBPQ: Final = frozenset({"psycopg", "psycopg2"})
_MYSQL: Final = frozenset({"MySQLdb", "aiomysql", "asyncmy", "mariadb", "mysql", "pymysql"})
_SQLSTATE: Final = ("sqlstate", "pgcode", "args.0.C")

REFUSALS: Final[tuple[Refusal, ...]] = (
    # pg8000 and redshift_connector put the server's fields into a mapping.
    Refusal("PostgreSQL, by its code", _SQLSTATE, ("28P01",)),
    Refusal(
        # libpq tells no code of a connection that failed. 28000 is also that of an account that may not log
        # in, of a rule in pg_hba.conf and of Ident; 08P01 is that of everything that PgBouncer says.
        "PostgreSQL, Redshift, PgBouncer, RDS Proxy, by their messages",
        _SQLSTATE,
        (None, "28000", "08P01"),
        _LIBPQ | {"asyncpg", "pg8000", "redshift_connector"},
        text=_AT_ITS_PLACE.format("|".join((*_POSTGRESQL, *_PROXIES))),
        says=("args.0.M",),
    ),
    Refusal(
        # LOAD DATA without the right to it has the same code and text. The host of the text tells nothing:
        # RDS Proxy says `%` of a wrong password, and an address of IPv6 may have a zone (`fe80::1%eth0`).
        "MySQL, MariaDB, RDS Proxy",
        ("errno", "args.0"),
        (1045,),
        _MYSQL,
    ),
    Refusal(
        # A database that cannot be opened has this code beside its own, 4060.
        "SQL Server",
        ("number", "msg_no", "args.0", "args.0.0"),
        (18456,),
        frozenset({"pymssql", "pytds"}),
        unless=r"Cannot open database|\b4060\b",
    ),
    Refusal(
        "SQL Server over ODBC",
        packages=frozenset({"pyodbc", "aioodbc"}),
        text=r"\(18456\)",
        unless=r"\(4060\)",
    ),
    Refusal(
        # It tells no number. An account that is locked or expired has other words behind the name.
        "SQL Server by mssql-python",
        packages=frozenset({"mssql_python"}),
        text=r"Login failed for user '[^\n]{0,200}'\.",
        unless=r"Cannot open database|\bReason: ",
    ),
    Refusal(
        "Oracle",
        ("code", "args.0.code"),
        (1017, 9911, 17079),
        frozenset({"cx_Oracle", "oracledb"}),
    ),
    Refusal(
        "Oracle, by its message where there is no code",
        ("code", "args.0.code"),
        (None,),
        frozenset({"cx_Oracle", "oracledb"}),
        text=r"^(?:[^\n]{0,200}: )?ORA-(?:01017|09911|17079)\b",
    ),
    Refusal(
        # The client makes this class of WRONGPASS and NOAUTH. It does so of a server without a password, too.
        "Redis, Valkey",
        ("__class__.__name__",),
        ("AuthenticationError", "AuthenticationFailureError", "AuthenticationRequiredError"),
        frozenset({"coredis", "redis", "valkey"}),
        unless=r"without any password|no password is set",
    ),
    Refusal(
        # Every failure to connect is a ClosingError there.
        "Redis, Valkey, by the server's message",
        packages=frozenset({"coredis", "glide", "glide_shared", "glide_sync", "redis", "valkey"}),
        text=r"(?:^|: )(?:WRONGPASS|NOAUTH)\b",
    ),
    Refusal("MongoDB, DocumentDB", ("code",), (18,), frozenset({"pymongo"})),
    Refusal("MongoDB Atlas", ("code",), (8000,), frozenset({"pymongo"}), text=r"\bbad auth\b"),
    Refusal(
        # A virtual host that is not there or not allowed is another class; a queue that is not allowed has
        # the same code, ACCESS_REFUSED, but not these words.
        "RabbitMQ",
        packages=frozenset({"aiormq", "amqp", "pika"}),
        text=r"ACCESS_REFUSED - Login was refused",
    ),
    Refusal(
        # Active Directory says in `data` why: 52e is the password, 525 the user; others are a lock, an
        # expired account and the like.
        "LDAP",
        ("result", "args.0.result"),
        (49,),
        frozenset({"ldap", "ldap3"}),
        unless=r"\bdata (?:53[0-3]|568|701|773|775)\b",
    ),
    Refusal(
        "LDAP, by the words of ldap3",
        packages=frozenset({"ldap3"}),
        text=r"\binvalidCredentials\b",
        unless=r"\bdata (?:53[0-3]|568|701|773|775)\b",
    ),
    Refusal("SSH by paramiko", packages=frozenset({"paramiko"}), text=r"^Authentication failed\.$"),
    Refusal("SSH by asyncssh", ("code",), (14,), frozenset({"asyncssh"})),
    Refusal(
        "SSH by asyncssh, where the server allows one try",
        ("code",),
        (2,),
        frozenset({"asyncssh"}),
        text=r"^Too many authentication failures",
    ),
    Refusal(
        "FTP",
        packages=frozenset({"ftplib", "aioftp"}),
        text=r"^(?:530\b|Waiting for .* but got 530\b)",
        unless=r"(?i)maximum|too many|\bTLS\b|\bSSL\b|encrypt|anonymous|please log ?in|home directory",
    ),
    Refusal(
        # Exchange Online says 535 of a tenant that allows no passwords, too.
        "SMTP",
        ("smtp_code", "code"),
        (535,),
        frozenset({"smtplib", "aiosmtplib"}),
        unless=r"(?i)\b(?:disabled|locked)\b",
    ),
    Refusal(
        "Snowflake",
        ("errno",),
        (250001, 390100),
        frozenset({"snowflake"}),
        text=r"Incorrect username or password",
    ),
    Refusal("Kafka", ("errno",), (58,), frozenset({"aiokafka", "kafka"})),
    Refusal(
        "Kafka, by the class of older clients",
        ("__class__.__name__",),
        ("AuthenticationFailedError",),
        frozenset({"aiokafka", "kafka"}),
    ),
    Refusal(
        "Kafka over librdkafka",
        packages=frozenset({"cimpl", "confluent_kafka"}),
        text=r"code=(?:_AUTHENTICATION|SASL_AUTHENTICATION_FAILED)\b",
    ),
    Refusal(
        "HTTP",
        (
            *("response.status_code", "response.status", "response.ResponseMetadata.HTTPStatusCode"),
            *("status_code", "status", "http_status"),
        ),
        (401,),
    ),
)
"""Every refusal that `is_refused` knows, one row each."""

HTTP_FORBIDDEN: Final = Refusal("HTTP 403", REFUSALS[-1].at, (403,))
"""For a service that answers 403 to a wrong key, and to nothing else: add it by `any_of`.

Most services answer 403 to a right key that lacks a right. To take that for a refusal locks a right key out.
"""

Judge = Callable[[Exception], bool]
"""What `is_refused` is: whether an error means that the credentials were refused."""

_LOOKED_AT: Final = 100
"""At most so many errors in one another are looked at."""


def is_refused(error: Exception) -> bool:
    """Return True if `error`, or an error that it was made of, is one of `REFUSALS`.

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
    while cause is not None and id(cause) not in seen and len(seen) < _LOOKED_AT:
        if isinstance(cause, KeyturnError):
            return True
        seen.add(id(cause))
        cause = cause.__cause__
    return False


def any_of(*judges: Judge) -> Judge:
    """Return a judge that says yes where one of these does, asked in this order."""
    return lambda error: any(judge(error) for judge in judges)


def _made_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and those inside it, each once, but nothing that is about another login."""
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _LOOKED_AT:
        one = waiting.pop()
        if id(one) in seen or is_about_another_login(one):
            continue
        seen.add(id(one))
        yield one
        inside = (one.__cause__, value_at(one, "orig"), *one.args[:_LOOKED_AT])
        waiting.extend(found for found in inside if isinstance(found, BaseException))
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
