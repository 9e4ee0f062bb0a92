"""The lock of this library. An exception out of a signal handler never leaves it locked.

On CPython 3.14 `with lock:` does not keep that promise for a lock of the standard library: a handler may run
after the lock was acquired and before the block begins, and what it raises skips the release
(https://github.com/python/cpython/issues/148874). Earlier releases run no handler there, and nor does 3.15.
"""

from __future__ import annotations

import sys
import threading
from _thread import RLock
from typing import Final

ONCE: Final = (True,)

HAS_GAP: Final = sys.version_info[:2] == (3, 14)
"""Whether a signal handler may run between a lock's `__enter__` and the block."""


class GaplessLock(RLock):  # type: ignore[misc] # final for type checkers alone
    """A reentrant lock whose `__enter__` either has the lock when it returns, or lets go of it again.

    No handler runs between the return of a function that is written in Python and the block. `__exit__` is
    that of the base class, which releases before a handler can run.
    """

    def __enter__(self) -> bool:  # type: ignore[override] # typeshed has the arguments of `acquire` there
        """Acquire the lock."""
        acquired: list[bool] = []
        try:
            # No handler runs inside of this call, which is one for the interpreter: the list tells the truth.
            acquired.extend(map(self.acquire, ONCE))
        except BaseException:
            if acquired:
                self.release()
            raise
        return True


def new_lock() -> RLock:
    """Return a new lock. It is reentrant, since a signal handler may use what its own thread has locked."""
    return GaplessLock() if HAS_GAP else threading.RLock()
