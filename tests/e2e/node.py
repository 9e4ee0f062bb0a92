"""A warm Node process that reads through the endpoint, as people's handlers do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

HANDLERS: Final = Path(__file__).with_name("handlers")
INSTALL_TIMEOUT_S: Final = 120

REQUIRED: Final = "KEYTURN_TEST_NODE"
"""Set where a missing Node is a failure: a check-out without Node is none of it."""


def installed(folder: Path) -> Path:
    """The handlers with their packages, in `folder`; skips the test, or fails it where Node is required."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        without(f"{' and '.join(missing)} not found: nobody tried the endpoint from Node")
    shutil.copytree(HANDLERS, folder, dirs_exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    if done.returncode:
        without(f"npm could not install axios: {done.stderr[-500:]}")
    return folder


def without(reason: str) -> None:
    """Skip, or fail where Node is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)


class Node:
    """One such process; `ask` is one invocation of a handler in it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["node", "handlers.cjs"],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **event: object) -> dict[str, object]:
        """What came of one event: {"value": ...}, or {"status": ..., "body": ...}."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(event), file=self._process.stdin, flush=True)
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It ends when its standard input does, also when this process is killed.
        self._process.communicate(timeout=10)
