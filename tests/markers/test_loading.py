"""A cache loads what reads the marker table, and not what writes it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keyturn import markers

WRITING = {"keyturn.markers.writer", "keyturn.markers.lease", "keyturn.markers.sweeper"}


def test_a_reader_loads_no_writer() -> None:
    """The import of the reader, as of the schema, loads neither the writer nor the lease."""
    program = "import sys, keyturn.markers.reader as _, keyturn.markers as m; m.head_of; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set() == WRITING & set(loaded.stdout.split())


def test_every_public_name_is_there_and_no_other() -> None:
    """Each name of `__all__` resolves; an unknown name is an AttributeError, as of any module."""
    assert all(hasattr(markers, name) for name in markers.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        markers.Nothing  # noqa: B018 # there is none
