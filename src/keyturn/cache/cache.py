"""The cache itself: when what is held is refreshed and served, and by which thread.

`_lock` guards the shelf and is never held during I/O. One thread refreshes a given stage of a given
secret; the others get the version they have, and wait only where there is none. The hit path reads
`shelf.window` without a lock. All this is said of secrets and holds for parameters as well.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from keyturn.cache.freshness import Evidence, brought, disputed, fresh_for_s, predates, servable_for_s
from keyturn.cache.held import Dispute, HeldSecret, HeldStage
from keyturn.cache.holdings import HitKey, Holdings, as_asked, hit_key
from keyturn.cache.limits import Limits
from keyturn.cache.refresh import GONE, Reading, backoff_s, failed, refreshed
from keyturn.cache.table_view import TableView, TableWatch, held_bound_s
from keyturn.errors import SecretError, SecretNotFoundError, StageNotFoundError, UnavailableError
from keyturn.metrics.hook import SILENT, Metric, Metrics
from keyturn.model.instant import Instant
from keyturn.model.markers import Marker
from keyturn.model.names import secret_key
from keyturn.model.protocols import Clock, SecretSource
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion
from keyturn.runtime.logs import about

if TYPE_CHECKING:
    from keyturn.cache.status import HeldStatus

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


class Begun(NamedTuple):
    """When a caller's own reads were begun, in which life of the cache, and each ARN's generation then."""

    at: Instant
    life: int
    generations: Mapping[str, int]


class Cache:
    """The versioned cache behind `keyturn.SecretCache`; all I/O is behind `source`.

    `table`: what is known of the marker table, which a `Checker` keeps up to date. `window_s`: for how
    long a check lets the hit path serve. `key_of`: the marker key of an ARN and a name. `metrics`:
    is told also under the lock, so it must only take note.
    """

    def __init__(
        self,
        source: SecretSource,
        table: TableWatch | None,
        *,
        limits: Limits,
        clock: Clock,
        random: Callable[[], float],
        window_s: float,
        key_of: Callable[[str, str], str] = secret_key,
        metrics: Metrics = SILENT,
    ) -> None:
        self.source = source
        self._table = table
        self._limits = limits
        self._clock = clock
        self._random = random
        self._window_s = window_s
        self._key_of = key_of
        self._metrics = metrics
        self.holdings = Holdings(limits.max_secrets, key_of)
        self._refusals: dict[HitKey, _Refusal] = {}
        self._life = 0
        self.reset_locks()

    def reset_locks(self) -> None:
        """Make the locks anew and close the window: for a forked child, whose parent's threads are gone."""
        self._lock = threading.Lock()
        self._flights: dict[HitKey, threading.Event] = {}
        self.holdings.open(0.0, 0.0)

    def forget(self) -> None:
        """Drop every value, as before the first `get`."""
        with self._lock:
            self._life += 1
            # The clones of a snapshot must not turn to Secrets Manager in one moment.
            self._limits = self._limits.spread_by(self._random)
            self.holdings.clear()
            self._refusals.clear()

    # Getting

    def get(self, secret_id: str, stage: str) -> SecretVersion:
        """All that is not a hit: serve, refresh or load."""
        while True:
            # What was forgotten during its read is read again.
            with suppress(_ForgottenError):
                return self._get(secret_id, stage)

    def _get(self, secret_id: str, stage: str) -> SecretVersion:
        while True:
            with self._lock:
                now = self.now()
                version, held = self._ready(secret_id, stage, now)
                if version is not None:
                    return version
                key = hit_key(held[0].arn if held is not None else secret_id, stage)
                flight = self._flights.get(key)
                if flight is None:
                    self._flights[key] = threading.Event()
                    break
                if held is not None and self._is_servable(*held, now):
                    return as_asked(held[1].version, secret_id)
            flight.wait()
        with self._flying(key):
            return self._load(secret_id, stage) if held is None else self._refresh(secret_id, *held)

    def invalidate(self, secret_id: str) -> bool:
        """Make the next `get` of every stage ask Secrets Manager; whether the secret was held.

        The version stays known: it is served when Secrets Manager cannot be reached. Secrets
        Manager is asked for this reason at most once per `min_refresh_interval_s` and stage.
        """
        with self._lock:
            self._refusals.clear()
        is_held = self._outdate(secret_id)
        if is_held:
            self._metrics.record(Metric.INVALIDATIONS, 1, secret=self._name_of(secret_id))
        return is_held

    def _outdate(self, secret_id: str) -> bool:
        """Let no stage of this secret count as fresh; whether it is held."""
        with self._lock:
            secret = self.holdings.secret(secret_id)
            if secret is None:
                return False
            secret.generation += 1
            self.holdings.drop_hits(secret)
            return True

    def reread(self, secret_id: str) -> SecretVersion:
        """AWSCURRENT after a forced read, for a caller whose copy was refused.

        At most once per `min_refresh_interval_s`; else what is known.
        """
        self._outdate(secret_id)
        return self.join(secret_id, AWSCURRENT)

    def join(self, secret_id: str, stage: str) -> SecretVersion:
        """What `get` gives after the reads of this that other threads have under way.

        For a caller whose copy was refused: what is known is not good enough.
        """
        # The first may have begun before the refusal; the next did not.
        for _ in range(2):
            self._await_flight(secret_id, stage)
        return self.get(secret_id, stage)

    def _await_flight(self, secret_id: str, stage: str) -> None:
        """Wait for whoever reads this now, if anybody does."""
        with self._lock:
            held = self.holdings.find(secret_id, stage)
            flight = self._flights.get(hit_key(held[0].arn if held is not None else secret_id, stage))
        if flight is not None:
            flight.wait()

    # For callers that read many at once

    def peek(self, secret_id: str, stage: str) -> SecretVersion | None:
        """What `get` gives without asking anybody; None if it would ask. Raises what `get` would."""
        with self._lock:
            return self._ready(secret_id, stage, self.now())[0]

    def begin(self) -> Begun:
        """To be called before reads whose answers are then offered."""
        with self._lock:
            generations = {one.arn: one.generation for one, _ in self.holdings.held()}
            return Begun(self.now(), self._life, generations)

    def offer(self, secret_id: str, stage: str, version: SecretVersion, begun: Begun) -> SecretVersion:
        """Keep what the caller has read by stage, and serve what is held then."""

        def answer(version_id: str | None) -> SecretVersion:
            if version_id in (None, version.version_id):
                return version
            raise StageNotFoundError(secret_id, f"{version_id} was not read")

        if begun.life != self._life:
            return self.get(secret_id, stage)
        generation = begun.generations.get(version.arn, 0)
        with self._lock:
            secret = self.holdings.claim(version, secret_id)
            held, marker = secret.holdings.get(stage), self._marker(secret)
            holding = (
                HeldStage(stage, version, begun.at, generation)
                if held is None
                else refreshed(held, marker, Reading(answer, begun.at, generation, self._limits))
            )
            return self._land(secret_id, secret, holding, held)

    def excuse(self, secret_id: str, stage: str, error: SecretError) -> SecretVersion:
        """What is served since the caller's read failed with `error`: what is known, or the error."""
        with self._lock:
            held = self.holdings.find(secret_id, stage)
            if held is None:
                self._remember_refusal(secret_id, stage, error)
        if held is None:
            raise error.about(secret_id) from error
        return self._serve_despite(secret_id, *held, error)

    def evidence(self, secret_id: str) -> Evidence:
        """What is known of a rotation of this secret that may be under way; no I/O."""
        with self._lock:
            secret = self.holdings.secret(secret_id)
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

    def refresh_due(self, within_s: float) -> None:
        """Refresh what is fresh for no longer than this, one after the other.

        Errors stay in `status()`. AWSPENDING never stays fresh: it would be read for ever, used or not.
        """
        with self._lock:
            now = self.now()
            due = [
                (secret, holding)
                for secret, holding in self.holdings.held()
                if holding.stage != AWSPENDING
                if self._fresh_for_s(secret, holding, now) <= within_s and not holding.pauses(now)
            ]
        for secret, holding in due:
            self._refresh_alone(secret, holding)

    def _refresh_alone(self, secret: HeldSecret, holding: HeldStage) -> None:
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
                log.warning("%s", error, extra=about("refresh_failed", secret=secret.name, error=error))

    def _load(self, secret_id: str, stage: str) -> SecretVersion:
        """The first read of a secret or stage under this id."""
        with self._lock:
            begun = self.now()
            known = self.holdings.secret(secret_id)
            generation = known.generation if known is not None else 0
        try:
            version = self._read(secret_id, stage)
            self._must_be_about(secret_id, version)
        except SecretError as error:
            with self._lock:
                self._remember_refusal(secret_id, stage, error)
            raise
        with self._lock:
            secret = self.holdings.claim(version, secret_id)
            return self._land(secret_id, secret, HeldStage(stage, version, begun, generation), None)

    def _refresh(self, secret_id: str, secret: HeldSecret, held: HeldStage) -> SecretVersion:
        """Ask Secrets Manager about a held stage and serve what is to be served then."""
        stage = held.stage
        with self._lock:
            begun, generation = self.now(), secret.generation
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
        except SecretError as error:
            return self._serve_despite(secret_id, secret, held, error)
        with self._lock:
            if holding.version.arn == secret.arn:
                return self._land(secret_id, secret, holding, held)
            return self._hand_over(secret_id, secret, holding, anew=held.generation != generation)

    def _serve_despite(
        self, secret_id: str, secret: HeldSecret, held: HeldStage, error: SecretError
    ) -> SecretVersion:
        """The refresh failed: if the reason may pass, serve what is known while that is allowed."""
        if isinstance(error, GONE):
            with self._lock:
                if isinstance(error, StageNotFoundError):
                    self.holdings.drop(secret, held)
                else:
                    self.holdings.forget(secret)
            raise error.about(secret_id) from error
        with self._lock:
            now = self.now()
            pause_s = backoff_s(
                held.trouble.failures if held.trouble else 0,
                first_s=self._limits.min_refresh_interval_s,
                longest_s=self._limits.max_backoff_s,
                random=self._random,
            )
            holding = failed(held, error, now, pause_s)
            if secret.holdings.get(held.stage) is held:
                self.holdings.put(secret, holding)
        if servable_for_s(holding, now, self._limits) <= 0:
            raise error.about(secret_id) from error
        self._metrics.record(Metric.STALE_SERVED, 1, secret=secret.name)
        log.warning(
            "a known version is served, since %s",
            error,
            extra=about("stale_served", secret=secret.name, error=error),
        )
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

    # The checker's part

    def keys(self) -> dict[str, str]:
        """The marker keys of everything held, with the ARN of each."""
        with self._lock:
            return self.holdings.keys()

    def current(self) -> dict[str, str]:
        """The version ids held under AWSCURRENT, by marker key."""
        with self._lock:
            return self.holdings.current()

    def open_window(self, begun: Instant) -> None:
        """After a check: serve until the window ends what is fresh until then, and nothing else."""
        with self._lock:
            now, closes_at = self.now(), begun.wall_s + self._window_s
            for secret, holding in self.holdings.held():
                if not self._outlasts(closes_at, secret, holding, now):
                    self.holdings.drop_hits(secret, holding.stage)
            self.holdings.open(begun.wall_s, closes_at)

    def settle_old_events(self, before: TableView) -> None:
        """After the table was read: ask nobody because of an event that was over when the copy was read.

        Counted are the markers, other than `before`, because of which AWSCURRENT is to be asked about.
        """
        with self._lock:
            view = self._view()
            if view is None or view.assurance is None:
                return
            for secret, holding in tuple(self.holdings.held()):
                marker = view.marker(secret.key)
                if marker is None:
                    continue
                is_news = holding.stage == AWSCURRENT and marker != before.marker(secret.key)
                if predates(marker, holding, view.assurance, self._limits):
                    self.holdings.put(secret, holding._replace(dispute=Dispute(marker, 0, settled=True)))
                elif is_news and disputed(marker, holding):
                    self._metrics.record(Metric.INVALIDATIONS, 1, secret=secret.name)

    # Telling

    def status(self) -> tuple[HeldStatus, ...]:
        """Everything held, by ARN and stage, without a value."""
        # Loaded when it is asked for: no `get` needs it.
        from keyturn.cache.status import held_status

        with self._lock:
            now, view = self.now(), self._view()
            held = [held_status(*one, view, now, self._limits) for one in self.holdings.held()]
        return tuple(sorted(held, key=lambda one: (one.arn, one.stage)))

    # Under the lock

    def _ready(
        self, secret_id: str, stage: str, now: Instant
    ) -> tuple[SecretVersion | None, tuple[HeldSecret, HeldStage] | None]:
        """What may be served as it is, and what is held; raises what the last read raised, if just now."""
        held = self.holdings.find(secret_id, stage)
        if held is None:
            self._raise_refusal(secret_id, stage, now)
            return None, None
        if self._due(*held, now):
            return None, held
        self._must_be_fit(secret_id, *held, now)
        return self._serve(secret_id, *held, now), held

    def _due(self, secret: HeldSecret, holding: HeldStage, now: Instant) -> bool:
        """Whether this holding is to be refreshed now."""
        forced = secret.forced.get(holding.stage)
        is_asked_for = holding.generation != secret.generation and (
            forced is None or forced.age_s(now) >= self._limits.min_refresh_interval_s
        )
        if holding.pauses(now):
            # A doubt can wait for its second answer, not so who was refused; a failure keeps all waiting.
            return is_asked_for and holding.trouble is None
        return is_asked_for or self._fresh_for_s(secret, holding, now, holding.generation) <= 0

    def _is_servable(self, secret: HeldSecret, holding: HeldStage, now: Instant) -> bool:
        """Whether callers may have this while it is refreshed; what idled past its bound they wait for."""
        limit_s = held_bound_s(secret.key, holding, self._view(), now, self._limits)
        # Its own read may have shown the past.
        age_s = holding.confirmed.age_s(now) + self._limits.answer_lag_s
        return age_s <= limit_s and servable_for_s(holding, now, self._limits) > 0

    def _fresh_for_s(
        self, secret: HeldSecret, holding: HeldStage, now: Instant, generation: int | None = None
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

    def _outlasts(self, closes_at: float, secret: HeldSecret, holding: HeldStage, now: Instant) -> bool:
        """Whether the holding is fresh, and stays so until then; that the window is over proves nothing."""
        fresh_s = self._fresh_for_s(secret, holding, now)
        return fresh_s > 0 and now.wall_s + fresh_s >= closes_at

    def _serve(self, secret_id: str, secret: HeldSecret, holding: HeldStage, now: Instant) -> SecretVersion:
        """Hand out a version, through the hit path from now on if it stays fresh until the window ends."""
        version = as_asked(holding.version, secret_id)
        if self._outlasts(self.holdings.window.closes_at, secret, holding, now):
            self.holdings.add_hit(version, holding.stage)
        return version

    def _must_be_fit(self, secret_id: str, secret: HeldSecret, holding: HeldStage, now: Instant) -> None:
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

    def _land(
        self, secret_id: str, secret: HeldSecret, holding: HeldStage, basis: HeldStage | None
    ) -> SecretVersion:
        """Keep what a read brought and serve what is held then.

        `basis` is what the read was judged against. If another read landed meanwhile, this one is
        judged again, against that one: it must not take the label back.
        """
        now, stage = self.now(), holding.stage
        current = secret.holdings.get(stage)
        if current is not None and current is not basis:
            again = Reading(lambda _: holding.version, holding.confirmed, holding.generation, self._limits)
            holding = refreshed(current, None, again)
        if not self.holdings.has(secret):
            return as_asked(holding.version, secret_id)
        self.holdings.put(secret, holding)
        self._refusals.pop(hit_key(secret_id, stage), None)
        if current is not None:
            self._measure_lag(secret, current, holding, now)
        return self._serve(secret_id, secret, holding, now)

    def _hand_over(
        self, secret_id: str, secret: HeldSecret, holding: HeldStage, *, anew: bool
    ) -> SecretVersion:
        """Keep what was read of another secret, since the names of this one are that one's now.

        `anew`: what was known was not good enough, and so is not what was known of the other.
        """
        self.holdings.forget(secret)
        landed = holding.version
        known = self.holdings.secret(landed.arn)
        if known is not None and anew:
            known.generation += 1
            self.holdings.drop_hits(known)
        # The caller's name as well, which another thread's answer may have taken from it already.
        for name in dict.fromkeys((*secret.names, secret_id)):
            if name == secret.arn:
                continue
            successor = self.holdings.claim(holding.version, name)
            landed = self._land(name, successor, holding._replace(generation=successor.generation), None)
        if secret_id == secret.arn:
            raise SecretNotFoundError(secret_id, f"its name now belongs to {holding.version.arn}")
        return as_asked(landed, secret_id)

    def _measure_lag(self, secret: HeldSecret, before: HeldStage, after: HeldStage, now: Instant) -> None:
        """Record how late a new AWSCURRENT version came into use, if a marker brought it."""
        marker = self._marker(secret)
        if self._table is None or marker is None or not brought(marker, before, after):
            return
        late_s = self._table.late_s(marker, now)
        if late_s is not None:
            self._metrics.record(Metric.LAG_S, late_s, secret=secret.name)

    def _remember_refusal(self, secret_id: str, stage: str, error: SecretError) -> None:
        if len(self._refusals) >= self._limits.max_secrets:
            self._refusals.clear()
        refusal = _Refusal(type(error), error.detail, error.advice, self.now())
        self._refusals[hit_key(secret_id, stage)] = refusal

    def _raise_refusal(self, secret_id: str, stage: str, now: Instant) -> None:
        refusal = self._refusals.get(hit_key(secret_id, stage))
        if refusal is not None and refusal.at.age_s(now) < self._limits.min_refresh_interval_s:
            raise refusal.error(secret_id, refusal.detail, advice=refusal.advice)

    # Reading

    def _read(self, secret_id: str, stage: str, version_id: str | None = None) -> SecretVersion:
        """One read of the source. `_ForgottenError` instead of its outcome if all was forgotten meanwhile."""
        life, begun = self._life, self.now()
        try:
            version = self.source.read(secret_id, stage=stage, version_id=version_id)
        except SecretError as error:
            self.measure_read(begun, self._name_of(secret_id), error)
            raise
        else:
            self.measure_read(begun, version.name)
            return version
        finally:
            if self._life != life:
                raise _ForgottenError

    def measure_read(self, begun: Instant, secret: str = "", error: SecretError | None = None) -> None:
        """Record a request that was begun then and has just ended, with this error if it failed."""
        took_s = self._clock.monotonic() - begun.monotonic_s
        self._metrics.record(Metric.READ_S, took_s, secret=secret)
        if error is not None and not isinstance(error, GONE):
            self._metrics.record(Metric.READS_FAILED, 1, secret=secret)

    def _name_of(self, secret_id: str) -> str:
        """The secret's own name, or nothing as long as no answer has told it."""
        secret = self.holdings.secret(secret_id)
        return secret.name if secret is not None else ""

    def _view(self) -> TableView | None:
        return self._table.view if self._table is not None else None

    def _marker(self, secret: HeldSecret) -> Marker | None:
        view = self._view()
        return view.marker(secret.key) if view is not None else None

    def now(self) -> Instant:
        return Instant(self._clock.wall(), self._clock.monotonic())

    def _must_be_about(self, secret_id: str, version: SecretVersion) -> None:
        """An ARN, full or partial, is answered by its own secret or not at all."""
        own = (version.arn, self._key_of(version.arn, version.name))
        if secret_id.startswith("arn:") and secret_id not in own:
            raise SecretNotFoundError(secret_id, f"the answer was about {version.arn}")
