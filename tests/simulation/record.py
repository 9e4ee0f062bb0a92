"""What is written down of a run: its trace, its counts, and how much of each promised time was used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.scheduler import Scheduler


@dataclass(slots=True, repr=False)
class Record:
    """The record of one world. `calls` are those of each host; `tightest` is what was used at worst."""

    scheduler: Scheduler
    trace: Callable[[str], None] | None
    counted: Counter[str] = field(default_factory=Counter)
    calls: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    tightest: dict[str, float] = field(default_factory=dict)

    def say(self, *parts: object) -> None:
        """Write a line of the trace."""
        if self.trace is not None:
            self.trace(f"{self.scheduler.now_s:10.3f}  {' '.join(map(str, parts))}")

    def late(self, promise: str, share: float) -> None:
        """Note that this share of the time of a promise was used."""
        self.tightest[promise] = max(share, self.tightest.get(promise, 0.0))

    def called(self, host: str, label: str) -> None:
        """Count a call of a host."""
        self.calls_of(host)[label] += 1

    def calls_of(self, host: str) -> Counter[str]:
        """Return the calls of a host, which the caller may clear."""
        return self.calls[host]
