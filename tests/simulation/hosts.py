"""Hosts: machines with clocks of their own, which are wrong in every way that a host's clock can be."""

from __future__ import annotations

from tests.simulation.scheduler import NEVER_S, Machine, Scheduler

EPOCH_S = 1_790_000_000.0
"""The wall clock's time when the simulation starts."""

LEAP_S = 60.0
"""The shortest short TTL: a wall clock that is set forward by that makes a copy of just now look old."""


class HostClock:
    """A `Clock` that drifts, is set forward and back, and whose monotonic half may stop in a freeze."""

    def __init__(self, scheduler: Scheduler, *, skew_s: float = 0.0, drift: float = 0.0) -> None:
        self._scheduler = scheduler
        self._offset_s = EPOCH_S + skew_s
        self._rate = 1.0 + drift
        self._stopped_s = -1000.0
        self.disturbed_s = 0.0
        self.hidden_s = 0.0
        self.leapt_s = -NEVER_S
        self.stops = False

    def wall(self) -> float:
        return self._offset_s + self._scheduler.now_s * self._rate

    def monotonic(self) -> float:
        return self._scheduler.now_s * self._rate - self._stopped_s

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back."""
        self._offset_s += seconds
        self.disturbed_s = max(self.disturbed_s, self._scheduler.now_s)
        if seconds >= LEAP_S:
            self.leapt_s = self._scheduler.now_s
        # Time that passed in a freeze and was then taken back from the wall clock shows on neither clock.
        self.hidden_s += max(0.0, -seconds)

    def stop_monotonic(self, seconds: float) -> None:
        """The monotonic clock stood for so long."""
        self._stopped_s += seconds * self._rate
        self.stops = True


class Host:
    """A machine with its clocks."""

    def __init__(self, name: str, scheduler: Scheduler, clock: HostClock | None = None) -> None:
        self.name = name
        self.machine = Machine(name)
        self.clock = clock or HostClock(scheduler)
        self._scheduler = scheduler

    @property
    def process(self) -> tuple[str, int]:
        """This host's present process; what another one left behind is none of its business."""
        return self.name, self.machine.generation

    def freeze(self, seconds: float, *, stops_monotonic: bool) -> None:
        """Nothing of this host runs for so long; one that is frozen already stays as it is."""
        if self.machine.thaws_at_s > self._scheduler.now_s:
            return
        self.machine.thaws_at_s = self._scheduler.now_s + seconds
        self.clock.disturbed_s = max(self.clock.disturbed_s, self.machine.thaws_at_s)
        if stops_monotonic:
            self.clock.stop_monotonic(seconds)

    def kill(self) -> None:
        """Every actor of this host dies where it waits."""
        self.machine.generation += 1
