"""The cache itself: what a caller gets, and how long it waits for it.

Each read is carried out by a thread of its own, one for each stage of each secret. A caller with a copy
that may be served waits for it only a moment, and the others take the copy at once; a caller without one
waits for a bounded time. The hit path reads `holdings.window` without a lock. All this is said of secrets
and holds for parameters as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

from keyturn.cache.copies import Basis, Copies, Look
from keyturn.cache.flights import Flight, SingleFlight
from keyturn.cache.freshness import Evidence, disputed, evidence_of, predates
from keyturn.cache.held import Dispute, HeldSecret, HeldStage
from keyturn.cache.holdings import HitKey, warn_of_evictions
from keyturn.cache.limits import Limits
from keyturn.cache.reads import Reads
from keyturn.cache.refresh import Asked, after_answer, paced
from keyturn.cache.service import Service, Services
from keyturn.cache.table_view import TableView, uncovered_because
from keyturn.cache.tables import Tables, WatchedTable
from keyturn.cache.waiting import Waiting
from keyturn.errors import SecretError, UnavailableError
from keyturn.metrics.hook import SILENT, Metric, Metrics
from keyturn.model.instant import Clock, Instant
from keyturn.model.names import exact_str, secret_key
from keyturn.model.protocols import SecretSource
from keyturn.model.versions import AWSCURRENT, AWSPENDING, SecretVersion
from keyturn.runtime.logs import about, log

if TYPE_CHECKING:
    from keyturn.cache.status import HeldStatus

ADVICE_TIME = "give the login more time (budget_s, remaining_s), or look why the service is slow"


class Background(Protocol):
    """The thread that refreshes ahead of use, if there is one."""

    def is_at_work(self) -> bool:
        """Return True while that thread lives and goes round: then callers leave refreshing to it."""
        ...


class Inline:
    """No background thread: callers refresh by themselves."""

    def is_at_work(self) -> bool:
        return False


class Begun(NamedTuple):
    """When a caller's own reads were begun, in which life of the cache, and each ARN's generation then."""

    at: Instant
    life: int
    generations: Mapping[str, int]


class Due(NamedTuple):
    """A copy that the background thread has to refresh. `has_moved`: a marker or a caller called it old."""

    secret: HeldSecret
    held: HeldStage
    has_moved: bool

    def turn(self) -> tuple[bool, float]:
        """Return what copies are sorted by: first what moved, then what was read longest ago.

        Where not all that is due is read in time, any other order would leave the last ones unread for ever.
        """
        return not self.has_moved, self.held.confirmed.monotonic_s


class Cache:
    """The versioned cache behind `keyturn.SecretCache`; all I/O is behind `source`. Threads may share it.

    `tables`: what is known of the marker tables, which a `Checker` keeps up to date. `window_s`: how long a
    check lets the hit path serve. `key_of`: the marker key of an ARN and a name. `services`: whether
    the source answers, in each place; caches of the same service share them.
    """

    def __init__(
        self,
        source: SecretSource,
        tables: Tables,
        *,
        limits: Limits,
        clock: Clock,
        random: Callable[[], float],
        window_s: float,
        key_of: Callable[[str, str], str] = secret_key,
        services: Services | None = None,
        metrics: Metrics = SILENT,
        unavailable: type[UnavailableError] = UnavailableError,
    ) -> None:
        self._window_s = window_s
        self._metrics = metrics
        self.services = services or Services(
            Service("Secrets Manager", limits=limits, clock=clock, random=random)
        )
        self.background: Background = Inline()
        self.copies = Copies(
            tables,
            limits=limits,
            clock=clock,
            random=random,
            key_of=key_of,
            services=self.services,
            metrics=metrics,
            unavailable=unavailable,
        )
        self.reads = Reads(source, self.copies, self.services, clock=clock, key_of=key_of, metrics=metrics)
        self.flights: SingleFlight[HitKey, SecretVersion] = SingleFlight("keyturn-read")
        self.holdings = self.copies.holdings
        self._random = random

    @property
    def source(self) -> SecretSource:
        """Where the values come from."""
        return self.reads.source

    def after_fork(self) -> None:
        """Start anew in a forked child: new locks, no reads under way, the window closed."""
        self.copies.after_fork()
        self.services.after_fork()
        self.flights.after_fork()

    def forget(self) -> None:
        """Drop every value, as before the first `get`."""
        self.copies.forget()

    # Getting

    def get(self, secret_id: str, stage: str, waiting: Waiting) -> SecretVersion:
        """Serve, refresh or load: all that is not a hit. Raises a `SecretError`."""
        stage = exact_str(stage)
        while True:
            look = self.copies.look(secret_id, stage)
            if look.version is not None:
                return look.version
            if look.spare is not None:
                return self._refreshed_or_spare(secret_id, stage, look, look.spare, waiting)
            loaded = self._loaded(secret_id, stage, look, waiting)
            if loaded is not None:
                return loaded

    def _refreshed_or_spare(
        self, secret_id: str, stage: str, look: Look, spare: SecretVersion, waiting: Waiting
    ) -> SecretVersion:
        """Have the copy refreshed, and return what that brings in a moment, else the copy."""
        if not waiting.is_needed and self.is_refreshed_ahead(stage, look):
            self.copies.spare_hit(secret_id, stage)
            return spare
        service = self.service_of(secret_id)
        if self.copies.is_locked_here() or not service.may_probe(self.copies.now()):
            return spare
        does_answer = service.rest is None
        flight, is_mine = self._begin(look.key, secret_id, stage)
        if not is_mine or not does_answer:
            return spare
        patience_s = waiting.left_s(has_copy=True)
        if flight.wait(patience_s):
            return _landed(flight, secret_id)
        service.waited_in_vain(patience_s)
        return spare

    def is_refreshed_ahead(self, stage: str, look: Look) -> bool:
        """Return True if the background thread refreshes this copy, so that no caller need wait for it."""
        return look.is_tended and stage != AWSPENDING and self.background.is_at_work()

    def _loaded(self, secret_id: str, stage: str, look: Look, waiting: Waiting) -> SecretVersion | None:
        """Return what a cold read brings, or None if another caller's read has ended: then look again."""
        if self.copies.is_locked_here():
            return self.reads.bring(secret_id, stage)
        left_s, service = waiting.left_s(has_copy=False), self.service_of(secret_id)
        is_full, flight, is_mine = service.is_full, self.flights.find(look.key), False
        if not is_full:
            flight, is_mine = self._begin(look.key, secret_id, stage)
        if flight is None:
            raise self.copies.unavailable(secret_id, "too many reads hang, so no other read was begun")
        if flight.wait(left_s):
            return _landed(flight, secret_id) if is_mine else None
        service.waited_in_vain(left_s)
        return brought_late(self.copies, secret_id, stage, waiting)

    def _begin(self, key: HitKey, secret_id: str, stage: str) -> tuple[Flight[SecretVersion], bool]:
        job, now = partial(self.reads.bring, secret_id, stage), self.copies.now()
        patience_s = self.service_of(secret_id).patience_s(now)
        return self.flights.join_or_begin(key, job, now.monotonic_s, patience_s)

    def service_of(self, secret_id: str) -> Service:
        """Return the service that a read of this secret asks."""
        secret = self.holdings.secret(secret_id)
        return self.services.of(secret.asks_by() if secret is not None else secret_id)

    def invalidate(self, secret_id: str) -> bool:
        """Make the next `get` of every stage ask the service. Return True if the secret was held.

        The version stays known: it is served when the service cannot be reached. The service is asked
        for this reason at most once per `min_refresh_interval_s` and stage.
        """
        with self.copies.lock:
            self.copies.failures.drop_all_of(secret_id)
        is_held = self.copies.outdate(secret_id)
        if is_held:
            secret = self.holdings.secret(secret_id)
            self._metrics.record(Metric.INVALIDATIONS, 1, secret=secret.name if secret is not None else "")
        return is_held

    def reread(self, secret_id: str, waiting: Waiting) -> SecretVersion:
        """Return AWSCURRENT after a forced read, for a caller whose copy was refused.

        At most once per `min_refresh_interval_s`; else what is known.
        """
        self.copies.outdate(secret_id)
        return self.join(secret_id, AWSCURRENT, waiting)

    def join(self, secret_id: str, stage: str, waiting: Waiting) -> SecretVersion:
        """Return what `get` gives after the reads of this that other threads have under way.

        For a caller whose copy was refused: what is known is not good enough.
        """
        # The first may have begun before the refusal; the next did not.
        for _ in range(2):
            self._await_flight(secret_id, stage, waiting)
        return self.get(secret_id, stage, waiting)

    def _await_flight(self, secret_id: str, stage: str, waiting: Waiting) -> None:
        """Wait for the read of this that is under way, if there is one and the service answers."""
        flight = self.flights.find(self.copies.key_of(secret_id, stage))
        if flight is not None and self.service_of(secret_id).rest is None:
            flight.wait(waiting.left_s(has_copy=True))

    # For callers that read many at once

    def begin(self) -> Begun:
        """To be called before reads whose answers are then offered."""
        with self.copies.lock:
            generations = {one.arn: one.generation for one, _ in self.holdings.held()}
            return Begun(self.copies.now(), self.copies.life, generations)

    def offer(self, secret_id: str, stage: str, version: SecretVersion, begun: Begun) -> SecretVersion | None:
        """Keep what the caller has read by stage, and return what is served then.

        None if everything was forgotten meanwhile: what was read then is void.
        """
        copies = self.copies
        with copies.lock:
            if begun.life != copies.life:
                return None
            generation = begun.generations.get(version.arn, 0)
            secret = self.holdings.claim(version, secret_id)
            secret.asked_s = secret.asked_s or begun.at.monotonic_s
            held, marker = secret.stages.get(stage), copies.marker(secret)
            if held is None:
                found = HeldStage(stage, version, begun.at, generation)
            else:
                asked = Asked(begun.at, generation, copies.limits)
                found = after_answer(held, marker, version, asked)
                self.reads.judge(Basis(secret, held, marker, secret_id, asked), found, reads=1)
            landed = copies.land(secret_id, secret, found, held)
        warn_of_evictions(copies.holdings)
        return landed

    def excuse(self, secret_id: str, stage: str, error: SecretError) -> SecretVersion:
        """Return what is served since the caller's read failed with `error`, or raise the error."""
        found = self.holdings.find(secret_id, stage)
        if found is None:
            self.copies.remember_failure(secret_id, stage, error)
            raise error.about(secret_id) from error
        return self.copies.serve_despite(secret_id, *found, error)

    def evidence(self, secret_id: str) -> Evidence:
        """Return what is known of a rotation of this secret that may be under way; no I/O."""
        with self.copies.lock:
            secret = self.holdings.secret(secret_id)
            return Evidence() if secret is None else evidence_of(secret.stages, self.copies.marker(secret))

    # The background's part

    def due(self, within_s: float) -> list[Due]:
        """Return the copies that are fresh for no longer than this, and in use."""
        with self.copies.lock:
            return list(self._due(within_s))

    def _due(self, within_s: float) -> Iterator[Due]:
        copies, now = self.copies, self.copies.now()
        for secret, held in self.holdings.held():
            # AWSPENDING never stays fresh: it would be read for ever, used or not.
            is_wanted = held.stage != AWSPENDING and not held.pauses(now)
            is_used = secret.is_in_use(now, copies.limits.max_unused_s)
            if is_wanted and is_used and copies.fresh_for_s(secret, held, now) <= within_s:
                yield Due(secret, held, has_moved=_has_moved(copies, secret, held))

    def refresh_ahead(self, secret: HeldSecret, held: HeldStage) -> bool:
        """Refresh a copy, waiting only a moment. Return False if the service does not answer now.

        An error of the read stays in `status()` and the log.
        """
        copies, service = self.copies, self.services.of(secret.asks_by())
        now = copies.now()
        if not service.may_probe(now):
            return False
        key = copies.key_of(secret.arn, held.stage)

        def job() -> SecretVersion:
            self.reads.bring_ahead(secret.arn, held)
            return held.version

        flight, is_mine = self.flights.join_or_begin(key, job, now.monotonic_s, service.patience_s(now))
        patience_s = copies.limits.refresh_wait_s
        if not flight.wait(patience_s):
            service.waited_in_vain(patience_s)
            return False
        if is_mine:
            try:
                flight.outcome()
            except SecretError as error:
                log.warning("%s", error, extra=about("refresh_failed", secret=secret.name, error=error))
        return True

    # The checker's part

    def keys(self) -> dict[str, str]:
        """Return the marker keys of everything held, with the ARN of each."""
        with self.copies.lock:
            return self.holdings.keys()

    def current(self) -> dict[str, str]:
        """Return the version ids held under AWSCURRENT, by marker key."""
        with self.copies.lock:
            return self.holdings.current()

    def open_window(self, begun: Instant) -> None:
        """Begin an empty window after a check; each copy enters it at its first use if it stays fresh."""
        self.holdings.open(begun.wall_s, begun.wall_s + self._window_s)

    def judge_copies(self, table: WatchedTable, before: TableView) -> None:
        """Judge the copies by what a check of one table has found since the view `before`.

        A marker of an event that was over when the copy was read is settled. Any other new one is a reason
        to read again: it counts as an invalidation of AWSCURRENT, and its read may be put off.
        """
        with self.copies.lock:
            self._judge_copies(table, before)

    def _judge_copies(self, table: WatchedTable, before: TableView) -> None:
        view = table.watch.view
        if view.assurance is None:
            return
        for secret, held in self.holdings.held():
            if (marker := view.marker(secret.key)) is None:
                continue
            is_news = marker != before.marker(secret.key)
            if predates(marker, held, view.assurance, self.copies.limits):
                self.holdings.put(secret, held._replace(dispute=Dispute(marker, 0, settled=True)))
            elif is_news and disputed(marker, held):
                pace_s = view.assurance.head.pace_s
                _put_off(self.copies, secret, held, before=before, pace_s=pace_s, random=self._random)
                if held.stage == AWSCURRENT:
                    self._metrics.record(Metric.INVALIDATIONS, 1, secret=secret.name)

    def status(self) -> tuple[HeldStatus, ...]:
        """Return everything held, by ARN and stage, without a value."""
        # Loaded when it is asked for: no `get` needs it.
        from keyturn.cache.status import status_of

        return status_of(self.copies)


class Caches(NamedTuple):
    """The caches of one `SecretCache`: of secrets, and of parameters as ciphertexts and decrypted."""

    secrets: Cache
    ciphertexts: Cache
    clear: Cache

    def parameters(self, *, decrypt: bool) -> Cache:
        """Return the cache of parameters that are decrypted, or of those that are not."""
        return self.clear if decrypt else self.ciphertexts


def _has_moved(copies: Copies, secret: HeldSecret, held: HeldStage) -> bool:
    """Return True if a marker, or a caller, has said that this copy is old. Under the lock."""
    return held.generation != secret.generation or disputed(copies.marker(secret), held)


def _put_off(
    copies: Copies,
    secret: HeldSecret,
    held: HeldStage,
    *,
    before: TableView,
    pace_s: float,
    random: Callable[[], float],
) -> None:
    """Let a copy wait for its turn in a fleet, after a check that told of a new version. Under the lock."""
    limits, now = copies.limits, copies.now()
    if pace_s <= 0 or before.assurance is None or disputed(before.marker(secret.key), held):
        return
    is_covered = uncovered_because(secret.key, held, before, now, limits) is None
    ttl_s = limits.covered_ttl_s if is_covered else limits.uncovered_ttl_s * limits.spread
    lasts_s = ttl_s - held.confirmed.age_s(now)
    checked = before.assurance.checked
    copies.holdings.put(secret, paced(held, checked, now, pace_s=pace_s, lasts_s=lasts_s, random=random))


def _landed(flight: Flight[SecretVersion], secret_id: str) -> SecretVersion:
    """Return what a read brought, or raise its error anew: each caller raises an error of its own.

    The read's own error is not raised here: it would hold the caller's frames for as long as it is kept.
    """
    error = flight.failure
    if isinstance(error, SecretError):
        raise error.about(secret_id) from error.__cause__ or error
    return flight.outcome()


def brought_late(copies: Copies, secret_id: str, stage: str, waiting: Waiting) -> SecretVersion:
    """Return what there is for a caller who waited in vain. Raises an `UnavailableError` for nothing."""
    # A later read may have got through, or one under another id.
    again = copies.look(secret_id, stage)
    brought = again.version if again.version is not None else again.spare
    return brought if brought is not None else _give_up(copies, secret_id, stage, waiting)


def _give_up(copies: Copies, secret_id: str, stage: str, waiting: Waiting) -> NoReturn:
    """Raise that a caller waited in vain; remember it for others that would wait as long."""
    if waiting.cold_s < copies.limits.cold_wait_s:
        raise copies.unavailable(
            secret_id,
            f"no answer within the {waiting.cold_s:.3g} s that the login had left",
            advice=ADVICE_TIME,
        )
    error = copies.unavailable(secret_id, f"no answer within {waiting.cold_s:g} s")
    copies.remember_failure(secret_id, stage, error)
    raise error
