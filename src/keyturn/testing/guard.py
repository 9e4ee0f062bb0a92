"""A small process between this process and a server. It ends the server when this process ends.

The guard runs as a script with one argument, a JSON object with the fields of `Task`. It runs the commands in
turn (the last is the server) until its standard input closes. The system closes it even for a process that
was killed. Then the guard stops the server, kills the processes that the server started, and removes the
folder. It runs in its own session, so a Ctrl-C in the terminal does not reach it. POSIX only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

STOP_TIMEOUT_S = 5
LOG_TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Task:
    """The commands to run and the folder to remove. The log is in the folder.

    `user` runs the commands and needs root; None means this user.
    """

    folder: str
    commands: list[list[str]]
    stop_signal: int
    user: str | None = None


class Guard:
    """This process's end of a guard: it starts the guard, asks whether the server runs, and stops it.

    The server sees only the variables of `environment`. Raises `OSError` if the guard cannot be started.
    """

    def __init__(self, task: Task, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, json.dumps(asdict(task))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> str:
        """Stop the server, wait until its folder is removed, and return the last lines of its log."""
        output, _ = self._process.communicate()
        return output.decode(errors="replace")


def main(task: Task) -> None:
    """Run `task` until the standard input closes or a command fails, and print the last lines of its log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGHUP, _exit)
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    log = Path(task.folder, "log")
    try:
        for command in task.commands:
            _run(command, task, log)
    finally:
        with suppress(OSError):
            sys.stdout.write(log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:])
            sys.stdout.flush()
        shutil.rmtree(task.folder, ignore_errors=True)


def _run(command: list[str], task: Task, log: Path) -> None:
    with log.open("ab") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=task.folder,
            start_new_session=True,
            user=task.user,
            extra_groups=None if task.user is None else [],
        )
    try:
        if server.wait():
            raise SystemExit(1)
    finally:
        _stop(server, task.stop_signal)


def _stop(server: subprocess.Popen[bytes], stop_signal: int) -> None:
    with suppress(subprocess.TimeoutExpired):
        server.send_signal(stop_signal)
        server.wait(STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


def _exit_at_end_of_input() -> None:
    # This thread must not read `sys.stdin`: holding its lock would abort the interpreter's end.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(Task(**json.loads(sys.argv[1])))
