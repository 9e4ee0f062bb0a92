"""Virtual time: actors take turns, one at a time, and change turns only where they wait or do I/O.

An actor is a greenlet, so production code runs in it as it is, and stops in the middle of a call
while others go on. Who runs next depends on virtual time alone: a seed repeats itself exactly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from greenlet import getcurrent, greenlet

NEVER_S = float("inf")


@dataclass(slots=True)
class Machine:
    """What can stand still as a whole: no actor of it runs before `thaws_at_s` (true seconds)."""

    name: str
    thaws_at_s: float = 0.0
    generation: int = 0
    flying: set[Actor] = field(default_factory=set)

    def carry_out(self, kind: str) -> int:
        """Return how many living actors carry out one job of this kind each."""
        return sum(one.is_alive and one.name == kind for one in self.flying)


@dataclass(slots=True, eq=False)
class Actor:
    """One thread of one machine. It dies with the machine's generation.

    `caller`: the actor in whose name it asks, where it carries out one read or one check for another.
    `error`: what interrupts its wait. `is_traced`: whether its function for traces has to hold still while
    others run. `holds`: how many locks it has taken and not left; `has_lock` is called when it takes one.
    """

    name: str
    machine: Machine
    green: greenlet
    generation: int
    woken: int = 0
    caller: Actor | None = None
    error: BaseException | None = None
    is_traced: bool = False
    holds: int = 0
    has_lock: Callable[[], None] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its process lives."""
        return self.generation == self.machine.generation


@dataclass(slots=True, eq=False)
class Waiting:
    """Actors that wait to be woken, each with the number of its wait."""

    actors: list[tuple[Actor, int]] = field(default_factory=list)


class Scheduler:
    """The one queue of who runs when (true seconds since the start)."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._until_s = 0.0
        self._queue: list[tuple[float, int, int, Actor]] = []
        self._numbers = count()
        self._hub = getcurrent()
        self._actors: list[Actor] = []
        self._running: Actor | None = None

    @property
    def running(self) -> Actor:
        """The actor whose turn it is."""
        if self._running is None:
            raise RuntimeError("only an actor may wait or do I/O")
        return self._running

    @property
    def caller(self) -> Actor:
        """The actor that wants to know what the running one asks for."""
        return self.running.caller or self.running

    def spawn(self, name: str, machine: Machine, run: Callable[[], None], after_s: float = 0.0) -> Actor:
        """Start an actor; what it raises ends the simulation."""
        actor = Actor(name, machine, greenlet(run, parent=self._hub), machine.generation)
        self._actors.append(actor)
        self._push(self.now_s + after_s, actor)
        return actor

    def run(self, until_s: float) -> None:
        """Let time pass until then. To be called by who made this scheduler, not by an actor."""
        self._until_s, queue = until_s, self._queue
        while queue and queue[0][0] <= until_s:
            at_s, _, woken, actor = heappop(queue)
            machine = actor.machine
            if woken != actor.woken or actor.generation != machine.generation:
                # A killed process runs nothing more, not even what is to run finally.
                continue
            if machine.thaws_at_s > at_s:
                self._push(machine.thaws_at_s, actor)
                continue
            self.now_s = max(self.now_s, at_s)
            self._running = actor
            actor.green.switch()
            self._running = None
        self.now_s = until_s

    def close(self) -> None:
        """End every actor that still waits: a suspended greenlet would keep its whole world in memory."""
        self._queue.clear()
        for actor in self._actors:
            if actor.green.dead:
                continue
            # What it still does on its way out, in a process that is gone, is judged by nobody.
            with suppress(BaseException):
                actor.green.throw()
        self._actors.clear()

    def pause(self, seconds: float) -> None:
        """Wait, while others run."""
        actor, at_s = self.running, self.now_s + seconds
        if at_s <= self._until_s and (not self._queue or at_s < self._queue[0][0]):
            self.now_s = at_s
        else:
            self._push(at_s, actor)
            self._let_others_run(actor)

    def park(self, waiting: Waiting, timeout_s: float | None = None) -> None:
        """Wait until `wake`, or for so many seconds."""
        actor = self.running
        waiting.actors.append((actor, actor.woken))
        if timeout_s is not None:
            self._push(self.now_s + timeout_s, actor)
        try:
            self._let_others_run(actor)
        finally:
            actor.woken += 1

    def wake(self, waiting: Waiting) -> None:
        """Let all who wait there run, from now on."""
        for actor, number in waiting.actors:
            if number == actor.woken:
                self._push(self.now_s, actor)
        waiting.actors.clear()

    def interrupt(self, actor: Actor, error: BaseException) -> None:
        """Raise this where the actor waits now."""
        actor.error = error
        self._push(self.now_s, actor)

    def stop(self) -> None:
        """End the running actor where it is, whose process was killed: not even its `finally` runs."""
        self._hub.switch()

    def _let_others_run(self, actor: Actor) -> None:
        trace = sys.gettrace() if actor.is_traced else None
        if trace is not None:
            sys.settrace(None)
        self._hub.switch()
        if trace is not None:
            sys.settrace(trace)
        error, actor.error = actor.error, None
        if error is not None:
            # What would have ended its wait does not end the next one.
            actor.woken += 1
            raise error

    def _push(self, at_s: float, actor: Actor) -> None:
        heappush(self._queue, (at_s, next(self._numbers), actor.woken, actor))
