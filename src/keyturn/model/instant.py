"""A moment by both clocks of a host."""

from __future__ import annotations

from typing import NamedTuple


class Instant(NamedTuple):
    """One moment by both clocks of this host (seconds)."""

    wall_s: float
    monotonic_s: float

    def age_s(self, now: Instant) -> float:
        """Seconds from this moment to `now`, never too few.

        A frozen environment may stop the monotonic clock and NTP may move the wall clock, so the
        larger difference counts; a wall clock that went backwards makes everything infinitely old.
        """
        wall_s = now.wall_s - self.wall_s
        if wall_s < 0:
            return float("inf")
        return max(wall_s, now.monotonic_s - self.monotonic_s)
