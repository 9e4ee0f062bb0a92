"""Each real server starts, takes logins on 127.0.0.1 alone, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.servers.databases import mariadb, postgresql
from tests.servers.others import mosquitto, openldap, openssh, rabbitmq, redis, valkey, vsftpd
from tests.servers.process import needs

ACCOUNTS = {"app": "right"}
STARTERS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "PostgreSQL": postgresql,
    "MariaDB": mariadb,
    "Redis": redis,
    "Valkey": valkey,
    "RabbitMQ": rabbitmq,
    "OpenLDAP": lambda: openldap("right"),
    "Mosquitto": lambda: mosquitto("app", "right"),
    "OpenSSH": lambda: openssh(ACCOUNTS),
    "vsftpd": lambda: vsftpd(ACCOUNTS),
}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which the servers of a test, and of its child, make their own."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.setenv("TMPDIR", str(path))
    yield path
    shutil.rmtree(path)


def listening(port: int) -> list[str]:
    """Return the addresses on which something listens at the port, as the kernel writes them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    rows += [line.split() for line in Path("/proc/net/tcp6").read_text("ascii").splitlines()[1:]]
    ends = [row[1].split(":") for row in rows if row[3] == "0A"]
    return [address for address, number in ends if int(number, 16) == port]


def processes(folder: str) -> list[str]:
    """Return the commands of the processes that name the folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder in words:
            found.append(words)
    return found


ONE_AT_A_TIME = pytest.mark.xdist_group("rabbitmq")
"""RabbitMQ takes seconds of every processor to start: one after the other it is there in time."""


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(start, marks=ONE_AT_A_TIME if name == "RabbitMQ" else ())
        for name, start in STARTERS.items()
    ],
    ids=STARTERS,
)
def test_a_server_starts_and_leaves_nothing(
    start: Callable[[], AbstractContextManager[object]], folder: Path
) -> None:
    """Only 127.0.0.1 is listened on; afterwards the port is free, and no process and no folder is left."""
    with start() as server:
        port = server if isinstance(server, int) else getattr(server, "port", 0)
        assert processes(str(folder)) != []
        assert listening(port) == ["0100007F"]
    late_s = time.monotonic() + 5
    while listening(port) and time.monotonic() < late_s:
        time.sleep(0.05)
    assert listening(port) == []
    assert (processes(str(folder)), list(folder.iterdir())) == ([], [])


SCRIPT = """
import sys, time
from tests.servers.process import needs
from tests.servers.others import rabbitmq
with rabbitmq() as server:
    print(server.port, server.environment["ERL_EPMD_PORT"], flush=True)
    time.sleep(100)
"""


@ONE_AT_A_TIME
def test_killed_tests_leave_no_server(folder: Path) -> None:
    """If the process of the tests is killed, its RabbitMQ ends, and so does Erlang's name server."""
    needs("epmd")
    needs("rabbitmq-server", "/usr/lib/rabbitmq/bin")
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, env=environment
    )
    with child:
        assert child.stdout is not None
        port, names_port = child.stdout.readline().split()
        child.send_signal(signal.SIGKILL)
    late_s = time.monotonic() + 15
    while time.monotonic() < late_s and (processes(str(folder)) or any(folder.iterdir())):
        time.sleep(0.1)
    assert (listening(int(port)), listening(int(names_port)), processes(str(folder))) == ([], [], [])
    assert not any(folder.iterdir())
