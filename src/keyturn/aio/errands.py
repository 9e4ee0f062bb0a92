"""Errands: calls that may wait, each in a thread of its own, and one for all tasks that want the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from keyturn.aio.bells import ended
from keyturn.cache.flights import Flight, SingleFlight
from keyturn.errors import SecretError
from keyturn.model.instant import Clock

_T = TypeVar("_T")


class Errands:
    """The errands of one cache. Loops and threads may share it.

    An errand is a daemon thread, which never waits for a loop and runs in a copy of the context of the task
    that began it. It goes on if that task is cancelled, and ends when its call does.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flights: SingleFlight[Hashable, object] = SingleFlight("keyturn-async")

    def after_fork(self) -> None:
        """Forget all errands: their threads are the parent's."""
        self._flights.after_fork()

    def begin(self, key: Hashable, call: Callable[[], _T]) -> tuple[Flight[_T], bool]:
        """Return the errand with this key that is under way, and True if this call has begun it.

        All calls with the same key must return the same type.
        """
        flight, is_mine = self._flights.join_or_begin(key, call, self._clock.monotonic())
        return cast("Flight[_T]", flight), is_mine

    async def run(self, key: Hashable, call: Callable[[], _T]) -> _T:
        """Return what the errand brings, whoever has begun it; raise what it raised."""
        flight, is_mine = self.begin(key, call)
        await ended(flight)
        return landed(flight, is_mine=is_mine)


def landed(flight: Flight[_T], *, is_mine: bool) -> _T:
    """Return what an errand brought, or raise what it raised: to each task an error of its own."""
    try:
        return flight.outcome()
    except SecretError as error:
        if is_mine:
            raise
        # An error that many tasks raise would gather the tracebacks of all of them.
        own, cause = error.about(error.secret_id), error.__cause__
    raise own from cause
