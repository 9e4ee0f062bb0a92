"""The copies that this process holds: which may be served, and what becomes of them after a read.

No I/O. A method that changes what is held takes the reentrant lock itself. `land`, and the methods under
"Judging", are called under it. No caller's code runs under the lock, a handler of the log included.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from keyturn.cache.failures import RecentFailures
from keyturn.cache.freshness import brought, fresh_for_s, servable_for_s
from keyturn.cache.held import HeldSecret, HeldStage
from keyturn.cache.holdings import HitKey, Holdings, as_asked, hit_key
from keyturn.cache.limits import Limits
from keyturn.cache.refresh import GONE, Asked, after_answer, as_landed, backoff_s, failed
from keyturn.cache.service import Services
from keyturn.cache.table_view import held_bound_s
from keyturn.cache.tables import Tables
from keyturn.errors import SecretError, SecretNotFoundError, StageNotFoundError, UnavailableError
from keyturn.metrics.hook import Metric, Metrics
from keyturn.model.instant import Clock, Instant
from keyturn.model.markers import Marker
from keyturn.model.versions import SecretVersion
from keyturn.runtime.locks import new_lock
from keyturn.runtime.logs import about, log
from keyturn.runtime.threads import is_held_here


class Look(NamedTuple):
    """What one look at the copies says to a caller.

    `version` may be served as it is. Else `spare` may be served while it is refreshed, and neither is there
    for a cold read. `key` is that of the read that would bring a new copy; `is_tended` says that a
    background thread, where there is one, refreshes the copy by itself.
    """

    key: HitKey
    version: SecretVersion | None = None
    spare: SecretVersion | None = None
    is_tended: bool = False


class Basis(NamedTuple):
    """What a refresh begins from: the copy, its marker, the id to ask by, and the moment."""

    secret: HeldSecret
    held: HeldStage
    marker: Marker | None
    ask_by: str
    asked: Asked


class Copies:
    """The copies of one kind (secrets, or parameters), and the failures of cold reads.

    `tables`: what is known of the marker tables, which the `Checker` keeps up to date. `services`: whether
    they answer. `metrics` is told also under the lock, so it must only take note.
    """

    def __init__(
        self,
        tables: Tables,
        *,
        limits: Limits,
        clock: Clock,
        random: Callable[[], float],
        key_of: Callable[[str, str], str],
        services: Services,
        metrics: Metrics,
        unavailable: type[UnavailableError] = UnavailableError,
    ) -> None:
        self.tables = tables
        self.unavailable = unavailable
        self.limits = limits
        self._clock = clock
        self._random = random
        self.services = services
        self._metrics = metrics
        self.holdings = Holdings(limits.max_secrets, key_of)
        self.failures = RecentFailures(limits.max_secrets, limits.min_refresh_interval_s)
        self.life = 0
        """Moves when everything is forgotten: what a read of an earlier life brings is void."""
        self.invalidations = 0  # of ids that were not held: a first read that is under way may be of them
        self.after_fork()

    def after_fork(self) -> None:
        """Make the lock anew and close the window: the parent's threads are gone."""
        self.lock = new_lock()
        self._owned = threading.Condition(self.lock)
        self.holdings.open(0.0, 0.0)

    def is_locked_here(self) -> bool:
        """Return True in a signal handler in the middle of a call: it must wait for no other thread."""
        return is_held_here(self._owned)

    def forget(self) -> None:
        """Drop every value, as before the first `get`."""
        with self.lock:
            self.life += 1
            # The clones of a snapshot must not turn to Secrets Manager in one moment.
            self.limits = self.limits.spread_by(self._random)
            self.holdings.clear()
            self.failures.clear()

    def look(self, secret_id: str, stage: str) -> Look:
        """Return what may be served. Raises what the last cold read raised, if that was a moment ago."""
        with self.lock:
            now = self.now()
            found = self.holdings.find(secret_id, stage)
            if found is None:
                error = self.recent_failure(secret_id, stage)
                if error is not None:
                    raise error.about(secret_id) from error.__cause__
                return Look(hit_key(secret_id, stage))
            secret, held = found
            is_in_use = secret.is_in_use(now, self.limits.max_unused_s)
            secret.use(secret_id, now)
            key = hit_key(secret.arn, stage)
            if not self.is_due(secret, held, now):
                self._must_be_fit(secret_id, secret, held, now)
                return Look(key, version=self._serve(secret_id, secret, held, now))
            spare = as_asked(held.version, secret_id) if self._is_servable(secret, held, now) else None
            return Look(key, spare=spare, is_tended=is_in_use and held.generation == secret.generation)

    def key_of(self, secret_id: str, stage: str) -> HitKey:
        """Return the key of the read that brings this stage, under whichever id it is asked for."""
        with self.lock:
            secret = self.holdings.secret(secret_id)
            is_held = secret is not None and stage in secret.stages
            return hit_key(secret.arn if secret is not None and is_held else secret_id, stage)

    def spare_hit(self, secret_id: str, stage: str) -> None:
        """Let the hit path serve a copy that the background refreshes, unless it ends within the window."""
        with self.lock:
            found, window, now = self.holdings.find(secret_id, stage), self.holdings.window, self.now()
            if found is None:
                return
            at_end = Instant(window.closes_at, now.monotonic_s + max(0.0, window.closes_at - now.wall_s))
            if now.wall_s < window.closes_at and self._is_servable(*found, at_end):
                window.add(as_asked(found[1].version, secret_id), stage)

    def basis(self, secret_id: str, stage: str, expected: HeldStage | None = None) -> Basis | None:
        """Return what a refresh begins from, or None if nothing is held, or not what is `expected`."""
        with self.lock:
            found = self.holdings.find(secret_id, stage)
            if found is None or (expected is not None and found[1] is not expected):
                return None
            secret, held = found
            asked = Asked(self.now(), secret.generation, self.limits)
            secret.use_name(secret_id)
            if held.generation != secret.generation:
                secret.forced[stage] = asked.begun
            is_followed = self.tables.follows(secret.key, asked.begun)
            marker = self.marker(secret) if is_followed else None
            return Basis(secret, held, marker, secret.asks_by(), asked)

    def generation(self, secret_id: str) -> int:
        """Return the secret's generation, which moves with each invalidation; 0 for an unknown secret."""
        secret = self.holdings.secret(secret_id)
        return secret.generation if secret is not None else 0

    def outdate(self, secret_id: str) -> bool:
        """Let no stage of this secret count as fresh. Return True if it is held."""
        with self.lock:
            secret = self.holdings.secret(secret_id)
            if secret is None:
                self.invalidations += 1
                return False
            secret.generation += 1
            self.holdings.drop_hits(secret)
            return True

    # Landing

    def land_first(self, secret_id: str, held: HeldStage) -> SecretVersion:
        """Keep the first answer about a stage under this id, and return what is served then."""
        with self.lock:
            secret = self.holdings.claim(held.version, secret_id)
            secret.asked_s = held.confirmed.monotonic_s
            return self.land(secret_id, secret, held, None)

    def land_refresh(self, secret_id: str, basis: Basis, held: HeldStage) -> SecretVersion:
        """Keep what a refresh brought, and return what is served then."""
        with self.lock:
            if held.version.arn == basis.secret.arn:
                return self.land(secret_id, basis.secret, held, basis.held)
            return self._hand_over(secret_id, basis, held)

    def land(
        self, secret_id: str, secret: HeldSecret, held: HeldStage, basis: HeldStage | None
    ) -> SecretVersion:
        """Keep what a read brought and return what is served then. To be called under the lock.

        `basis` is what the read was judged against. If another read landed meanwhile, this one is judged
        again, against that one: it must not take the label back.
        """
        now, stage, current = self.now(), held.stage, secret.stages.get(held.stage)
        if current is not None and current is not basis:
            asked = Asked(held.confirmed, held.generation, self.limits)
            held = after_answer(current, None, held.version, asked)
        held = as_landed(held, current, now, self.limits)
        if not self.holdings.has(secret):
            return as_asked(held.version, secret_id)
        self.holdings.put(secret, held)
        self.failures.drop(hit_key(secret_id, stage))
        if current is not None:
            self._measure_lag(secret, current, held, now)
        elif self.holdings.is_full:
            # Its next use must be seen, so that the secrets that nobody uses again make room.
            return as_asked(held.version, secret_id)
        return self._serve(secret_id, secret, held, now)

    def _hand_over(self, secret_id: str, basis: Basis, held: HeldStage) -> SecretVersion:
        """Store the answer under the new ARN: the secret was deleted and re-created under its name."""
        secret, landed, generation = basis.secret, held.version, basis.asked.generation
        self.holdings.forget(secret)
        known = self.holdings.secret(landed.arn)
        if known is not None and basis.held.generation != generation:  # neither is good enough
            known.generation += 1
            self.holdings.drop_hits(known)
        is_outdated = secret.generation != generation  # by an invalidation during the read
        # The caller's name as well, which another thread's answer may have taken from it already.
        for name in dict.fromkeys((*secret.names, secret_id)):
            if name == secret.arn:
                continue
            successor = self.holdings.claim(held.version, name, asked_s=secret.asked_s)
            held = held._replace(generation=successor.generation - is_outdated)
            landed = self.land(name, successor, held, None)
        if secret_id == secret.arn:
            raise SecretNotFoundError(secret_id, f"its name now belongs to {held.version.arn}")
        return as_asked(landed, secret_id)

    def remember_failure(self, secret_id: str, stage: str, error: SecretError) -> None:
        """Remember that a cold read failed, so that the next callers hear of it without a request."""
        with self.lock:
            self.failures.add(hit_key(secret_id, stage), error, self.now())

    def recent_failure(self, secret_id: str, stage: str) -> SecretError | None:
        """Return the error of a cold read that failed a moment ago, or None."""
        with self.lock:
            answered = self.services.of(secret_id).answered
            return self.failures.find(hit_key(secret_id, stage), self.now(), answered)

    def serve_despite(
        self, secret_id: str, secret: HeldSecret, held: HeldStage, error: SecretError
    ) -> SecretVersion:
        """Return the known version although its refresh failed, while that is allowed; else raise."""
        if isinstance(error, GONE):
            with self.lock:
                if isinstance(error, StageNotFoundError):
                    self.holdings.drop(secret, held)
                else:
                    self.holdings.forget(secret)
            raise error.about(secret_id) from error
        with self.lock:
            now = self.now()
            pause_s = backoff_s(
                held.trouble.failures if held.trouble else 0,
                first_s=self.limits.min_refresh_interval_s,
                longest_s=self.limits.max_backoff_s,
                random=self._random,
            )
            troubled = failed(held, error, now, pause_s)
            if secret.stages.get(held.stage) is held:
                self.holdings.put(secret, troubled)
        if servable_for_s(troubled, now, self.limits) <= 0:
            raise error.about(secret_id) from error
        self._metrics.record(Metric.STALE_SERVED, 1, secret=secret.name, error=type(error).__name__)
        extra = about("stale_served", secret=secret.name, error=error)
        log.warning("a known version is served, since %s", error, extra=extra)
        return as_asked(troubled.version, secret_id)

    # Judging, under the lock

    def is_due(self, secret: HeldSecret, held: HeldStage, now: Instant) -> bool:
        """Return True if this copy is to be refreshed now."""
        forced = secret.forced.get(held.stage)
        is_asked_for = held.generation != secret.generation and (
            forced is None or forced.age_s(now) >= self.limits.min_refresh_interval_s
        )
        if held.pauses(now):
            # The pause after a failed read is for everybody. Any other one ends for a caller whose copy was
            # refused and, unless an answer is doubted, once the copy is too old to be served.
            is_too_old = held.doubt is None and not self._is_servable(secret, held, now)
            return held.trouble is None and (is_asked_for or is_too_old)
        return is_asked_for or self.fresh_for_s(secret, held, now, even_if_invalidated=True) <= 0

    def fresh_for_s(
        self, secret: HeldSecret, held: HeldStage, now: Instant, *, even_if_invalidated: bool = False
    ) -> float:
        """Return how many seconds the copy is fresh: 0 if invalidated, unless `even_if_invalidated`."""
        view = self.tables.view(secret.key)
        return fresh_for_s(
            held,
            marker=view.marker(secret.key),
            assurance=view.assurance_of(secret.key),
            generation=held.generation if even_if_invalidated else secret.generation,
            now=now,
            limits=self.limits,
            is_followed=self.tables.follows(secret.key, now),
        )

    def marker(self, secret: HeldSecret) -> Marker | None:
        """Return the marker of this secret as of the last check, or None."""
        return self.tables.view(secret.key).marker(secret.key)

    def now(self) -> Instant:
        """Return this moment by both clocks."""
        return Instant.now(self._clock)

    def _is_servable(self, secret: HeldSecret, held: HeldStage, now: Instant) -> bool:
        """Return True if callers may get this copy while it is refreshed.

        A copy older than its bound is never served: callers wait.
        """
        view = self.tables.view(secret.key)
        is_resting = self.services.rests(secret.asks_by())
        limit_s = held_bound_s(secret.key, held, view, now, self.limits, is_resting=is_resting)
        # The read that confirmed it may itself have shown the past.
        age_s = held.confirmed.age_s(now) + self.limits.answer_lag_s
        return age_s <= limit_s and servable_for_s(held, now, self.limits) > 0

    def _serve(self, secret_id: str, secret: HeldSecret, held: HeldStage, now: Instant) -> SecretVersion:
        """Return a version, and let the hit path serve it if it stays fresh until the window ends."""
        # The window first: what a check finds after this moment is not asked for here, and opens the next.
        version, window = as_asked(held.version, secret_id), self.holdings.window
        fresh_s = self.fresh_for_s(secret, held, now)
        if fresh_s > 0 and now.wall_s + fresh_s >= window.closes_at:
            window.add(version, held.stage)
        return version

    def _must_be_fit(self, secret_id: str, secret: HeldSecret, held: HeldStage, now: Instant) -> None:
        """Raise why the last refresh failed if that was too long ago to go on serving.

        An invalidation makes a copy be read again; the copy stays fit to be served until it is.
        """
        fresh_s = self.fresh_for_s(secret, held, now, even_if_invalidated=True)
        if max(fresh_s, servable_for_s(held, now, self.limits)) > 0:
            return
        trouble = held.trouble
        if trouble is None:
            raise self.unavailable(secret_id, "its copy is too old")
        raise trouble.about(secret_id)

    def _measure_lag(self, secret: HeldSecret, before: HeldStage, after: HeldStage, now: Instant) -> None:
        """Record how late a new AWSCURRENT version came into use, if a marker brought it."""
        marker = self.marker(secret)
        if marker is None or not brought(marker, before, after):
            return
        late_s = self.tables.late_s(marker, now)
        if late_s is not None:
            self._metrics.record(Metric.LAG_S, late_s, secret=secret.name)
