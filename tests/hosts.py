"""Hosts for code under test: their clock stands still, their pauses pass at once, their chance is fixed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from keyturn.runtime.host import Host
from keyturn.testing import FakeClock


def host_of(
    clock: FakeClock | None = None, *, sleep: Callable[[float], None] | None = None, random: float = 0.5
) -> Host:
    """Make a host whose pauses move `clock`, unless `sleep` takes them."""
    clock, epochs = clock or FakeClock(), count(1)
    return Host(
        wall=clock.wall,
        sleep=sleep or clock.advance,
        random=lambda: random,
        new_epoch=lambda: f"epoch-{next(epochs)}",
    )
