"""Zip files that are byte for byte the same, whenever and wherever they are made of the same files.

This holds for the same zlib: another implementation (zlib-ng) may compress the same bytes differently.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date that an entry of a zip file can have."""


def write_zip(output: Path, files: Mapping[str, Path]) -> bytes:
    """Write `files`, with their names in the archive, to `output`, and return its bytes."""
    with zipfile.ZipFile(output, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, on every host: the permissions are Unix's
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name].read_bytes(), compresslevel=9)
    return output.read_bytes()


def made(output: Path, build: Callable[[Path], bytes], size_max: int) -> int:
    """Build into `output` and print its path, size in bytes and hash. Return 1 if it is too large, else 0."""
    output.parent.mkdir(parents=True, exist_ok=True)
    package = build(output)
    if len(package) > size_max:
        print(f"{output}: {len(package)} bytes, more than {size_max}", file=sys.stderr)
        return 1
    print(f"{output}: {len(package)} bytes, sha256 {hashlib.sha256(package).hexdigest()}")
    return 0
