"""The key ring of one secret: which versions may have signed a message, and when that is looked up anew.

Secrets Manager tells nobody that a version came to be, so a message that no known version fits is a reason to
look again. Anybody can send such messages, so there is one look in an interval for all of them together. A
message is refused only after a look that was begun when the message was there: else whoever uses up the looks
could have a message refused that was made with a new version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from keyturn.cache.flights import Flight, SingleFlight
from keyturn.cache.holdings import hit_key
from keyturn.cache.limits import Limits
from keyturn.cache.secrets import Secrets
from keyturn.errors import SecretError
from keyturn.metrics.hook import Measures
from keyturn.model.bounded import make_room
from keyturn.model.instant import Clock, Instant
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion

LOOKS_AWAITED_MAX = 2
"""A look that is under way may have been begun before the message was there; the next one was not."""

READS_MAX = 3
"""How often one look asks for AWSCURRENT, where a login has just done so and no other read is due."""


class LastLook(NamedTuple):
    """What the last look at the labels of a secret has seen.

    `looked`: when it was begun. `mark`: which state of the marker was known. `moved`: since when AWSCURRENT
    is on `current`, as far as this process can tell. `is_whole`: False if AWSCURRENT has moved since.
    """

    current: SecretVersion
    pending: SecretVersion | None
    previous: SecretVersion | None
    moved: Instant
    looked: Instant
    mark: tuple[str, int] | None
    is_whole: bool = True

    def moved_to(self, current: SecretVersion, now: Instant) -> LastLook:
        """Return what is known once AWSCURRENT is on another version: the one that it left is AWSPREVIOUS."""
        is_promoted = self.pending is not None and self.pending.identity == current.identity
        pending = None if is_promoted else self.pending
        return self._replace(
            current=current, pending=pending, previous=self.current, moved=now, is_whole=False
        )


class Ring:
    """The key ring of one secret in a process. Threads may share it: what is seen is replaced as a whole."""

    def __init__(self, arn: str, secrets: Secrets, limits: Limits, now: Callable[[], Instant]) -> None:
        self.arn = arn
        self._secrets = secrets
        self._limits = limits
        self._now = now
        self._seen: LastLook | None = None

    def versions(self, current: SecretVersion, previous_for_s: float | None) -> tuple[SecretVersion, ...]:
        """Return AWSCURRENT, AWSPENDING and AWSPREVIOUS as far as they are known, each version once."""
        found = dict[tuple[str, str], SecretVersion]()
        for version in self._labelled(current, previous_for_s):
            found.setdefault(version.identity, version)
        return tuple(found.values())

    def is_due(self, current: SecretVersion) -> bool:
        """Return True if what was seen is too old to be used without another look."""
        seen = self._followed(current)
        if seen is None or not seen.is_whole:
            return True
        age_s = seen.looked.age_s(self._now())
        lasts_s = self._limits.uncovered_ttl_s
        if seen.pending is not None:
            lasts_s = min(lasts_s, self._limits.check_interval_s)
        return age_s >= lasts_s or self._mark(current.arn) != seen.mark

    def is_at_hand(self) -> bool:
        """Return True if callers may use what was seen while a look is under way, as they may use a copy.

        A slow Secrets Manager then holds up no message of a known version. What is twice as old as it should
        be counts no more, unless the service does not answer in time.
        """
        seen, limits = self._seen, self._limits
        if seen is None:
            return False
        lasts_s = 2 * limits.uncovered_ttl_s if self.is_answering() else limits.max_stale_s
        return seen.looked.age_s(self._now()) < lasts_s

    def is_answering(self) -> bool:
        """Return True if the service answers in time, as far as this process knows."""
        return self._secrets.cache.service_of(self.arn).rest is None

    def has_looked_since(self, then: Instant) -> bool:
        """Return True if the last look was begun at that moment or later."""
        seen = self._seen
        return seen is not None and seen.looked.monotonic_s >= then.monotonic_s

    def pause_s(self) -> float:
        """Return how many seconds the next look has to wait."""
        if self._seen is None:
            return 0.0
        return max(0.0, self._limits.min_refresh_interval_s - self._seen.looked.age_s(self._now()))

    def look(self, secret_id: str, sleep: Callable[[float], None]) -> None:
        """Look once, in the calling thread: check the table, and read each label that can have moved.

        While the service does not answer, the copies count that the cache may serve. Raises the `SecretError`
        of reading AWSCURRENT.
        """
        begun = self._now()
        current = self._reread(secret_id, begun, sleep)
        seen = self._followed(current)
        pending = self._read(secret_id, AWSPENDING)
        is_same = seen is not None and seen.is_whole
        if seen is not None and is_same and begun.monotonic_s - seen.looked.monotonic_s < self._aged_s(seen):
            previous = seen.previous
        else:
            previous = self._read(secret_id, AWSPREVIOUS)
        mark = self._mark(current.arn)
        if seen is None:
            moved = _made(current, begun)
        else:
            moved = seen.moved if seen.current.identity == current.identity else begun
        self._seen = LastLook(current, pending, previous, moved, begun, mark)

    def _aged_s(self, seen: LastLook) -> float:
        """Return how old what is known of AWSPREVIOUS may be: it moves only with AWSCURRENT, or by hand."""
        has_news = self._mark(seen.current.arn) != seen.mark
        return 0.0 if has_news else self._limits.uncovered_ttl_s

    def _mark(self, arn: str) -> tuple[str, int] | None:
        """Return which state of the secret's marker is known: it changes with the marker. No I/O."""
        copies = self._secrets.cache.copies
        with copies.lock:
            secret = copies.holdings.secret(arn)
            marker = copies.marker(secret) if secret is not None else None
        return (marker.epoch, marker.sequence) if marker is not None else None

    def _reread(self, secret_id: str, begun: Instant, sleep: Callable[[float], None]) -> SecretVersion:
        """Return AWSCURRENT by a read that was begun since, if the service answers."""
        copies, service = self._secrets.cache.copies, self._secrets.cache.service_of(secret_id)
        with copies.lock:
            # What was not there a moment ago may be there now.
            copies.failures.drop(*(hit_key(secret_id, stage) for stage in (AWSPENDING, AWSPREVIOUS)))
        current = self._secrets.recheck(secret_id)
        for _ in range(READS_MAX - 1):
            found = copies.holdings.find(secret_id, AWSCURRENT)
            if found is None or found[1].trouble is not None or service.rest is not None:
                break
            if found[1].confirmed.monotonic_s >= begun.monotonic_s:
                break
            # A forced read for somebody else was begun less than an interval ago, and before this look.
            sleep(self._limits.min_refresh_interval_s)
            current = self._secrets.recheck(secret_id)
        return current

    def _read(self, secret_id: str, stage: str) -> SecretVersion | None:
        """Return the version under this label; None if there is none, or none that the cache may serve."""
        with suppress(SecretError):
            return self._secrets.join(secret_id, stage)
        return None

    def _followed(self, current: SecretVersion) -> LastLook | None:
        """Return what is known, after it was told which version is current."""
        seen = self._seen
        if seen is None or seen.current.identity == current.identity:
            return seen
        if seen.previous is not None and seen.previous.identity == current.identity:
            # The label went back, or this caller's copy is the older one: a look will tell.
            self._seen = seen = seen._replace(is_whole=False)
        else:
            self._seen = seen = seen.moved_to(current, self._now())
        return seen

    def _labelled(self, current: SecretVersion, previous_for_s: float | None) -> Iterator[SecretVersion]:
        seen = self._followed(current)
        yield current
        doubted = self._secrets.evidence(current.arn).doubted
        if doubted is not None:
            # Secrets Manager said once that AWSCURRENT is back on this version.
            yield doubted
        if seen is None:
            return
        if seen.pending is not None:
            yield seen.pending
        if previous_for_s is None or seen.moved.age_s(self._now()) < previous_for_s:
            yield seen.current
            if seen.previous is not None:
                yield seen.previous


def _made(current: SecretVersion, now: Instant) -> Instant:
    """Return when the version was made (CreatedDate): then it was not AWSCURRENT before."""
    ago_s = max(0.0, now.wall_s - current.created_s) if current.created_s is not None else 0.0
    return Instant(now.wall_s - ago_s, now.monotonic_s - ago_s)


class Rings:
    """The key rings of one cache: one for each secret, whatever id it is asked by.

    Args:
        sleep: waits so many seconds, in a thread of its own.
    """

    def __init__(
        self,
        secrets: Secrets,
        *,
        limits: Limits,
        clock: Clock,
        sleep: Callable[[float], None],
        measures: Measures,
    ) -> None:
        self._secrets = secrets
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._measures = measures
        self._rings: dict[str, Ring] = {}
        self._looks: SingleFlight[str, None] = SingleFlight("keyturn-look")
        self._wait_s = LOOKS_AWAITED_MAX * (limits.cold_wait_s + limits.min_refresh_interval_s)

    def after_fork(self) -> None:
        """Forget the looks that are under way: their threads are the parent's."""
        self._looks.after_fork()

    def forget(self) -> None:
        """Drop every version known."""
        self._rings = {}

    def now(self) -> Instant:
        """Return this moment."""
        return Instant.now(self._clock)

    def of(self, version: SecretVersion) -> Ring:
        """Return the ring of this version's secret. The oldest ring makes room."""
        rings = self._rings
        ring = rings.get(version.arn)
        if ring is None:
            # Not a method of this object, which would keep a cache alive that nobody holds any more.
            now = partial(Instant.now, self._clock)
            ring = rings.setdefault(version.arn, Ring(version.arn, self._secrets, self._limits, now))
            make_room(rings, self._limits.max_secrets)
        return ring

    def begin_look(self, ring: Ring, secret_id: str, *, is_needed: bool) -> tuple[Flight[None], float]:
        """Return the look that is under way, or begin one, and for how many seconds the caller waits for it.

        The look waits for its time: there is one for each secret. A caller for whom it `is_needed` waits for
        its end. Any other goes on with what is known: after a moment, or at once if others have begun it.
        """

        def look() -> None:
            pause_s = ring.pause_s()
            if pause_s > 0:
                self._sleep(pause_s)
            try:
                ring.look(secret_id, self._sleep)
            finally:
                self._measures.deliver()

        flight, is_mine = self._looks.join_or_begin(ring.arn, look, self._clock.monotonic())
        if is_needed:
            return flight, self._wait_s
        return flight, self._limits.refresh_wait_s if is_mine and ring.is_answering() else 0.0
