"""A moment, measured by both clocks of a host."""

from __future__ import annotations

from typing import NamedTuple


class Instant(NamedTuple):
    """One moment as both clocks of this host measure it, in seconds."""

    wall_s: float
    monotonic_s: float

    def age_s(self, now: Instant) -> float:
        """Return the seconds from this moment to `now`, never too few.

        The larger of the two differences counts, because a frozen environment may stop the monotonic clock
        and NTP may move the wall clock. If the wall clock went backwards, the age is infinite.
        """
        wall_s = now.wall_s - self.wall_s
        if wall_s < 0:
            return float("inf")
        return max(wall_s, now.monotonic_s - self.monotonic_s)
