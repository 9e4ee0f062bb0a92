"""The probes of docs/sidecar.md against a running `keyturn serve`, as a container runtime makes them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.e2e.test_serve import running
from tests.serve.test_sidecar import probes
from tests.testing.processes import eventually

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

LATE = "prod/orders"


def passes(probe: Sequence[str], port: int) -> bool:
    """Return whether a probe's own command ends well, at this port and with this Python."""
    program, *arguments = (one.replace("localhost:2773", f"localhost:{port}") for one in probe)
    assert "python" == program
    return not subprocess.run([sys.executable, *arguments], capture_output=True, check=False).returncode


def test_the_probes_say_when_callers_may_start(client: SecretsManagerClient, tmp_path: Path) -> None:
    """Alive at once; ready when the secret of --preload is there, which is late; neither once it ended."""
    found = probes()
    assert {"/ready", "/ping"} == found.keys()
    with running(tmp_path / "log", "--port", "0", "--preload", LATE) as server:
        assert passes(found["/ping"], server.port)
        assert not passes(found["/ready"], server.port)
        assert eventually(lambda: "not ready: secret 'prod/orders'" in server.log, timeout_s=15)
        client.create_secret(Name=LATE, SecretString="one")
        ready = f"http://localhost:{server.port}/ready"
        assert eventually(lambda: httpx.get(ready).status_code == 200, timeout_s=15)
        assert passes(found["/ready"], server.port)
        port = server.port
    assert not passes(found["/ping"], port)
