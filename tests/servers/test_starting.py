"""Each real server starts, takes logins on 127.0.0.1 alone, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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


NAMES = ("postgresql", "mariadb", "redis", "rabbitmq", "epmd", "openldap", "mosquitto", "openssh", "vsftpd")


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


@pytest.mark.parametrize("start", STARTERS.values(), ids=STARTERS)
def test_a_server_starts_and_leaves_nothing(start: Callable[[], AbstractContextManager[object]]) -> None:
    """Only 127.0.0.1 is listened on; afterwards the port is free, and no process and no folder is left."""
    before = folders()
    with start() as server:
        port = server if isinstance(server, int) else getattr(server, "port", 0)
        assert [processes(str(folder)) for folder in folders() - before] != []
        assert listening(port) == ["0100007F"]
    late_s = time.monotonic() + 5
    while listening(port) and time.monotonic() < late_s:
        time.sleep(0.05)
    assert listening(port) == []
    assert folders() - before == set()


def folders() -> set[Path]:
    """Return the folders of servers that are there now."""
    return {path for name in NAMES for path in Path(tempfile.gettempdir()).glob(f"keyturn-{name}-*")}


SCRIPT = """
import sys, time
from tests.servers.process import needs
from tests.servers.others import rabbitmq
with rabbitmq() as server:
    print(server.port, server.environment["ERL_EPMD_PORT"], server.folder, flush=True)
    time.sleep(100)
"""


def test_killed_tests_leave_no_server() -> None:
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
        port, names_port, folder = child.stdout.readline().split()
        child.send_signal(signal.SIGKILL)
    late_s = time.monotonic() + 15
    while time.monotonic() < late_s and (
        listening(int(port)) or listening(int(names_port)) or Path(folder).exists()
    ):
        time.sleep(0.1)
    assert (listening(int(port)), listening(int(names_port)), processes(folder)) == ([], [], [])
    assert not Path(folder).exists()
