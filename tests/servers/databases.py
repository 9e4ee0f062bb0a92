"""PostgreSQL with its translations, PgBouncer before it, and MariaDB: real servers of Debian's packages."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.testing.embedded import LOCALHOST, free_port
from tests.servers.process import (
    Run,
    accepts,
    as_ordinary_user,
    folder_for,
    make_certificate,
    needs,
    ordinary_user,
    running,
)

if TYPE_CHECKING:
    import psycopg
    import pymysql

POSTGRES_BINARIES = max(map(str, Path("/usr/lib/postgresql").glob("*/bin")), default="")
"""Debian keeps each version's programs apart from the PATH."""

HBA = """\
local   all  all                                              trust
host    all  rejected                           127.0.0.1/32  reject
hostssl all  tls_only                           127.0.0.1/32  scram-sha-256
host    all  ident_user                         127.0.0.1/32  ident
host    all  ldap_down                          127.0.0.1/32  ldap ldapserver=127.0.0.1 ldapport=1 {dn}
host    all  other                   127.0.0.1/32  ldap ldapserver=127.0.0.1 ldapport={ldap_port} {dn}
host    all  postgres,app,expired,limited,locked,nobody,+logins  127.0.0.1/32  scram-sha-256
"""
"""Which role may log in how. Tests make their roles members of `logins`; a role of no line has no entry."""

DN = 'ldapprefix="cn=" ldapsuffix=",dc=example"'


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server of Debian's package. It speaks the languages whose locales are installed."""

    port: int
    folder: Path
    password: str

    def connect(
        self, user: str = "postgres", password: str | None = None, **options: str
    ) -> psycopg.Connection:
        """Return a connection, of the superuser by default."""
        import psycopg

        given: dict[str, str] = {"dbname": "postgres", "sslmode": "disable", **options}
        return psycopg.connect(
            host=LOCALHOST,
            port=self.port,
            user=user,
            password=password or self.password,
            autocommit=True,
            **given,  # type: ignore[arg-type] # libpq checks them
        )

    def run(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def speak(self, locale: str) -> None:
        """Use the language of a locale, such as `de_DE.utf8`, for the messages of new connections."""
        self.run(f"ALTER SYSTEM SET lc_messages = '{locale}'", "SELECT pg_reload_conf()")
        while not self._speaks(locale):
            pass

    def _speaks(self, locale: str) -> bool:
        with self.connect() as connection:
            row = connection.execute("SHOW lc_messages").fetchone()
        return row == (locale,)


@contextmanager
def postgresql(settings: Mapping[str, str] | None = None, *, ldap_port: int = 1) -> Iterator[Postgres]:
    """A server with TLS and the rules of `HBA`."""
    initdb = needs("initdb", POSTGRES_BINARIES)
    program = needs("postgres", POSTGRES_BINARIES)
    with folder_for("postgresql") as folder:
        port, password = free_port(), secrets.token_urlsafe()
        make_certificate(folder)
        (folder / "password").write_text(password)
        (folder / "pg_hba.conf").write_text(HBA.format(ldap_port=ldap_port, dn=DN))
        chosen = {
            "listen_addresses": LOCALHOST,
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": str(folder / "server.crt"),
            "ssl_key_file": str(folder / "server.key"),
            "hba_file": str(folder / "pg_hba.conf"),
            "shared_buffers": "16MB",
            "max_connections": "50",
            **(settings or {}),
        }
        data = str(folder / "data")
        commands = [
            [
                *(initdb, "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--no-sync"),
                *("--pwfile", str(folder / "password"), "-E", "UTF8", "--locale", "C.UTF-8"),
            ],
            [program, "-D", data, *(f"--{name}={value}" for name, value in chosen.items())],
        ]
        server = Postgres(port, folder, password)

        def is_ready() -> bool:
            import psycopg

            try:
                server.connect().close()
            except psycopg.OperationalError:
                return False
            return True

        run = Run(ordinary_user(), {}, signal.SIGINT)
        with running(folder, commands, is_ready, run):
            yield server


@contextmanager
def pgbouncer(
    behind: Postgres, auth_type: str, users: Mapping[str, str] | None = None, **settings: str
) -> Iterator[int]:
    """A PgBouncer before the server; gives its port.

    `users` are the lines of its list. Without them it asks the server for the user's verifier (auth_query).
    """
    program = needs("pgbouncer")
    with folder_for("pgbouncer") as folder:
        port = free_port()
        listed = users if users is not None else {"postgres": behind.password}
        (folder / "users").write_text("".join(f'"{name}" "{word}"\n' for name, word in listed.items()))
        options = {
            "listen_addr": LOCALHOST,
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": auth_type,
            "auth_file": str(folder / "users"),
            "pidfile": str(folder / "pid"),
            "server_login_retry": "3",
            "query_wait_timeout": "6",
            **({} if users is not None else {"auth_user": "postgres"}),
            **settings,
        }
        lines = [
            "[databases]",
            f"postgres = host={LOCALHOST} port={behind.port} dbname=postgres",
            f"down = host={LOCALHOST} port=1 dbname=postgres",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in options.items()),
        ]
        (folder / "pgbouncer.ini").write_text("\n".join(lines))
        command = [program, str(folder / "pgbouncer.ini")]
        with running(folder, [command], lambda: accepts(port), as_ordinary_user()):
            yield port


@dataclass(frozen=True, slots=True)
class MariaDb:
    """A MariaDB server whose `root` has no password on its socket."""

    port: int
    folder: Path

    def connect(self) -> pymysql.Connection:
        """Return a connection of `root`."""
        import pymysql

        return pymysql.connect(unix_socket=str(self.folder / "socket"), user="root", autocommit=True)

    def run(self, *statements: str) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def is_ready(self) -> bool:
        # PyMySQL leaves a socket open for each server that is not there.
        return accepts(self.port)


@contextmanager
def mariadb(*options: str) -> Iterator[MariaDb]:
    """A MariaDB server with TLS, and with `options` of mariadbd beside the needed ones."""
    install, program = needs("mariadb-install-db"), needs("mariadbd")
    with folder_for("mariadb") as folder:
        certificate, key = make_certificate(folder)
        server = MariaDb(free_port(), folder)
        data = f"--datadir={folder / 'data'}"
        commands = [
            [install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"],
            [
                *(program, "--no-defaults", data, f"--port={server.port}", f"--bind-address={LOCALHOST}"),
                *(f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", "--skip-name-resolve"),
                *(f"--ssl-cert={certificate}", f"--ssl-key={key}"),
                # What a test's server has written need not outlive the machine.
                *("--innodb-flush-log-at-trx-commit=0", "--debug-no-sync"),
                *options,
            ],
        ]
        # In a common folder each would delete the temporary tables of the other ones when it starts.
        with running(folder, commands, server.is_ready, as_ordinary_user(TMPDIR=str(folder))):
            yield server
