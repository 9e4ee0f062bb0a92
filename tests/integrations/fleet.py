"""A fleet of warm and cold processes that open new connections all the time, and what became of them.

A process is a thread here, with a cache of its own: nothing is shared but the servers.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psycopg

from keyturn import SecretCache, SecretVersion
from keyturn.integrations.arguments import LIBPQ, arguments
from keyturn.integrations.login import Login
from keyturn.login.refusals import is_refused

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

PAUSE_S = 0.04
"""Between two logins of one process."""

LogIn = Callable[[], int]
"""Open and close one connection; how many attempts that took."""


@dataclass
class Record:
    """What became of one process's logins. Seconds."""

    tried: int = 0
    attempts: int = 0
    attempts_max: int = 0
    slowest_s: float = 0.0
    failures: list[Exception] = field(default_factory=list)


class Process(threading.Thread):
    """Logs in until it is stopped."""

    def __init__(self, kind: str, log_in: LogIn) -> None:
        super().__init__(name=kind, daemon=True)
        self.record = Record()
        self._log_in = log_in
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(PAUSE_S):
            begun_s = time.monotonic()
            self.record.tried += 1
            try:
                attempts = self._log_in()
            except Exception as error:  # noqa: BLE001 # every failure is what is counted
                self.record.failures.append(error)
                continue
            self.record.attempts += attempts
            self.record.attempts_max = max(self.record.attempts_max, attempts)
            self.record.slowest_s = max(self.record.slowest_s, time.monotonic() - begun_s)

    def stop(self) -> None:
        self._stopped.set()


class Fleet:
    """Processes by kind, running while the block runs; entering waits until each has logged in once."""

    def __init__(self, processes: Mapping[str, list[LogIn]]) -> None:
        self._processes = [Process(kind, one) for kind, made in processes.items() for one in made]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        late_s = time.monotonic() + 20
        while any(process.record.tried < 2 for process in self._processes):
            assert time.monotonic() < late_s, "the fleet did not start"
            time.sleep(PAUSE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.stop()
        for process in self._processes:
            process.join(30)

    def of(self, kind: str) -> Record:
        """The records of all processes of this kind as one."""
        records = [process.record for process in self._processes if process.name == kind]
        return Record(
            tried=sum(one.tried for one in records),
            attempts=sum(one.attempts for one in records),
            attempts_max=max(one.attempts_max for one in records),
            slowest_s=max(one.slowest_s for one in records),
            failures=[failure for one in records for failure in one.failures],
        )


def keyturn(make: Callable[[], SecretCache], secret_id: str) -> LogIn:
    """A warm process: one cache for all its logins."""
    cache = make()
    return lambda: _through(Login(cache, secret_id))


def keyturn_cold(make: Callable[[], SecretCache], secret_id: str, *, previous: bool = False) -> LogIn:
    """Environments that have just started: a new cache for every login."""
    return lambda: _through(Login(make(), secret_id, previous=previous))


def refresh_and_retry_once(client: SecretsManagerClient, secret_id: str) -> LogIn:
    """What is usual: read again when a login is refused, and try that login once more."""

    def fetch() -> dict[str, object]:
        fields: dict[str, object] = json.loads(client.get_secret_value(SecretId=secret_id)["SecretString"])
        return {LIBPQ[name]: value for name, value in fields.items() if name in LIBPQ}

    held = [fetch()]

    def log_in() -> int:
        try:
            _connect(held[0]).close()
        except psycopg.OperationalError as error:
            if not is_refused(error):
                raise
        else:
            return 1
        held[0] = fetch()
        _connect(held[0]).close()
        return 2

    return log_in


def _through(login: Login) -> int:
    attempts = 0

    def connect(version: SecretVersion) -> psycopg.Connection:
        nonlocal attempts
        attempts += 1
        return _connect(arguments(version, LIBPQ))

    login(connect).close()
    return attempts


def _connect(parameters: Mapping[str, object]) -> psycopg.Connection:
    return psycopg.connect(**parameters)  # type: ignore[arg-type] # psycopg checks them itself
