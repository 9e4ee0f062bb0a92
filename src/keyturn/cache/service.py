"""Whether a remote service answers in time, so that its callers do not all wait for one that hangs.

A time-out for each socket does not bound a call: there are several addresses, retries, TLS and a name
server. So a read goes on in a thread of its own, and a caller with a copy takes the copy after a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from keyturn.cache.flights import ABANDONED_S
from keyturn.cache.limits import Limits
from keyturn.model.instant import Clock, Instant
from keyturn.model.names import Place

PROBE_PAUSE_MAX_S: Final = 10.0
"""The longest pause between two probes of a service that does not answer."""

LOST_S: Final = 600.0
"""A request that hangs for longer counts no more: it may never end, and the service may be back."""

HANGING_MAX: Final = 8
"""So many requests of a service that does not answer hang at most for the sake of callers without a copy."""

PROBES_MAX: Final = 16
"""So many hang at most with the probes for copies that are held: one a minute, and the first ones sooner."""


class Rest(NamedTuple):
    """A service that does not answer in time: since when, after how many slow failures, and until when.

    `pause_s` is the pause after `failed`, the end of the last read; None while none has ended.
    """

    since: Instant
    failures: int = 0
    failed: Instant | None = None
    pause_s: float = 0.0

    def pauses(self, now: Instant) -> bool:
        """Return True while no probe is due."""
        return self.failed is not None and self.failed.age_s(now) < self.pause_s


class Service:
    """What this process knows of one service: how many requests are under way, and whether it answers.

    `name` is what `status()` calls it; `limits` say how long callers wait for an answer. After a wait in
    vain, or a failure that took longer than a caller with a copy waits, the service rests: nobody with a
    copy waits for it, and probes ask whether it answers again. A probe that hangs is left to itself after
    `patience_s`, and the next one is made. Threads may share it: each change is one assignment.
    """

    def __init__(self, name: str, *, limits: Limits, clock: Clock, random: Callable[[], float]) -> None:
        self.name = name
        self._wait_s = limits.refresh_wait_s
        self._telling_s = min(limits.refresh_wait_s, limits.cold_wait_s) / 2
        self._clock = clock
        self._random = random
        self.after_fork()

    def after_fork(self) -> None:
        """Forget what was under way: those threads are the parent's."""
        self.rest: Rest | None = None
        self.answered: Instant | None = None
        self._under_way: dict[object, Instant] = {}

    def may_probe(self, now: Instant) -> bool:
        """Return True if a request for the sake of a held copy may be made now."""
        rest = self.rest
        if rest is None:
            return True
        ages_s = self._ages_s(now)
        is_asking = bool(ages_s) and min(ages_s) < self.patience_s(now)
        return not (rest.pauses(now) or is_asking or len(ages_s) >= PROBES_MAX)

    def patience_s(self, now: Instant) -> float:
        """Return after how many seconds a request counts as one that hangs, so that another may be made.

        While the service rests: after twice the wait of a caller, and twice as long for each that hangs.
        """
        if self.rest is None:
            return ABANDONED_S
        return min(ABANDONED_S, self._wait_s * 2.0 ** len(self._ages_s(now)))

    @property
    def is_full(self) -> bool:
        """True if so many requests hang already that no other is made for a caller without a copy."""
        return self.rest is not None and len(self._ages_s(self._now())) >= HANGING_MAX

    def _ages_s(self, now: Instant) -> list[float]:
        """Return how long each request has been under way; those that may never end are not counted."""
        ages_s = (begun.age_s(now) for begun in tuple(self._under_way.values()))
        return [age_s for age_s in ages_s if age_s < LOST_S]

    def waited_in_vain(self, patience_s: float) -> None:
        """Note that a caller waited so long: until an answer comes in time, nobody with a copy waits.

        A caller that had only a moment left, before its own end say, has learned nothing of the service.
        """
        if self.rest is None and patience_s >= self._telling_s:
            self.rest = Rest(self._now())

    def begin(self) -> object:
        """Note that a request begins. Return the token that `end` takes."""
        token = object()
        self._under_way[token] = self._now()
        return token

    def end(self, token: object, *, answered: bool) -> None:
        """Note that the request ended, with an answer of whatever kind or without one."""
        now, rest = self._now(), self.rest
        begun = self._under_way.pop(token, now)
        if not answered and self._has_answered_since(begun):
            # A request that hung, and was made before the service came back: its end is no news.
            return
        took_s = now.monotonic_s - begun.monotonic_s
        if answered:
            self.answered = now
            if took_s <= self._wait_s:
                self.rest = None
            elif rest is not None:
                self.rest = rest._replace(failures=0, failed=None, pause_s=0.0)
        elif took_s > self._wait_s or rest is not None:
            rest = rest or Rest(begun)
            pause_s = min(PROBE_PAUSE_MAX_S, self._wait_s * 2.0 ** min(rest.failures, 16))
            self.rest = rest._replace(
                failures=rest.failures + 1, failed=now, pause_s=pause_s * (0.5 + self._random() / 2)
            )

    def _has_answered_since(self, begun: Instant) -> bool:
        """Return True if the service does not rest, and has answered a request since that moment."""
        answered = self.answered
        return self.rest is None and answered is not None and answered.monotonic_s > begun.monotonic_s

    def _now(self) -> Instant:
        return Instant.now(self._clock)


class Services:
    """One service as it is in several accounts and Regions: in each of these it answers, or rests, by itself.

    `main` is that of all that is in none of the places of `apart`. Threads may share it: it never changes.
    """

    def __init__(self, main: Service, apart: Mapping[Place, Service] = MappingProxyType({})) -> None:
        self.main = main
        self._apart = apart

    def __iter__(self) -> Iterator[Service]:
        yield self.main
        yield from self._apart.values()

    def of(self, asked_by: str) -> Service:
        """Return the service that is asked for what has this id: a name, or an ARN."""
        place = Place.of(asked_by) if self._apart else None
        return self._apart.get(place, self.main) if place is not None else self.main

    def rests(self, asked_by: str) -> bool:
        """Return True if the service that is asked for this id does not answer in time."""
        return self.of(asked_by).rest is not None

    def after_fork(self) -> None:
        """Forget what was under way: those threads are the parent's."""
        for service in self:
            service.after_fork()
