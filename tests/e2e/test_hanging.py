"""Real sockets that hang under real botocore clients: nobody with a copy waits, a cold get has an end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from benchmarks.hanging import DURING, HANGS, WITHOUT, measured, quantiles
from benchmarks.outages import survived
from keyturn.testing.account import ENVIRONMENT
from keyturn.testing.embedded import LOCALHOST

WARM_S, COLD_WAIT_S, COLD_MORE_S = 1.2, 3.0, 1.5


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="drops SYNs as Linux does, on addresses of 127/8")
@pytest.mark.parametrize("what", HANGS)
def test_a_get_has_an_end_whatever_hangs(what: str) -> None:
    """Ten copies that are due while that hangs: at most 1.2 s, also beyond the bound of the copies."""
    longest = measured(what, 16.0, COLD_WAIT_S)
    assert longest.inline_s <= WARM_S
    assert longest.background_s <= WARM_S
    assert longest.cold_s is None or longest.cold_s <= COLD_WAIT_S + COLD_MORE_S


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="waits for the function's answer as Linux does")
def test_a_warm_function_survives_an_outage() -> None:
    """A Lambda function with a time-out of 3 s and a copy: each invocation is answered, none is killed."""
    seen = survived(10.0, is_warm=True, cold_wait_s=10.0)
    assert (0, 0, True) == (seen.killed, seen.failed, seen.answers_after)
    assert seen.answered >= 5
    assert seen.longest_s <= WARM_S + 0.5


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="waits for the function's answer as Linux does")
def test_a_function_that_starts_in_an_outage_says_why() -> None:
    """Without a copy, `cold_wait_s` below its time-out: it answers with a typed error, and recovers."""
    seen = survived(6.0, is_warm=False, cold_wait_s=2.0)
    assert (0, 0, True) == (seen.killed, seen.answered, seen.answers_after)
    assert {"UnavailableError"} == set(seen.ended)


@pytest.mark.proof
def test_gets_stay_as_fast_during_an_outage() -> None:
    """With `background=True` the 99th percentile is at most three times that without an outage."""
    found = quantiles(6.0, rounds=6)
    assert found[DURING].p99_s <= 3 * found[WITHOUT].p99_s


@pytest.mark.proof
@pytest.mark.parametrize("table", ["markers", "ssm:/keyturn/marker-table"])
@pytest.mark.parametrize("command", [["status"], ["sweep"], ["announce", "prod/db"]], ids=" ".join)
def test_a_command_says_what_it_waits_for(command: list[str], table: str) -> None:
    """An endpoint accepts and never answers: a line after some 10 s, and an error at the end."""
    with socket.create_server((LOCALHOST, 0)) as silent:
        environment = {
            **{name: value for name, value in ENVIRONMENT.items() if "IGNORE" not in name},
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "AWS_ENDPOINT_URL": f"http://{LOCALHOST}:{silent.getsockname()[1]}",
            "KEYTURN_MARKER_TABLE": table,
        }
        done = subprocess.run(
            [sys.executable, "-m", "keyturn.cli", *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    first, *rest = done.stderr.splitlines()
    assert first.startswith("waiting for ")
    assert first.endswith("; calls have time-outs, a credential_process has none")
    assert "Error: " in "".join(rest)
    assert (3, "") == (done.returncode, done.stdout)
