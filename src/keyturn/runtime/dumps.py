"""No core dump of a process that holds secrets: a crash must not write its memory to a disk."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """Let the kernel write no core dump of this process, and let no process of the same user trace it.

    Both hold where the platform has them: the limit on Unix, the rest on Linux. A core handler that a pipe
    leads to (systemd-coredump, apport) does not look at the limit.
    """
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
