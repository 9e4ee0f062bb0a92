"""The deployment package of a function of yours, byte for byte the same from the same files.

The package has your files (the handler, and the packages that it needs beside keyturn) and the library. Where
your files have keyturn already, that one stays. There is no bytecode in it, which would be of one Python: a
rotation can wait for a compilation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keyturn.stack.archives import write_zip
from keyturn.stack.layer import library


def build(output: Path, code: Path) -> bytes:
    """Write the package of the folder `code` to `output` and return its bytes."""
    files = {file.relative_to(code).as_posix(): file for file in _files(code)}
    if not any(name.startswith("keyturn/") for name in files):
        files |= library()
    return write_zip(output, {name: file.read_bytes() for name, file in files.items()})


def _files(code: Path) -> Iterator[Path]:
    """Yield what is deployed of a folder. What Python compiles differs from one host to the next."""
    for file in code.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file
