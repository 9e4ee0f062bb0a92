"""How the command ends without a traceback: by an early Ctrl-C, and where its output does not fit."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

EXIT_INTERRUPTED: Final = 130

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""The errors of a file or device that takes no more of the output."""


@contextmanager
def ending_at_once() -> Iterator[None]:
    """End the process by Ctrl-C, with exit code 130, while the block imports packages or makes clients.

    Code of packages that is called from C or Rust can lose a `KeyboardInterrupt`: pydantic does, while it
    makes a model. The command would then go on as if nobody had pressed Ctrl-C. Does nothing outside of the
    main thread, and where SIGINT is ignored or has a handler of somebody else.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(EXIT_INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
