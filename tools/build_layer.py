"""Build a Lambda layer of the library, byte for byte the same from the same sources.

    python -m tools.build_layer [OUTPUT]        (default: build/keyturn_layer.zip)

The layer has the modules of `keyturn` that a function may import. Lambda's Python runtime has botocore. The
packages of an extra (a driver; pydantic for `KeyturnSettings`) come with the function's own package.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.zips import made, write_zip

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "keyturn_layer.zip"
SOURCES = ROOT / "src"

NOT_FOR_FUNCTIONS = ("cli", "demo", "policies", "serve", "testing")
"""The packages that run on a developer's machine or a server."""

SIZE_MAX = 200 * 1024
"""The size limit in bytes: a cold start fetches the layer."""


def build(output: Path) -> bytes:
    """Write the layer to `output` and return its bytes."""
    files = {file.relative_to(SOURCES): file for file in (SOURCES / "keyturn").rglob("*.py")}
    return write_zip(
        output,
        {f"python/{name}": file for name, file in files.items() if name.parts[1] not in NOT_FOR_FUNCTIONS},
    )


if __name__ == "__main__":
    sys.exit(made(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT, build, SIZE_MAX))
