"""AWS's runtime interface emulator: a Lambda function as a plain process, with its INIT.

The program comes with the package aws-sam-cli and runs AWS's own Python runtime client, awslambdaric. `make
bench` puts both into `FOLDER`, apart from the environment, which then does not get aws-sam-cli's
dependencies.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyturn.testing.embedded import LOCALHOST, free_port, new_folder
from keyturn.testing.guard import Guard, Task

FOLDER: Final = Path(os.environ.get("KEYTURN_BENCH_RIE", "build/bench/rie")).absolute()
ACCOUNT: Final = "012345678912"
"""The account of every function in the emulator, by the ARN that it tells the function."""

START_TIMEOUT_S: Final = 20
INVOKE_TIMEOUT_S: Final = 300
INIT: Final = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")


def program() -> Path:
    """Return the path of the emulator for this processor."""
    kind = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    return FOLDER / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{kind}"


def is_there() -> bool:
    """Return True if the emulator and its runtime client are installed."""
    return program().is_file() and (FOLDER / "awslambdaric").is_dir()


class NoInitReportError(RuntimeError):
    """The emulator reported no INIT. The message has the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Function:
    """A running function: its port and its log."""

    port: int
    log: Path

    def invoke(self, event: object) -> object:
        """Return the function's answer. The first call causes INIT."""
        connection = http.client.HTTPConnection(LOCALHOST, self.port, timeout=INVOKE_TIMEOUT_S)
        with closing(connection):
            body = json.dumps(event)
            connection.request("POST", "/2015-03-31/functions/function/invocations", body)
            answer: object = json.loads(connection.getresponse().read())
            return answer

    def init_ms(self) -> float:
        """Return the milliseconds of INIT, as the emulator reports them."""
        text = self.log.read_text("utf-8", "replace")
        found = INIT.search(text)
        if found is None:
            raise NoInitReportError(text[-1000:])
        return float(found[1])

    def processes(self) -> list[int]:
        """Return the ids of the runtime's own processes (Linux)."""
        with suppress(OSError):
            children = Path("/proc").glob("[0-9]*/environ")
            wanted = f"AWS_LAMBDA_RUNTIME_API={LOCALHOST}:{self.port + 1}".encode()
            return [int(one.parent.name) for one in children if wanted in _bytes(one)]
        return []


@contextmanager
def function(handler: str, paths: Sequence[Path], environment: Mapping[str, str]) -> Iterator[Function]:
    """Yield a function whose code is on `paths`, in an emulator of its own that ends with the block."""
    everything = [*map(str, paths), *sys.path, str(FOLDER)]
    variables = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(path for path in everything if path),
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "300",
        **environment,
    }
    port, runtime_port = _two_ports()
    command = [
        *(str(program()), "--log-level", "info"),
        *("--runtime-interface-emulator-address", f"{LOCALHOST}:{port}"),
        *("--runtime-api-address", f"{LOCALHOST}:{runtime_port}"),
        *(sys.executable, "-m", "awslambdaric", handler),
    ]
    folder = new_folder("keyturn-rie-")
    guard = Guard(Task(str(folder), [command], signal.SIGKILL), variables)
    try:
        _wait(port)
        yield Function(port, folder / "log")
    finally:
        guard.stop()


def _two_ports() -> tuple[int, int]:
    """Return a free port whose next port is free as well."""
    while True:
        port = free_port()
        with suppress(OSError):
            with socket.socket() as probe:
                probe.bind((LOCALHOST, port + 1))
            return port, port + 1


def _wait(port: int) -> None:
    """Wait until the emulator listens. Raises `TimeoutError` if it does not."""
    late_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < late_s:
        with suppress(OSError):
            connection = http.client.HTTPConnection(LOCALHOST, port, timeout=1)
            with closing(connection):
                connection.connect()
                return
        time.sleep(0.01)
    raise TimeoutError("the runtime interface emulator does not listen")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
