"""The gate of `keyturn status --wait` and `--expect`: when it opens, and how long it is waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from keyturn.cli.status.places import Visit
from keyturn.model.instant import Clock

LOOK_EVERY_S: Final = 5.0
"""Seconds between two looks of `--wait`, the same as a reader's check interval."""

_T = TypeVar("_T")


class Gate(NamedTuple):
    """What has to be seen: every place is done, and at least `expected` environments report in all."""

    expected: int = 1

    def is_open(self, visits: Sequence[Visit]) -> bool:
        """Return True if the last looks show what has to be seen. A look that failed shows nothing."""
        if any(visit.error is not None for visit in visits):
            return False
        looks = [visit.look for visit in visits if visit.look is not None]
        return all(look.is_done for look in looks) and reporting(visits) >= self.expected


def reporting(visits: Sequence[Visit]) -> int:
    """Return how many environments report, in all places together."""
    fleets = [visit.look.fleet for visit in visits if visit.look is not None]
    return sum(fleet.reporting for fleet in fleets if fleet is not None)


def waited(
    look: Callable[[], _T],
    is_done: Callable[[_T], bool],
    wait_s: float,
    *,
    clock: Clock,
    sleep: Callable[[float], None],
    tell: Callable[[_T], None],
) -> _T:
    """Look again and again, and return the first result that is done, or the last when `wait_s` is over.

    Calls `tell` after each look but the last. A look that begins within `wait_s` may end after it.
    """
    until_s = clock.monotonic() + wait_s
    while True:
        seen = look()
        left_s = until_s - clock.monotonic()
        if is_done(seen) or left_s <= 0:
            return seen
        tell(seen)
        sleep(min(LOOK_EVERY_S, left_s))
