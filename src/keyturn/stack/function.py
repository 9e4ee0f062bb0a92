"""The deployment package of a function of yours, byte for byte the same from the same files.

The package has your files (the handler, and the packages that it needs beside keyturn) and the library. Where
your files have keyturn already, that one stays. There is no bytecode in it, which would be of one Python: a
rotation can wait for a compilation.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from keyturn.stack.archives import write_zip
from keyturn.stack.layer import library

RUNS: Final = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def build(output: Path, code: Path) -> bytes:
    """Write the package of the folder `code` to `output` and return its bytes.

    Links are followed. A file that anybody may run here may be run by everybody there. Raises `OSError` for
    a file or folder that cannot be read, a link that leads nowhere or to a folder above it, and
    `UnicodeEncodeError` for a name that is no text.
    """
    files = {file.relative_to(code).as_posix(): file for file in _files(code)}
    executable = {name for name, file in files.items() if file.stat().st_mode & RUNS}
    if not any(name.startswith("keyturn/") for name in files):
        files |= library()
    return write_zip(output, {name: file.read_bytes() for name, file in files.items()}, executable)


def _files(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Yield what is deployed of a folder. What Python compiles differs from one host to the next.

    `above` has the folders on the way to this one: a link may lead back to one of them.
    """
    found = folder.stat()
    own = found.st_dev, found.st_ino
    if own in above:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
    for path in folder.iterdir():
        # Unlike `is_dir` and `is_file` it raises where something cannot be looked at.
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            yield path
        elif stat.S_ISDIR(mode) and path.name != "__pycache__":
            yield from _files(path, above | {own})
