"""How long one call may wait in all: for the table, for a read, and for other threads."""

from __future__ import annotations

from typing import NamedTuple

from keyturn.model.instant import Clock


class Waiting(NamedTuple):
    """The patience of one call, which everything that it waits for shares.

    `copy_s`: seconds in all while there is a copy that may be served; `cold_s`: seconds in all where there
    is none. Both count from `begun_s` by the monotonic clock. `is_needed`: a copy was refused, or nobody
    tended it, so even the caller of a cache with a background thread waits for a read.
    """

    clock: Clock
    begun_s: float
    copy_s: float
    cold_s: float
    is_needed: bool = False

    def within(self, seconds: float) -> Waiting:
        """Return the patience of a call that ends after so many seconds at the latest."""
        seconds = max(0.0, seconds)
        return self._replace(copy_s=min(self.copy_s, seconds), cold_s=min(self.cold_s, seconds))

    def left_s(self, *, has_copy: bool) -> float:
        """Return how many seconds this call may wait from now."""
        passed_s = self.clock.monotonic() - self.begun_s
        return max(0.0, (self.copy_s if has_copy else self.cold_s) - passed_s)
