"""How long callers wait: a bounded time whatever hangs, and what hangs rests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from keyturn.cache.limits import DEFAULTS
from keyturn.cache.status import CacheStatus, HeldStatus
from tests.simulation.checkers import bounds
from tests.simulation.checkers.broken import require
from tests.simulation.reader import Reader
from tests.simulation.scheduler import Scheduler
from tests.simulation.weather import PARAMETERS, SECRETS, TABLE, Requests, Weather

WARM_S = DEFAULTS.refresh_wait_s + 0.2
"""No caller waits longer while there is a copy that may be served."""

COLD_S = DEFAULTS.cold_wait_s + DEFAULTS.refresh_wait_s + 0.2
"""No caller waits longer at all."""

EDGE_S = 2.0
"""A copy whose bound ends within so many seconds may be over it when the caller comes to it."""

SERVICES = {SECRETS: "Secrets Manager", PARAMETERS: "Parameter Store", TABLE: "marker table"}

Copies = Iterable[HeldStatus]


@dataclass(slots=True)
class Waits:
    """Watches how long each call of each reader takes (true seconds)."""

    scheduler: Scheduler
    weather: Weather
    requests: Requests
    late: Callable[[str, float], None]

    def copies(self, reader: Reader, held: Callable[[CacheStatus], Copies], least: int) -> Collection[str]:
        """Return the ARNs of the copies that `held` picks of what the reader holds, if they may be served.

        Empty if there are fewer than `least` of them, and while nothing hangs: then nobody need know.
        """
        if not self.weather.hangs_since(self.scheduler.now_s):
            return ()
        found = [one.arn for one in held(reader.cache.status()) if _may_be_served(one, reader)]
        return found if len(found) >= least else ()

    def ended(self, reader: Reader, begun_s: float, what: str, *, is_warm: bool) -> None:
        """Judge a call that was begun then and ends now."""
        # A process that stood still, or whose clock was set, has waited for something else.
        if begun_s <= max(reader.host.clock.disturbed_s, reader.born_s):
            return
        took_s, most_s = self.scheduler.now_s - begun_s, WARM_S if is_warm else COLD_S
        kind = "with a copy" if is_warm else "without a copy"
        self.late(f"the longest wait {kind}", took_s / most_s)
        require(took_s <= most_s, "waiting", f"{reader.host.name}: {what} took {took_s:.2f} s {kind}")
        if self.weather.hangs_since(begun_s):
            self._rests(reader)

    def _rests(self, reader: Reader) -> None:
        """What has hung for as long as anybody waits is known not to answer."""
        for service, name in SERVICES.items():
            since_s = self.requests.hang_since(reader.host, service)
            if (
                max(since_s, reader.host.clock.disturbed_s, reader.born_s) + COLD_S + EDGE_S
                > self.scheduler.now_s
            ):
                continue
            resting = {rest.service for rest in reader.cache.status().resting}
            hung_s = self.scheduler.now_s - since_s
            require(
                name in resting, "waiting", f"{reader.host.name}: {name} hangs for {hung_s:.0f} s, unnoticed"
            )


def _may_be_served(one: HeldStatus, reader: Reader) -> bool:
    """Return True if this copy may be served for some time yet, whatever a check says of it meanwhile."""
    bound_s = min(one.bound_s, 0.8 * reader.limits["uncovered_ttl_s"])
    return one.last_error is None and one.age_s + bounds.SETTLE_S + EDGE_S <= bound_s
