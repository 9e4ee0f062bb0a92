"""docs/tutorial.md is typed as it stands, into three terminals of a machine that has Python and the wheel."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Final, Self

import pytest

from tests.docs.pages import ROOT, blocks

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

LEFT_RUNNING: Final = ("python cloud.py\n", "python app.py\n")
DONE: Final = "__this block is done"
TIMEOUT_S: Final = 240
"""Time enough for an installation on a busy machine."""


class Terminal:
    """A shell that is typed into; what it and its programs print."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        # Without this pip would ask the registry for keyturn, too.
        kept |= {"PIP_FIND_LINKS": str(wheels), "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
        kept |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
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


def fits(expected: str, printed: str) -> bool:
    """Whether it was printed, spaces apart; an ellipsis stands for whatever comes out."""
    words = [re.escape(word).replace("…", ".*?") for word in expected.split()]
    return re.fullmatch(r"\s*" + r"\s+".join(words) + r"\s*", printed, re.DOTALL) is not None


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, capture_output=True, check=True)
    return folder


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the terminals begin."""
    return tmp_path_factory.mktemp("empty")


def typed(terminals: Iterator[Terminal], empty: Path) -> Iterator[tuple[str, str]]:
    """Do all that the page says; each text that it shows, and what was printed at that moment."""
    terminal = running = first = next(terminals)
    printed = ""
    for block in blocks("docs/tutorial.md"):
        if block.language == "python":
            name = block.text.partition("\n")[0].removeprefix("# ")
            (empty / "keyturn-tutorial" / name).write_text(block.text)
        elif block.text in LEFT_RUNNING:
            running = terminal
            running.type(block.text)
            running.wait_until(running.printed)
            printed = running.printed()
        elif block.language == "sh":
            terminal = next(terminals) if "terminal" in block.text.partition("\n")[0] else terminal
            printed = terminal.run(block.text)
        else:
            # What a program that was left running has printed by now is shown once more.
            yield block.text, running.printed() if fits(block.text, running.printed()) else printed
    first.type("\n")


def test_what_the_page_says_comes_out(empty: Path, wheels: Path) -> None:
    """Every command ends well, and every text that the page shows is what was printed there."""
    count = 0
    with ExitStack() as stack:
        terminals = (stack.enter_context(Terminal(empty, wheels)) for _ in range(3))
        for expected, printed in typed(terminals, empty):
            assert fits(expected, printed), printed
            count += 1
    assert [block.language for block in blocks("docs/tutorial.md")].count("text") == count


def test_the_demonstration_in_an_empty_folder(empty: Path, wheels: Path, tmp_path: Path) -> None:
    """`keyturn demo` needs nothing but what the tutorial has installed: no checkout, no make, no account."""
    with Terminal(tmp_path, wheels) as terminal:
        said = terminal.run(f". {empty}/keyturn-tutorial/.venv/bin/activate\nkeyturn demo --quick")
    assert "No login through keyturn failed" in said, said
    assert {"report.json", "timeline.svg"} == {file.name for file in (tmp_path / "keyturn-demo").iterdir()}
