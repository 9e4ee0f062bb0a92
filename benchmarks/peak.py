"""The largest memory that a process has had so far, as Linux counts it since its program began."""

from __future__ import annotations

from pathlib import Path


def peak_mib(pid: int) -> float:
    """Return the largest resident memory of a process so far in MiB (Linux); 0 if it is unknown."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
