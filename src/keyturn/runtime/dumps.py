"""No core dump of a process that holds secrets: a crash must not write its memory to a disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

_FILTER: Final = Path("/proc/self/coredump_filter")
"""Which memory Linux writes into a core dump of this process, as bits: 0 for none (core(5))."""


def forbid_core_dumps() -> None:
    """Let the kernel write no core dump of this process, where the platform has a way to say so.

    The limit is that of Unix. A handler behind a pipe (systemd-coredump, apport) may not look at it, so on
    Linux there is also no memory to be dumped.
    """
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        _FILTER.write_text("0", "ascii")
