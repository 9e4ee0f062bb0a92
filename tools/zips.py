"""What the two tools that build zips share: they say what they made, and refuse what is too large."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path


def made(output: Path, build: Callable[[Path], bytes], size_max: int) -> int:
    """Build into `output` and print its path, size in bytes and hash. Return 1 if it is too large, else 0."""
    output.parent.mkdir(parents=True, exist_ok=True)
    package = build(output)
    if len(package) > size_max:
        print(f"{output}: {len(package)} bytes, more than {size_max}", file=sys.stderr)
        return 1
    print(f"{output}: {len(package)} bytes, sha256 {hashlib.sha256(package).hexdigest()}")
    return 0
