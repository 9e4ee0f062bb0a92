"""Bytecode that goes into an archive beside its sources, so that no cold start has to compile them.

A Lambda layer is read-only: Python cannot keep there what it has compiled, and would compile it again in
each new environment. The bytecode is of the Python that runs this; every other version ignores it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

_DEADLINE_S: Final = 60

# A process of its own: what this one holds in memory would show in the bytes. An unchecked hash in place of
# the source's date keeps them the same in each checkout, and Python does not compare it with the source.
_PROGRAM: Final = """
import json, py_compile, sys
for source, compiled, shown in json.load(sys.stdin):
    py_compile.compile(
        source, compiled, shown, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
"""


def compiled(sources: Mapping[str, Path], *, unpacked_in: str) -> Mapping[str, bytes]:
    """Return the bytecode of `sources` (name in the archive -> file), by its own name in the archive.

    Tracebacks name the source's place below the folder `unpacked_in`. The bytes depend on the sources and on
    the version of Python alone. Raises `subprocess.CalledProcessError` for a source that is no Python.
    """
    names = {name: _beside(PurePosixPath(name)) for name in sorted(sources)}
    with tempfile.TemporaryDirectory() as folder:
        made = {names[name]: Path(folder, names[name]) for name in names}
        jobs = [
            (str(sources[name]), str(made[compiled]), f"{unpacked_in}/{name}")
            for name, compiled in names.items()
        ]
        subprocess.run(  # noqa: S603 # the program is the one above
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=json.dumps(jobs).encode(),
            check=True,
            timeout=_DEADLINE_S,
        )
        return {name: file.read_bytes() for name, file in made.items()}


def _beside(source: PurePosixPath) -> str:
    """Return where Python looks for the bytecode of a source, if no PYTHONPYCACHEPREFIX leads it elsewhere.

    `importlib.util.cache_from_source` would follow the one of this machine.
    """
    return str(source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc")
