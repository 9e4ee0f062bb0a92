"""How long callers wait: a bounded time whatever hangs, and few of them for what hangs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from keyturn.cache.limits import DEFAULTS
from keyturn.cache.status import CacheStatus, HeldStatus
from tests.simulation.checkers import bounds
from tests.simulation.checkers.broken import BrokenPromiseError, require
from tests.simulation.reader import Reader
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import TABLE, Requests, Weather

WARM_S = DEFAULTS.refresh_wait_s + 0.2
"""No caller waits longer while there is a copy that may be served."""

LEFT_S = 0.1
"""No caller with a copy waits longer while a background thread is at work: it has nothing to wait for."""

COLD_S = DEFAULTS.cold_wait_s + DEFAULTS.refresh_wait_s + 0.2
"""No caller waits longer at all."""

CLOSE_S = 5.0 + DEFAULTS.refresh_wait_s + 0.2
"""`close` waits no longer: for the background thread, and to leave the convergence table."""

EDGE_S = 2.0
"""A copy whose bound ends within so many seconds may be over it when the caller comes to it."""

IN_VAIN_MAX = 3
"""So many callers with a copy may wait for a service until it counts as one that does not answer.

Two threads at the same time, and a caller whose patience was spent on something else."""

Copies = Iterable[HeldStatus]


@dataclass(slots=True)
class Waits:
    """Watches how long each call of each reader takes (true seconds)."""

    scheduler: Scheduler
    weather: Weather
    requests: Requests
    late: Callable[[str, float], None]
    in_vain: dict[tuple[str, int, str], list[float]] = field(default_factory=dict)

    def copies(self, reader: Reader, held: Callable[[CacheStatus], Copies], least: int) -> Collection[str]:
        """Return the ARNs of the copies that `held` picks of what the reader holds, if they may be served.

        Empty if there are fewer than `least` of them, and while nothing hangs: then nobody need know.
        """
        if not self.weather.hangs_since(self.scheduler.now_s):
            return ()
        found = [one.arn for one in held(reader.cache.status()) if _may_be_served(one, reader)]
        return found if len(found) >= least else ()

    def ended(
        self,
        reader: Reader,
        service: str,
        begun_s: float,
        what: str,
        *,
        is_warm: bool,
        is_left: bool = False,
    ) -> None:
        """Judge a call that was begun then, reads this service, and ends now.

        `is_left`: a background thread is at work, so that a caller with a copy does not wait at all.
        """
        # A process that stood still, or whose clock was set, has waited for something else.
        if begun_s <= max(reader.host.clock.disturbed_s, reader.born_s):
            return
        took_s, most_s = self.scheduler.now_s - begun_s, WARM_S if is_warm else COLD_S
        most_s = LEFT_S if is_warm and is_left else most_s
        kind = "with a copy" if is_warm else "without a copy"
        self.late(f"the longest wait {kind}", took_s / most_s)
        if took_s > most_s:
            raise BrokenPromiseError("waiting", f"{reader.host.name}: {what} took {took_s:.2f} s {kind}")
        if is_warm and took_s > DEFAULTS.refresh_wait_s - 0.1:
            self._rests(reader, service, begun_s)

    def closed(self, reader: Reader, begun_s: float) -> None:
        """Judge a `close` that was begun then, and ends now."""
        took_s = self.scheduler.now_s - begun_s
        if begun_s <= max(reader.host.clock.disturbed_s, reader.born_s):
            return
        self.late("the longest wait to close", took_s / CLOSE_S)
        require(took_s <= CLOSE_S, "closing", f"{reader.host.name}: to close took {took_s:.2f} s")

    def _rests(self, reader: Reader, service: str, begun_s: float) -> None:
        """Callers with a copy do not wait one after another for a service that does not answer."""
        if TABLE in self.weather.hangs or self.weather.calm_since(TABLE) >= begun_s:
            # Then this caller may have waited for the table.
            return
        key = (*reader.host.process, service)
        since_s = max(self.requests.ended_s(reader.host, service), reader.host.clock.disturbed_s)
        in_vain = [at_s for at_s in self.in_vain.get(key, ()) if at_s > since_s]
        self.in_vain[key] = [*in_vain, begun_s]
        what = f"{len(in_vain) + 1} callers with a copy waited for the same silence of {service}"
        require(len(in_vain) < IN_VAIN_MAX, "waiting", f"{reader.host.name}: {what}")


def _may_be_served(one: HeldStatus, reader: Reader) -> bool:
    """Return True if this copy may be served for some time yet, whatever a check says of it meanwhile."""
    bound_s = min(one.bound_s, 0.8 * reader.limits["uncovered_ttl_s"])
    return one.last_error is None and one.age_s + bounds.SETTLE_S + EDGE_S <= bound_s
