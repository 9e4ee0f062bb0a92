"""What is left of processes: found by the temporary folder that they were told to use."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


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
