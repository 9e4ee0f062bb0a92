"""EventBridge and the Lambda service around the production listener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from keyturn.errors import KeyturnError
from rotation_listener.listener import Listener
from tests.simulation.hosts import Host
from tests.simulation.peers.events import Event, is_native
from tests.simulation.scheduler import Scheduler, Waiting
from tests.simulation.weather import EVENTS, LISTENER, CrashedError, Weather

NATIVE_DELAY_S = 1.0
TRAIL_DELAY_S = 240.0
ENVIRONMENTS = 8
"""As if that much concurrency were reserved: what comes beyond waits, and is late."""

RETRIES_AFTER_S = (60.0, 120.0)
"""Lambda gives an event that failed twice more, after one and after two minutes."""


@dataclass(slots=True)
class Function:
    """The listener's function: some environments, each with one invocation at a time.

    `ended` hears of each invocation that ended: the event, and what was answered or raised.
    """

    scheduler: Scheduler
    weather: Weather
    listeners: list[tuple[Host, Listener]]
    begun: Callable[[Event], None]
    ended: Callable[[Event, Mapping[str, object] | BaseException], None]
    busy: set[str]
    waiting: int = 0
    queue: Waiting = field(default_factory=Waiting)

    def invoke(self, event: Event, after_s: float) -> None:
        """Have the event handled, asynchronously, at most three times."""
        self.waiting += 1
        host, _ = self.listeners[0]
        self.scheduler.spawn("lambda", host.machine, lambda: self._deliver(event), after_s)

    def _deliver(self, event: Event) -> None:
        for retry_after_s in (*RETRIES_AFTER_S, None):
            if self._handled(event):
                break
            if retry_after_s is None:
                self.weather.counted["events given up by Lambda"] += 1
                break
            self.weather.counted["events given again by Lambda"] += 1
            self.scheduler.pause(retry_after_s)
        self.waiting -= 1

    def _handled(self, event: Event) -> bool:
        if self.weather.listener_dead:
            self.weather.struck(LISTENER)
            return False
        host, listener = self._environment()
        self.begun(event)
        try:
            answer = listener.handle(event, self._time_is_up)
        except (KeyturnError, CrashedError) as error:
            self.weather.struck(LISTENER)
            self.ended(event, error)
            return False
        finally:
            self.busy.discard(host.name)
            self.scheduler.wake(self.queue)
        self.ended(event, answer)
        return True

    def _environment(self) -> tuple[Host, Listener]:
        while True:
            for host, listener in self.listeners:
                if host.name not in self.busy:
                    self.busy.add(host.name)
                    return host, listener
            self.weather.counted["events that waited for an environment"] += 1
            self.scheduler.park(self.queue)
            self.weather.struck(EVENTS)

    def _time_is_up(self) -> bool:
        return self.weather.hits(self.weather.out_of_time, "sweeps out of time")


@dataclass(slots=True)
class Bus:
    """EventBridge, with CloudTrail before it where `trail` says so."""

    scheduler: Scheduler
    random: Random
    weather: Weather
    function: Function
    trail: bool

    def publish(self, event: Event) -> None:
        """Send an event on its way, once, twice or never."""
        if not is_native(event) and not self.trail:
            return
        if self.weather.hits(self.weather.event_lost, "events lost"):
            self.weather.struck(EVENTS)
            return
        copies = 1 + self.weather.hits(self.weather.event_doubled, "events doubled")
        for _ in range(copies):
            self.function.invoke(event, self._delay_s(event))

    def _delay_s(self, event: Event) -> float:
        if self.weather.hits(self.weather.event_late, "events late"):
            self.weather.struck(EVENTS)
            return 600 * self.random.random()
        if is_native(event):
            return 0.05 + (NATIVE_DELAY_S - 0.05) * self.random.random() ** 2
        return 2 + (TRAIL_DELAY_S - 2) * self.random.random() ** 2
