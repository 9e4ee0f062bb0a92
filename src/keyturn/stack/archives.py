"""Zip files that are byte for byte the same, whenever and wherever they are made of the same files.

This holds for the same zlib: another implementation (zlib-ng) may compress the same bytes differently.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest date that an entry of a zip file can have."""


def write_zip(output: Path, files: Mapping[str, bytes], executable: Collection[str] = ()) -> bytes:
    """Write `files` (name in the archive -> content) to `output`, and return its bytes.

    `executable` has the names of those files that may be run as programs.
    """
    with zipfile.ZipFile(output, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, on every host: the permissions are Unix's
            entry.external_attr = (0o755 if name in executable else 0o644) << 16
            archive.writestr(entry, files[name], compresslevel=9)
    return output.read_bytes()
