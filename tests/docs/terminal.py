"""A shell that a test types a page's commands into, as a reader does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Self

from tests.docs.pages import ROOT

DONE: Final = "__this block is done"
TIMEOUT_S: Final = 240
"""Time enough for an installation on a busy machine."""


class Terminal:
    """A shell that is typed into; what it and its programs print."""

    def __init__(self, folder: Path, wheels: Path, more: Mapping[str, str] | None = None) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        # Without this pip would ask the registry for keyturn, too.
        kept |= {"PIP_FIND_LINKS": str(wheels), "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
        kept |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", **(more or {})}
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=kept,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._keys: IO[str] = self._shell.stdin
        self._screen: IO[str] = self._shell.stdout
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(BrokenPipeError):
            self._keys.close()
        with suppress(subprocess.TimeoutExpired):
            self._shell.wait(1)
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.wait()
        self._reader.join()
        self._screen.close()

    def type(self, text: str) -> None:
        """Type something; says not whether it is done."""
        self._lines.clear()
        self._keys.write(text)
        self._keys.flush()

    def run(self, block: str) -> str:
        """Type a block and wait for its end; what it printed. Fails with its first command that fails."""
        self.type(f"set -e\n{block}\nset +e\necho '{DONE}'\n")
        self.wait_until(lambda: any(line.startswith(DONE) for line in list(self._lines)))
        return self.printed()

    def wait_until(self, is_so: Callable[[], object]) -> None:
        """Wait for something that has to come; fails with what was printed instead."""
        late_s = time.monotonic() + TIMEOUT_S
        while not is_so():
            assert self._shell.poll() is None, self.printed()
            assert time.monotonic() < late_s, self.printed()
            time.sleep(0.05)

    def printed(self) -> str:
        """All that was printed since something was typed last."""
        return "".join(line for line in list(self._lines) if not line.startswith(DONE))

    def _read(self) -> None:
        for line in self._screen:
            self._lines.append(line)


def build_wheel(folder: Path) -> Path:
    """Put the wheel of this checkout into `folder`, and return the folder."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, capture_output=True, check=True)
    return folder
