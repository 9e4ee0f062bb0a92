"""Several reads at a time, before anybody waits for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import TIMEOUT_MAX
from typing import Final

from keyturn.cache.flights import Flight

TOGETHER_MAX: Final = 8
"""How many reads are under way at the same time: a client of botocore keeps ten connections."""


def each(reads: Sequence[Callable[[], object]]) -> None:
    """Make all reads, each in a thread of its own. Raises the error of the first that failed, in the end."""
    flights: list[Flight[object]] = []
    for at in range(0, len(reads), TOGETHER_MAX):
        together = [Flight("keyturn-preload", read) for read in reads[at : at + TOGETHER_MAX]]
        for flight in together:
            flight.begin()
        # Each read ends by the cache's own deadlines.
        for flight in together:
            flight.wait(TIMEOUT_MAX)
        flights += together
    for flight in flights:
        flight.outcome()
