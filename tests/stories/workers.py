"""Workers that open a new connection about every 40 ms, and what became of their logins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

PAUSE_S: Final = 0.04
"""Between two logins of a worker."""

PATIENCE_S: Final = 30.0
"""A worker that has not logged in for so long is stuck."""

LogIn: TypeAlias = Callable[[], object]
"""Opens and closes one new connection, whatever attempts that takes."""


Way: TypeAlias = Literal["keyturn", "usual"]
"""By keyturn's login, or as code does that reads the secret again after a refusal, and tries once more."""


@dataclass
class Record:
    """What became of the logins of one worker, or of several."""

    logins: int = 0
    failures: list[str] = field(default_factory=list)
    refused: int = 0
    """Attempts that the server refused."""

    def __add__(self, other: Record) -> Record:
        return Record(
            self.logins + other.logins, self.failures + other.failures, self.refused + other.refused
        )


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker does: `ready` gives its login, and holds what the worker keeps all its life."""

    driver: str
    way: Way
    ready: AbstractContextManager[LogIn]
    refused: Callable[[], int]
    """Returns how many of its attempts were refused so far."""


class Worker(threading.Thread):
    """Logs in until it is stopped. It stands for a process: workers share nothing but the servers."""

    def __init__(self, job: Job) -> None:
        super().__init__(name=f"{job.driver}, {job.way}", daemon=True)
        self.job = job
        self.record = Record()
        self.begun = 0
        """How many logins have begun. One that is under way has begun, and has not ended."""
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            with self.job.ready as log_in:
                while not self._stopped.wait(PAUSE_S):
                    self._log_in(log_in)
        except Exception as error:  # noqa: BLE001 # a story with a worker that cannot work must not pass
            self.record.failures.append(f"the worker ended: {type(error).__name__}: {error}")

    def _log_in(self, log_in: LogIn) -> None:
        self.begun += 1
        try:
            log_in()
        except Exception as error:  # noqa: BLE001 # every failure is what is counted
            self.record.failures.append(f"{type(error).__name__}: {error}")
        self.record.logins += 1

    def stop(self) -> Record:
        """End the worker and return what became of its logins."""
        self._stopped.set()
        self.join(PATIENCE_S)
        self.record.refused = self.job.refused()
        return self.record


class Crew:
    """Workers at work while the block runs. `records` has what became of their logins afterwards."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._workers = [Worker(job) for job in jobs]
        self.records: list[tuple[Job, Record]] = []

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        self.wait_for_logins(2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self.records = [(worker.job, worker.record) for worker in self._workers]

    def hold(self, seconds: float, logins: int) -> None:
        """Let the workers go on for some time, and until each has begun and ended so many logins in it."""
        time.sleep(seconds)
        self.wait_for_logins(logins)

    def wait_for_logins(self, logins: int) -> None:
        """Wait until each worker has begun so many logins after now, and ended them."""
        wanted = {worker: worker.begun + logins for worker in self._workers}
        late_s = time.monotonic() + PATIENCE_S
        while any(worker.record.logins < wanted[worker] for worker in self._workers):
            assert time.monotonic() < late_s, self._late(wanted)
            time.sleep(PAUSE_S)

    def _late(self, wanted: dict[Worker, int]) -> str:
        late = [worker for worker in self._workers if worker.record.logins < wanted[worker]]
        told = (f"{worker.name} {worker.record.failures[-1:]}" for worker in late)
        return f"these do not log in: {', '.join(told)}"
