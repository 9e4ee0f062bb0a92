"""How a real server of the tests is found, started as an ordinary user, and ended by its id.

Every server listens on a free port of 127.0.0.1 and keeps its files in a temporary folder. A guard (see
`keyturn.testing.guard`) ends it and removes the folder, also when the tests are interrupted or killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pytest

from keyturn.testing.embedded import LOCALHOST, EmbeddedServerError, give, new_folder, started
from keyturn.testing.guard import Task

REQUIRED: Final = "KEYTURN_TEST_SERVERS"
"""Set to `required` where a missing server is a failure: `make servers` does that."""

HOW: Final = "`make servers-packages` installs it on Debian"


def needs(program: str, *folders: str) -> str:
    """Return the path of a program; skip the test without it, or fail where servers are required."""
    found = shutil.which(
        program, path=os.pathsep.join((*folders, os.environ.get("PATH", os.defpath), "/usr/sbin"))
    )
    if found is None:
        without(f"{program} is not here, so nobody tried a login with its server; {HOW}")
    return found


def without(reason: str) -> NoReturn:
    """Skip the test, or fail it where servers are required."""
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(reason)
    pytest.skip(reason)


def ordinary_user() -> str | None:
    """Return the user to run servers as: `nobody` under root, else None for this user."""
    return "nobody" if os.geteuid() == 0 else None


@dataclass(frozen=True, slots=True)
class Run:
    """How a server runs: as which user, with which variables, and which signal ends it."""

    user: str | None
    environment: Mapping[str, str]
    stop_signal: int = signal.SIGTERM


def as_ordinary_user(**environment: str) -> Run:
    """Run as `nobody` under root, with only these variables."""
    return Run(ordinary_user(), environment)


@contextmanager
def folder_for(server: str) -> Iterator[Path]:
    """Give a new temporary folder. The server's guard removes it; if no server starts in it, this does."""
    folder = new_folder(f"keyturn-{server}-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(
    folder: Path, commands: Sequence[Sequence[str]], is_ready: Callable[[], bool], run: Run
) -> Iterator[None]:
    """Run the commands in turn, the last of which is the server, from when it is ready until the block ends.

    Raises `EmbeddedServerError` with the end of the server's log if it is not ready within 30 s.
    """
    if run.user is not None and os.geteuid() == 0:
        give(run.user, folder)
    environment = {
        "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    task = Task(str(folder), [list(command) for command in commands], run.stop_signal, run.user)
    guard = started(task, environment | dict(run.environment), is_ready)
    try:
        yield
    finally:
        guard.stop()


def accepts(port: int, greeting: bytes = b"") -> bool:
    """Return True if something on 127.0.0.1 accepts a connection, and greets with these bytes if any."""
    try:
        with socket.create_connection((LOCALHOST, port), timeout=2) as connection:
            return not greeting or connection.recv(1000).startswith(greeting)
    except OSError:
        return False


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost and 127.0.0.1 in the folder; return it and its key."""
    certificate, key = folder / "server.crt", folder / "server.key"
    command = [
        *(needs("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def debian_version(package: str) -> str:
    """Return the upstream version of a Debian package; empty where it is not one."""
    command = ["dpkg-query", "-W", "-f=${Version}", package]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told.rpartition(":")[2].partition("-")[0].partition("+")[0].partition("~")[0]


@contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Answer each connection to a free port by `serve` in a thread of its own; give the port."""
    with socket.create_server((LOCALHOST, 0)) as server:
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_served, args=(serve, connection), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _served(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with connection:
        try:
            serve(connection)
        except OSError:
            return


__all__ = [
    "LOCALHOST",
    "EmbeddedServerError",
    "Run",
    "accepts",
    "answering",
    "as_ordinary_user",
    "debian_version",
    "folder_for",
    "make_certificate",
    "needs",
    "ordinary_user",
    "running",
    "without",
]
