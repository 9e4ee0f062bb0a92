"""The cache itself: when what is held is checked, refreshed and served, and by which thread.

`_lock` guards the shelf and is never held during I/O. One thread checks the table at a time, one
refreshes a given stage of a given secret; the others get the version they have, and wait only where
there is none. The hit path reads `shelf.window` without a lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from keyturn.errors import SecretError, SecretNotFoundError, StageNotFoundError, UnavailableError
from keyturn.freshness import Evidence, Holding, Limits, disputed, fresh_for_s, servable_for_s
from keyturn.names import checked_secret_id, is_secret_arn, secret_key
from keyturn.protocols import Clock, MarkerReader, SecretSource
from keyturn.refresh import GONE, Reading, backoff_s, failed, refreshed
from keyturn.shelf import HitKey, Secret, Shelf, as_asked, hit_key
from keyturn.values import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Instant, Marker, SecretVersion
from keyturn.watch import TableView, TableWatch, held_bound_s

if TYPE_CHECKING:
    from keyturn.status import CacheStatus

log = logging.getLogger("keyturn")

STEPS_AFTER_SET = ("setSecret", "testSecret")
"""Announced steps after which the server takes the pending version, and AWSCURRENT is still the old one."""


class _ForgottenError(Exception):
    """All was forgotten while a read was under way: what it brought may be as old as a snapshot."""


class _Refusal(NamedTuple):
    """A cold read that failed; for a moment the next callers hear of it without a call."""

    error: type[SecretError]
    detail: str
    advice: str
    at: Instant


class Cache:
    """The versioned cache behind `keyturn.SecretCache`; all I/O is behind the three protocols.

    `window_s`: for how long a check lets the hit path serve. The inline cache checks when it ends;
    with a poller it is longer than the poller's interval.
    """

    def __init__(
        self,
        source: SecretSource,
        markers: MarkerReader | None,
        *,
        limits: Limits,
        clock: Clock,
        random: Callable[[], float],
        window_s: float,
    ) -> None:
        self._source = source
        self._limits = limits
        self._clock = clock
        self._random = random
        self._window_s = window_s
        self._table = TableWatch(markers, limits, random) if markers is not None else None
        self.shelf = Shelf(limits.max_secrets)
        self._refusals: dict[HitKey, _Refusal] = {}
        self._life = 0
        self.reset_locks()

    def reset_locks(self) -> None:
        """Make the locks anew and close the window: for a forked child, whose parent's threads are gone."""
        self._lock = threading.Lock()
        self._checking = threading.Lock()
        self._flights: dict[HitKey, threading.Event] = {}
        self._opened: Instant | None = None
        self.shelf.open(0.0, 0.0)

    def forget(self) -> None:
        """Drop every value, marker and instant, as before the first `get`."""
        with self._lock:
            self._life += 1
            # The clones of a snapshot must not turn to Secrets Manager in one moment.
            self._limits = self._limits.spread_by(self._random)
            self.shelf.clear()
            self._refusals.clear()
            if self._table is not None:
                self._table.forget()
            self._opened = None
            self.shelf.open(0.0, 0.0)

    # Getting

    def get(self, secret_id: str, stage: str) -> SecretVersion:
        """All that is not a hit: check the table if that is due, then serve, refresh or load."""
        secret_id = checked_secret_id(secret_id)
        self.check_if_due()
        while True:
            with self._lock:
                now = self._now()
                held = self.shelf.find(secret_id, stage)
                if held is not None and not self._due(*held, now):
                    self._must_be_fit(secret_id, *held, now)
                    return self._serve(secret_id, *held, now)
                if held is None:
                    self._raise_refusal(secret_id, stage, now)
                key = hit_key(held[0].arn if held is not None else secret_id, stage)
                flight = self._flights.get(key)
                if flight is None:
                    self._flights[key] = threading.Event()
                    break
                if held is not None and self._is_servable(*held, now):
                    return as_asked(held[1].version, secret_id)
            flight.wait()
        try:
            with self._flying(key):
                return self._load(secret_id, stage) if held is None else self._refresh(secret_id, *held)
        except _ForgottenError:
            return self.get(secret_id, stage)

    def invalidate(self, secret_id: str) -> bool:
        """Make the next `get` of every stage ask Secrets Manager; whether the secret was held.

        The version stays known: it is served when Secrets Manager cannot be reached. Secrets
        Manager is asked for this reason at most once per `min_refresh_interval_s` and stage.
        """
        with self._lock:
            self._refusals.clear()
        return self._outdate(secret_id)

    def _outdate(self, secret_id: str) -> bool:
        """Let no stage of this secret count as fresh; whether it is held."""
        with self._lock:
            secret = self.shelf.secret(secret_id)
            if secret is None:
                return False
            secret.generation += 1
            self.shelf.drop_hits(secret)
            return True

    def recheck(self, secret_id: str) -> SecretVersion:
        """AWSCURRENT after a forced check and a forced read, for a caller whose copy was refused.

        Both at most once per `min_refresh_interval_s`; one thread does them, the others go on with
        what is known.
        """
        now, interval_s = self._now(), self._limits.min_refresh_interval_s
        if (self._opened is None or self._opened.age_s(now) >= interval_s) and self._checking.acquire(
            blocking=False
        ):
            try:
                self._check()
            finally:
                self._checking.release()
        self._outdate(secret_id)
        return self.get(secret_id, AWSCURRENT)

    def evidence(self, secret_id: str) -> Evidence:
        """What is known of a rotation of this secret that may be under way; no I/O."""
        with self._lock:
            secret = self.shelf.secret(secret_id)
            current = secret.holdings.get(AWSCURRENT) if secret is not None else None
            if secret is None or current is None:
                return Evidence()
            marker, pending = self._marker(secret), secret.holdings.get(AWSPENDING)
            told = marker.stages.get(AWSPENDING) if marker is not None else None
            known = {told, pending.version.version_id if pending is not None else None}
            is_pending = bool(known - {None, current.version.version_id})
            previous = secret.holdings.get(AWSPREVIOUS)
            # AWSCURRENT moved between two reads: it was seen before, AWSPREVIOUS after.
            has_crossed = previous is not None and previous.version.identity == current.version.identity
            return Evidence(
                mark=(marker.epoch, marker.sequence) if marker is not None else None,
                moving=is_pending or has_crossed or disputed(marker, current),
                pending_is_set=is_pending and marker is not None and marker.step in STEPS_AFTER_SET,
                doubted=current.doubt.version if current.doubt is not None else None,
            )

    def _refresh_due(self, within_s: float) -> None:
        """Refresh what is fresh for no longer than this, one after the other.

        Errors stay in `status()`. AWSPENDING never stays fresh: it would be read for ever, used or not.
        """
        with self._lock:
            now = self._now()
            due = [
                (secret, holding)
                for secret, holding in self.shelf.held()
                if holding.stage != AWSPENDING
                if self._fresh_for_s(secret, holding, now) <= within_s and not holding.pauses(now)
            ]
        for secret, holding in due:
            self._refresh_alone(secret, holding)

    def _refresh_alone(self, secret: Secret, holding: Holding) -> None:
        """Refresh this unless another thread does, or did."""
        key = hit_key(secret.arn, holding.stage)
        with self._lock:
            if key in self._flights or secret.holdings.get(holding.stage) is not holding:
                return
            self._flights[key] = threading.Event()
        with self._flying(key), suppress(_ForgottenError):
            try:
                self._refresh(secret.arn, secret, holding)
            except SecretError as error:
                log.warning("%s", error)

    def _load(self, secret_id: str, stage: str) -> SecretVersion:
        """The first read of a secret or stage under this id."""
        with self._lock:
            begun = self._now()
            known = self.shelf.secret(secret_id)
            generation = known.generation if known is not None else 0
        try:
            version = self._read(secret_id, stage)
            _must_be_about(secret_id, version)
        except SecretError as error:
            with self._lock:
                self._remember_refusal(secret_id, stage, error)
            raise
        with self._lock:
            secret = self.shelf.claim(version, secret_id)
            return self._land(secret_id, secret, Holding(stage, version, begun, generation), None)

    def _refresh(self, secret_id: str, secret: Secret, held: Holding) -> SecretVersion:
        """Ask Secrets Manager about a held stage and serve what is to be served then."""
        stage = held.stage
        with self._lock:
            begun, generation = self._now(), secret.generation
            secret.use_name(secret_id)
            marker, ask_by = self._marker(secret), secret.asks_by()
            if held.generation != generation:
                secret.forced[stage] = begun
        reading = Reading(
            lambda version_id: self._read(ask_by, stage, version_id),
            begun,
            generation,
            self._limits,
        )
        try:
            holding = refreshed(held, marker, reading)
        except StageNotFoundError as error:
            with self._lock:
                self.shelf.drop(secret, held)
            raise error.about(secret_id) from error
        except GONE as error:
            with self._lock:
                self.shelf.forget(secret)
            raise error.about(secret_id) from error
        except SecretError as error:
            return self._serve_despite(secret_id, secret, held, error)
        with self._lock:
            if holding.version.arn == secret.arn:
                return self._land(secret_id, secret, holding, held)
            self.shelf.forget(secret)
            landed = holding.version
            for name in secret.names:
                successor = self.shelf.claim(holding.version, name)
                landed = self._land(name, successor, holding, None)
            if secret_id == secret.arn or not secret.names:
                raise SecretNotFoundError(secret_id, f"its name now belongs to {holding.version.arn}")
            return as_asked(landed, secret_id)

    def _serve_despite(
        self, secret_id: str, secret: Secret, held: Holding, error: SecretError
    ) -> SecretVersion:
        """The refresh failed for a reason that may pass: serve what is known while that is allowed."""
        with self._lock:
            now = self._now()
            pause_s = backoff_s(
                held.trouble.failures if held.trouble else 0,
                first_s=self._limits.min_refresh_interval_s,
                longest_s=self._limits.max_backoff_s,
                random=self._random,
            )
            holding = failed(held, error, now, pause_s)
            if secret.holdings.get(held.stage) is held:
                self.shelf.put(secret, holding)
        if servable_for_s(holding, now, self._limits) <= 0:
            raise error.about(secret_id) from error
        log.warning("a known version is served, since %s", error)
        return as_asked(holding.version, secret_id)

    @contextmanager
    def _flying(self, key: HitKey) -> Iterator[None]:
        """The one flight of `key`, ended and announced whatever happens."""
        try:
            yield
        finally:
            with self._lock:
                landed = self._flights.pop(key, None)
            if landed is not None:
                landed.set()

    # Checking

    def check_if_due(self) -> None:
        """Check the table if the window has ended and no other thread does."""
        if not self._window_ended() or not self._checking.acquire(blocking=False):
            return
        try:
            if self._window_ended():
                self._check()
        finally:
            self._checking.release()

    def check_ahead(self) -> None:
        """Check and refresh for the callers, from a thread of its own; never raises for the table's sake.

        What the check finds to have moved is refreshed before the next window opens, so that callers
        go on hitting what is known, as all but one do while any refresh flies: until the answer is
        there, and no longer than the present window. What would leave the hit path at the next check
        is refreshed after.
        """
        opened = self._opened
        with self._checking:
            begun = self._look()
        self._refresh_due(0.0)
        with self._lock:
            # Unless a caller found the window at its end meanwhile, and has checked.
            if self._opened is opened:
                self._open_window(begun)
        self._refresh_due(self._window_s + self._limits.check_interval_s)

    def _window_ended(self) -> bool:
        return self._opened is None or self._opened.age_s(self._now()) >= self._window_s

    def _check(self) -> None:
        begun = self._look()
        with self._lock:
            self._open_window(begun)

    def _look(self) -> Instant:
        """Read what is to be read of the table; when that was begun."""
        begun = self._now()
        # With nothing held there is nothing to check: a cold start pays for one GetSecretValue only.
        if self._table is not None and len(self.shelf):
            with self._lock:
                keys = self.shelf.keys()
            self._table.check(keys, begun)
        return begun

    def _open_window(self, begun: Instant) -> None:
        """Serve until the window ends what is fresh until then, and nothing else."""
        now, closes_at = self._now(), begun.wall_s + self._window_s
        for secret, holding in self.shelf.held():
            if not self._outlasts(closes_at, secret, holding, now):
                self.shelf.drop_hits(secret, holding.stage)
        self._opened = begun
        self.shelf.open(begun.wall_s, closes_at)

    # Telling

    def status(self) -> CacheStatus:
        """A snapshot of everything held, without a value."""
        # Loaded when it is asked for: no `get` needs it.
        from keyturn.status import CacheStatus, held_status, table_status

        with self._lock:
            now, view = self._now(), self._view()
            held = [held_status(*one, view, now, self._limits) for one in self.shelf.held()]
        in_order = sorted(held, key=lambda one: (one.arn, one.stage))
        return CacheStatus(tuple(in_order), table_status(view, now))

    # Under the lock

    def _due(self, secret: Secret, holding: Holding, now: Instant) -> bool:
        """Whether this holding is to be refreshed now."""
        if holding.pauses(now):
            return False
        if self._fresh_for_s(secret, holding, now, holding.generation) <= 0:
            return True
        if holding.generation == secret.generation:
            return False
        # Fresh, but invalidated: that alone makes it due only so often.
        forced = secret.forced.get(holding.stage)
        return forced is None or forced.age_s(now) >= self._limits.min_refresh_interval_s

    def _is_servable(self, secret: Secret, holding: Holding, now: Instant) -> bool:
        """Whether callers may have this while it is refreshed; what idled past its bound they wait for."""
        limit_s = held_bound_s(secret.key, holding, self._view(), now, self._limits)
        return holding.confirmed.age_s(now) <= limit_s and servable_for_s(holding, now, self._limits) > 0

    def _fresh_for_s(
        self, secret: Secret, holding: Holding, now: Instant, generation: int | None = None
    ) -> float:
        """For how long the holding is fresh, judged by this or else by the secret's own generation."""
        view = self._view()
        return fresh_for_s(
            holding,
            marker=self._marker(secret),
            assurance=view.assurance_of(secret.key) if view is not None else None,
            generation=secret.generation if generation is None else generation,
            now=now,
            limits=self._limits,
        )

    def _outlasts(self, closes_at: float, secret: Secret, holding: Holding, now: Instant) -> bool:
        """Whether the holding is fresh, and stays so until then; that the window is over proves nothing."""
        fresh_s = self._fresh_for_s(secret, holding, now)
        return fresh_s > 0 and now.wall_s + fresh_s >= closes_at

    def _serve(self, secret_id: str, secret: Secret, holding: Holding, now: Instant) -> SecretVersion:
        """Hand out a version, through the hit path from now on if it stays fresh until the window ends."""
        version = as_asked(holding.version, secret_id)
        if self._outlasts(self.shelf.window.closes_at, secret, holding, now):
            self.shelf.add_hit(version, holding.stage)
        return version

    def _must_be_fit(self, secret_id: str, secret: Secret, holding: Holding, now: Instant) -> None:
        """Raise why the last refresh failed if that was too long ago to go on serving.

        An invalidation makes a copy be asked for again, not unfit to be served until it is.
        """
        if self._fresh_for_s(secret, holding, now, holding.generation) > 0:
            return
        if servable_for_s(holding, now, self._limits) > 0:
            return
        trouble = holding.trouble
        if trouble is None:
            raise UnavailableError(secret_id, "its copy is too old")
        raise trouble.error(secret_id, trouble.detail)

    def _land(self, secret_id: str, secret: Secret, holding: Holding, basis: Holding | None) -> SecretVersion:
        """Keep what a read brought and serve what is held then.

        `basis` is what the read was judged against. If another read landed meanwhile, this one is
        judged again, against that one: it must not take the label back.
        """
        now, stage = self._now(), holding.stage
        current = secret.holdings.get(stage)
        if current is not None and current is not basis:
            again = Reading(lambda _: holding.version, holding.confirmed, holding.generation, self._limits)
            holding = refreshed(current, None, again)
        if not self.shelf.has(secret):
            return as_asked(holding.version, secret_id)
        self.shelf.put(secret, holding)
        self._refusals.pop(hit_key(secret_id, stage), None)
        return self._serve(secret_id, secret, holding, now)

    def _remember_refusal(self, secret_id: str, stage: str, error: SecretError) -> None:
        if len(self._refusals) >= self._limits.max_secrets:
            self._refusals.clear()
        refusal = _Refusal(type(error), error.detail, error.advice, self._now())
        self._refusals[hit_key(secret_id, stage)] = refusal

    def _raise_refusal(self, secret_id: str, stage: str, now: Instant) -> None:
        refusal = self._refusals.get(hit_key(secret_id, stage))
        if refusal is not None and refusal.at.age_s(now) < self._limits.min_refresh_interval_s:
            raise refusal.error(secret_id, refusal.detail, advice=refusal.advice)

    # Reading

    def _read(self, secret_id: str, stage: str, version_id: str | None = None) -> SecretVersion:
        """One read of the source. `_ForgottenError` instead of its outcome if all was forgotten meanwhile."""
        life = self._life
        try:
            return self._source.read(secret_id, stage=stage, version_id=version_id)
        finally:
            if self._life != life:
                raise _ForgottenError

    def _view(self) -> TableView | None:
        return self._table.view if self._table is not None else None

    def _marker(self, secret: Secret) -> Marker | None:
        view = self._view()
        return view.marker(secret.key) if view is not None else None

    def _now(self) -> Instant:
        return Instant(self._clock.wall(), self._clock.monotonic())


def _must_be_about(secret_id: str, version: SecretVersion) -> None:
    """An ARN, full or partial, is answered by its own secret or not at all."""
    if is_secret_arn(secret_id) and secret_id not in (version.arn, secret_key(version.arn, version.name)):
        raise SecretNotFoundError(secret_id, f"the answer was about {version.arn}")
