"""A measurement runs in a process of its own, which ends whatever happens; the others go on."""

from __future__ import annotations

import subprocess
from contextlib import closing

import pytest

from benchmarks import measurements
from benchmarks.measurements import MeasurementFailedError, each_measured


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two names: no module measures either, and the second has no time for anything."""
    found = {"missing": {"quick": 60.0, "full": 60.0}, "late": {"quick": 0.0, "full": 0.0}}
    monkeypatch.setattr(measurements, "BOUNDS_S", found)


def test_a_failure_is_told_and_the_others_run() -> None:
    """One process runs out of time, one ends with an error: both are reported, by name."""
    found = [str(one) for one in each_measured(["late", "missing"], "full")]
    assert found == ["late took more than 0 s", "missing ended with 2"]


def test_whoever_stops_early_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that leaves, as after Ctrl-C, leaves no process behind that still measures."""
    begun: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *command: object, **options: object) -> None:
            super().__init__(*command, **options)  # type: ignore[call-overload] # handed on
            begun.append(self)

    monkeypatch.setattr("subprocess.Popen", Recorded)
    with closing(each_measured(["late", "missing", "missing"], "quick")) as found:
        assert isinstance(next(found), MeasurementFailedError)
    assert len(begun) == 3
    assert None not in [one.returncode for one in begun]
