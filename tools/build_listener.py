"""Build build/rotation_listener.zip: `python -m tools.build_listener [OUTPUT]`. A bare Python can do it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from keyturn.stack.listener import SIZE_MAX, build
from tools.zips import made

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "rotation_listener.zip"

__all__ = ["OUTPUT", "ROOT", "SIZE_MAX", "build", "build_listener"]


def build_listener() -> Path:
    """Build the package at its usual place, and return its path. Several processes may do so at once."""
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUTPUT.parent) as folder:
        whole = Path(folder, OUTPUT.name)
        build(whole)
        whole.replace(OUTPUT)
    return OUTPUT


if __name__ == "__main__":
    sys.exit(made(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT, build, SIZE_MAX))
