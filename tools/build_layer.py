"""Build build/keyturn_layer.zip: `python -m tools.build_layer [OUTPUT]`. A bare Python can do it."""

from __future__ import annotations

import sys
from pathlib import Path

from keyturn.stack.layer import SIZE_MAX, build
from tools.zips import made

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "keyturn_layer.zip"

__all__ = ["OUTPUT", "ROOT", "SIZE_MAX", "build"]

if __name__ == "__main__":
    sys.exit(made(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT, build, SIZE_MAX))
