"""Which threads of which process ask for something now, and until when each of them last did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from tests.simulation.scheduler import NEVER_S, Actor, Scheduler

Asked = TypeVar("Asked")


class Flights(Generic[Asked]):
    """While one thread asks, the others of its process are served what there is: see docs/simulation.md."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._ends_s: dict[Asked, dict[Actor, float]] = {}

    @contextmanager
    def flying(self, *asked: Asked) -> Iterator[None]:
        """The running thread asks for these while it lasts."""
        actor = self._scheduler.caller
        for one in asked:
            self._ends_s.setdefault(one, {})[actor] = NEVER_S
        try:
            yield
        finally:
            for one in asked:
                self._ends_s[one][actor] = self._scheduler.now_s

    def by_others(self, asked: Asked, since_s: float) -> bool:
        """Whether another thread than the running one was at it at any moment since then."""
        running = self._scheduler.caller
        ends_s = self._ends_s.get(asked, {})
        return any(end_s >= since_s for actor, end_s in ends_s.items() if actor is not running)
