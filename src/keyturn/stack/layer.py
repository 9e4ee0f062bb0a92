"""A Lambda layer of the library, byte for byte the same from the same sources and version of Python.

The layer has the modules of `keyturn` that a function may import, and their bytecode for the Python that
builds it: another runtime uses the sources. Lambda's Python runtime has botocore. The packages of an extra
(a driver; pydantic for `KeyturnSettings`) come with the function's own package.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from keyturn.stack.archives import write_zip
from keyturn.stack.bytecode import compiled
from keyturn.stack.files import packages

NOT_FOR_FUNCTIONS: Final = ("__main__.py", "cli", "demo", "policies", "serve", "stack", "testing")
"""What is used on a developer's machine or a server: folders, and a module."""

SIZE_MAX: Final = 1280 * 1024
"""The size limit in bytes: a cold start fetches the layer. Python 3.14 makes the largest bytecode."""


UNPACKED_IN: Final = "/opt"
"""Where Lambda unpacks layers."""


def build(output: Path) -> bytes:
    """Write the layer to `output` and return its bytes."""
    chosen = {f"python/{name}": file for name, file in library().items()}
    sources = {name: file.read_bytes() for name, file in chosen.items()}
    return write_zip(output, {**sources, **compiled(chosen, unpacked_in=UNPACKED_IN)})


def library() -> Mapping[str, Path]:
    """Return the modules that a function may import, by their names in an archive."""
    base = packages()["keyturn"]
    files = {file.relative_to(base): file for file in (base / "keyturn").rglob("*.py")}
    return {name.as_posix(): file for name, file in files.items() if name.parts[1] not in NOT_FOR_FUNCTIONS}
