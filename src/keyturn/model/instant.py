"""A moment, measured by both clocks of a host."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Clock(Protocol):
    """The two clocks of a host, in seconds, as `time.time` and `time.monotonic`."""

    def wall(self) -> float: ...

    def monotonic(self) -> float: ...


class Instant(NamedTuple):
    """One moment as both clocks of this host measure it, in seconds."""

    wall_s: float
    monotonic_s: float

    @classmethod
    def now(cls, clock: Clock) -> Instant:
        """Return this moment by `clock`."""
        return cls(clock.wall(), clock.monotonic())

    def age_s(self, now: Instant) -> float:
        """Return the seconds from this moment to `now`, never too few.

        The larger of the two differences counts, because a frozen environment may stop the monotonic clock
        and NTP may move the wall clock. If the wall clock went backwards, the age is infinite.
        """
        wall_s = now.wall_s - self.wall_s
        if wall_s < 0:
            return float("inf")
        return max(wall_s, now.monotonic_s - self.monotonic_s)
