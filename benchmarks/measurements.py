"""The measurements: which there are, and how each runs in a process of its own, with a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import results
from benchmarks.aws import CREDENTIALS
from benchmarks.results import Results, Size

STOP_TIMEOUT_S: Final = 10
POLL_S: Final = 0.05

AT_ONCE: Final[Mapping[Size, int]] = {"full": 1, "quick": 3}
"""So many measurements run at the same time. Those of a quick run disturb each other, and publish nothing."""

BOUNDS_S: Final[Mapping[str, Mapping[Size, float]]] = {
    "hit": {"full": 120, "quick": 30},
    "cold": {"full": 240, "quick": 45},
    "check": {"full": 90, "quick": 30},
    "chain": {"full": 420, "quick": 45},
    "memory": {"full": 120, "quick": 30},
    "eviction": {"full": 60, "quick": 30},
    "hang": {"full": 150, "quick": 60},
    "httpkeys": {"full": 90, "quick": 45},
    "verifying": {"full": 60, "quick": 30},
    "fleet": {"full": 120, "quick": 30},
    "scale": {"full": 120, "quick": 90},
    "storm": {"full": 120, "quick": 60},
    "sweep": {"full": 300, "quick": 90},
    "cost": {"full": 60, "quick": 30},
    "listener": {"full": 400, "quick": 45},
    "serve": {"full": 120, "quick": 30},
    "aio": {"full": 300, "quick": 60},
}
"""The modules that measure, and the time limit of each in seconds."""


class MeasurementFailedError(RuntimeError):
    """A measurement ended with an error or ran out of time. The message says which."""


def each_measured(names: Sequence[str], size: Size) -> Generator[Results | MeasurementFailedError]:
    """Run the measurements, as many at once as this size allows. Yield what each of them found."""
    waiting, running = deque(names), list[Measurement]()
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE[size]:
                running.append(Measurement(waiting.popleft(), size))
            for one in [one for one in running if one.is_over()]:
                running.remove(one)
                yield one.found()
            time.sleep(POLL_S)
    finally:
        for one in running:
            one.end()


class Measurement:
    """One measurement in a process of its own."""

    def __init__(self, name: str, size: Size) -> None:
        self._name, self._bound_s = name, BOUNDS_S[name][size]
        print(f"{name}: at most {self._bound_s:g} s", flush=True)
        self._late_s = time.monotonic() + self._bound_s
        self._folder = TemporaryDirectory()
        self._path = Path(self._folder.name, "part.json")
        command = [sys.executable, "-m", "benchmarks", "--only", name, "--child", str(self._path)]
        command += ["--quick"] if size == "quick" else []
        environment = {
            key: text for key, text in os.environ.items() if not key.startswith("AWS_")
        } | CREDENTIALS
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, start_new_session=True
        )

    def is_over(self) -> bool:
        """Return True if the process has ended or its time is over."""
        return self._process.poll() is not None or time.monotonic() > self._late_s

    def found(self) -> Results | MeasurementFailedError:
        """Return what was measured, and end."""
        code = self._process.poll()
        try:
            if code is None:
                return MeasurementFailedError(f"{self._name} took more than {self._bound_s:g} s")
            if code:
                return MeasurementFailedError(f"{self._name} ended with {code}")
            return results.read(self._path)
        finally:
            self.end()

    def end(self) -> None:
        """Tell the process to stop its servers and to end. Kill its session if it does not."""
        with self._folder, self._process:
            if self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    os.killpg(self._process.pid, signal.SIGKILL)
