"""The fleet of worker processes. They start together, report through pipes, and end with this process.

Each worker has a pipe to this process. It sends its records through the pipe and waits on it between logins.
When this end closes, also by this process's death, the worker ends at once.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

from keyturn.demo.records import Record
from keyturn.demo.worker import Job, work

STOP_TIMEOUT_S = 3


class WorkerEndedError(RuntimeError):
    """A worker ended by itself. Its last output is on the standard error."""


class Fleet:
    """All workers of a run. Entering starts them, leaving ends them; `watch` adds to `records`."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs = tuple(jobs)
        self._pipes: dict[Connection, str] = {}
        self._processes: list[BaseProcess] = []
        self.records: list[Record] = []

    def __enter__(self) -> Self:
        # Each worker is forked from one process that has imported everything: new interpreters would be busy
        # with imports for the first seconds of the run.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["keyturn.demo.preload"])
        for job in self.jobs:
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(job, theirs), name=job.worker, daemon=True)
            process.start()
            theirs.close()
            self._pipes[ours] = job.worker
            self._processes.append(process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        late_s = time.monotonic() + STOP_TIMEOUT_S
        for process in self._processes:
            process.join(max(0.0, late_s - time.monotonic()))
        for process in self._processes:
            process.kill()
            process.join()

    def watch(self, until_s: float) -> None:
        """Receive records until that moment. Raises `WorkerEndedError` if a worker has ended."""
        while (left_s := until_s - time.monotonic()) > 0:
            ready = wait(list(self._pipes), left_s)
            for pipe in [one for one in self._pipes if one in ready]:
                self._take(pipe)

    def warm_up(self, timeout_s: float) -> None:
        """Receive records until every worker has tried a login.

        Raises `TimeoutError` if a worker does not.
        """
        late_s = time.monotonic() + timeout_s
        missing = {job.worker for job in self.jobs}
        while missing:
            if time.monotonic() > late_s:
                raise TimeoutError(f"no login after {timeout_s} s by {', '.join(sorted(missing))}")
            self.watch(time.monotonic() + 0.1)
            missing -= {record.worker for record in self.records if record.kind == "login"}

    def _take(self, pipe: Connection) -> None:
        try:
            self.records.append(pipe.recv())
        except (EOFError, ConnectionResetError):
            raise WorkerEndedError(f"the worker {self._pipes[pipe]} ended") from None
