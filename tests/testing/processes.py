"""What is left of processes: found by the temporary folder that they were told to use."""

from __future__ import annotations

import ipaddress
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LISTENS = "0A"
"""The state of a listening socket in /proc/net/tcp."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that any user can enter; at the end it must be empty."""
    folder = Path(tempfile.mkdtemp(prefix="keyturn-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    folder.rmdir()


def heed_interrupts() -> None:
    """For `preexec_fn`: a background job has SIGINT ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_naming(folder: Path) -> list[str]:
    """The command lines of other processes that name `folder` there or in their environment."""
    return [
        text.partition("\0\0")[0].replace("\0", " ")
        for entry in Path("/proc").glob("[0-9]*")
        if str(folder) in (text := _text_of(entry)) and int(entry.name) != os.getpid()
    ]


def listening(folder: Path) -> list[str]:
    """The addresses, as `HOST:PORT`, at which processes that name `folder` accept TCP connections."""
    owned = {
        str(descriptor.readlink())
        for entry in Path("/proc").glob("[0-9]*")
        if str(folder) in _text_of(entry) and int(entry.name) != os.getpid()
        for descriptor in (entry / "fd").iterdir()
        if descriptor.is_symlink()
    }
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return [_address(row[1]) for row in rows if row[3] == LISTENS and f"socket:[{row[9]}]" in owned]


def _address(local: str) -> str:
    host, _, port = local.partition(":")
    words = [bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8)]
    return f"{ipaddress.ip_address(b''.join(words))}:{int(port, 16)}"


def _text_of(entry: Path) -> str:
    try:
        seen = (entry / "cmdline").read_bytes() + b"\0\0" + (entry / "environ").read_bytes()
    except OSError:
        return ""
    return seen.decode(errors="replace")


def eventually(is_so: Callable[[], bool], timeout_s: float = 10) -> bool:
    """Whether `is_so` becomes true within the timeout."""
    late_s = time.monotonic() + timeout_s
    while not is_so() and time.monotonic() < late_s:
        time.sleep(0.05)
    return is_so()
