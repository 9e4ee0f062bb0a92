"""A proxy that breaks calls on their way to the embedded AWS: microburst, started and stopped here."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from contextlib import closing
from types import TracebackType
from typing import Self

from keyturn.testing.embedded import LOCALHOST, REGION, free_port, new_folder, started
from keyturn.testing.guard import Task

TIMEOUT_S = 10

READER = {"headers": {"user-agent": "keyturn"}}
"""Only the calls of a reader: its clients say so, the listener's do not."""

LISTENER = {"headers": {"user-agent": "rotation-listener"}}
"""Only the calls of the listener."""


class FaultProxy:
    """Forwards to `upstream`; `break_by` takes microburst's rules. Entering waits until it is ready."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.port = 0

    def __enter__(self) -> Self:
        self.port = free_port()
        folder = new_folder("keyturn-faults-")
        command = [sys.executable, "-m", "microburst", "--upstream", self._upstream]
        command += ["--host", LOCALHOST, "--port", str(self.port)]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }
        self._guard = started(Task(str(folder), [command], signal.SIGTERM), environment, self._is_ready)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guard.stop()

    @property
    def url(self) -> str:
        return f"http://{LOCALHOST}:{self.port}"

    def break_by(self, *rules: dict[str, object]) -> None:
        """Break what these rules match, from now on and nothing else."""
        self._ask("POST", "rules", rules)

    def heal(self) -> None:
        """Break nothing any more."""
        self.break_by()

    def fired(self) -> int:
        """How many calls were broken lately, at most 100."""
        events = json.loads(self._ask("GET", "fired"))
        assert isinstance(events, list)
        return len(events)

    def forget(self) -> None:
        """Count broken calls from 0."""
        self._ask("DELETE", "fired")

    def _is_ready(self) -> bool:
        try:
            return b"ok" in self._ask("GET", "health")
        except OSError:
            return False

    def _ask(self, method: str, what: str, content: object = None) -> bytes:
        with closing(http.client.HTTPConnection(LOCALHOST, self.port, timeout=TIMEOUT_S)) as connection:
            connection.request(
                method, f"/_microburst/{what}", None if content is None else json.dumps(content)
            )
            answer = connection.getresponse()
            body = answer.read()
        assert answer.status == http.HTTPStatus.OK, body
        return body
