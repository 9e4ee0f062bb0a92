"""The cache itself: which secrets are held, when they are checked and refreshed, and by whom.

Threads: `_lock` guards all state and is never held during I/O. One thread checks the table at a
time, one refreshes a given stage of a given secret; the others get the version they have, and wait
only where there is none. `Hits` is what the hit path reads without a lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from keyturn.errors import (
    MarkerTableError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.freshness import (
    Assurance,
    Evidence,
    Holding,
    Limits,
    agrees,
    bound_s,
    disputed,
    fresh_for_s,
    servable_for_s,
)
from keyturn.names import checked_secret_id, is_secret_arn, secret_key
from keyturn.protocols import Clock, MarkerReader, SecretSource
from keyturn.refresh import GONE, Reading, backoff_s, failed, refreshed
from keyturn.status import CacheStatus, HeldStatus, TableStatus
from keyturn.values import AWSCURRENT, AWSPENDING, Head, Instant, Marker, MarkersRead, SecretVersion

log = logging.getLogger("keyturn")

STEPS_AFTER_SET = ("setSecret", "testSecret")
"""Announced steps after which the server takes the pending version, and AWSCURRENT is still the old one."""

HitKey = str | tuple[str, str]
"""The secret id for AWSCURRENT, `(secret id, stage)` for any other stage: a string hashes once."""


@dataclass(slots=True)
class Window:
    """What the hit path may serve, and between which two readings of the wall clock (seconds)."""

    versions: dict[HitKey, SecretVersion]
    opens_at: float
    closes_at: float


def hit_key(secret_id: str, stage: str) -> HitKey:
    """How the hit path looks a version up."""
    return secret_id if stage == AWSCURRENT else (secret_id, stage)


@dataclass(slots=True)
class _Secret:
    """One secret, by its full ARN.

    `aliases`: the ids that answers showed to be its own; `names`: those of them that callers used,
    other than the full ARN.
    """

    arn: str
    name: str
    key: str
    aliases: set[str]
    names: set[str] = field(default_factory=set)
    holdings: dict[str, Holding] = field(default_factory=dict)
    marker: Marker | None = None
    marker_known: bool = False
    marker_denied: Instant | None = None
    generation: int = 0
    forced: Instant | None = None

    def asks_by(self) -> str:
        """The id to read by: a name finds a secret that was re-created, its old ARN does not."""
        return min(self.names, default=self.arn)


@dataclass(frozen=True, slots=True)
class _Refusal:
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
        self._markers = markers
        self._limits = limits
        self._clock = clock
        self._random = random
        self._window_s = window_s
        self._secrets: dict[str, _Secret] = {}
        self._arns: dict[str, str] = {}
        self._refusals: dict[HitKey, _Refusal] = {}
        self._seen: Head | None = None
        self._assurance: Assurance | None = None
        self._table_trouble: str | None = None
        self._table_failures = 0
        self._table_retry: tuple[Instant, float] | None = None
        self._opened: Instant | None = None
        self.window = Window({}, 0.0, 0.0)
        self.reset_locks()

    def reset_locks(self) -> None:
        """Make the locks anew and close the window: for a forked child, whose parent's threads are gone."""
        self._lock = threading.Lock()
        self._checking = threading.Lock()
        self._flights: dict[HitKey, threading.Event] = {}
        self.close_window()

    def close_window(self) -> None:
        """Let the next `get` check first."""
        self._opened = None
        self.window = Window(self.window.versions, 0.0, 0.0)

    def forget(self) -> None:
        """Drop every value, marker and instant, as before the first `get`."""
        with self._lock:
            self._secrets.clear()
            self._arns.clear()
            self._refusals.clear()
            self._seen = self._assurance = self._table_retry = self._opened = None
            self.window = Window({}, 0.0, 0.0)

    # Getting

    def get(self, secret_id: str, stage: str) -> SecretVersion:
        """All that is not a hit: check the table if that is due, then serve, refresh or load."""
        secret_id = checked_secret_id(secret_id)
        self.check_if_due()
        while True:
            with self._lock:
                now = self._now()
                held = self._find(secret_id, stage)
                if held is not None and not self._due(*held, now):
                    return self._serve(secret_id, *held, now)
                self._raise_refusal(secret_id, stage, now)
                key = hit_key(held[0].arn if held is not None else secret_id, stage)
                flight = self._flights.get(key)
                if flight is None:
                    self._flights[key] = threading.Event()
                    break
                if held is not None and servable_for_s(held[1], now, self._limits) > 0:
                    return _as_asked(held[1].version, secret_id)
            flight.wait()
        with self._flying(key):
            return self._load(secret_id, stage) if held is None else self._refresh(secret_id, *held)

    def invalidate(self, secret_id: str) -> bool:
        """Make the next `get` of every stage ask Secrets Manager; whether the secret was held.

        The version stays known: it is served when Secrets Manager cannot be reached. Secrets
        Manager is asked for this reason at most once per `min_refresh_interval_s` and secret.
        """
        with self._lock:
            self._refusals.clear()
            secret = self._secrets.get(self._arns.get(secret_id, ""))
            if secret is None:
                return False
            secret.generation += 1
            self._drop_hits(secret)
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
        self.invalidate(secret_id)
        return self.get(secret_id, AWSCURRENT)

    def evidence(self, secret_id: str) -> Evidence:
        """What is known of a rotation of this secret that may be under way; no I/O."""
        with self._lock:
            secret = self._secrets.get(self._arns.get(secret_id, ""))
            current = secret.holdings.get(AWSCURRENT) if secret is not None else None
            if secret is None or current is None:
                return Evidence()
            marker, pending = secret.marker, secret.holdings.get(AWSPENDING)
            told = marker.stages.get(AWSPENDING) if marker is not None else None
            known = {told, pending.version.version_id if pending is not None else None}
            is_pending = bool(known - {None, current.version.version_id})
            return Evidence(
                mark=(marker.epoch, marker.sequence) if marker is not None else None,
                moving=is_pending or disputed(marker, current),
                pending_is_set=is_pending and marker is not None and marker.step in STEPS_AFTER_SET,
                doubted=current.doubt.version if current.doubt is not None else None,
            )

    def refresh_ahead(self) -> None:
        """Refresh what would not stay fresh until the window ends; errors stay in `status()`.

        Not AWSPENDING: it never stays fresh, so it would be read for ever, used or not.
        """
        with self._lock:
            now = self._now()
            due = [
                (secret, holding)
                for secret in self._secrets.values()
                for holding in secret.holdings.values()
                if holding.stage != AWSPENDING
                if self._fresh_for_s(secret, holding, now) < self._window_s and not holding.pauses(now)
                if hit_key(secret.arn, holding.stage) not in self._flights
            ]
            keys = [hit_key(secret.arn, holding.stage) for secret, holding in due]
            self._flights.update((key, threading.Event()) for key in keys)
        for key, (secret, holding) in zip(keys, due, strict=True):
            with self._flying(key):
                try:
                    self._refresh(secret.arn, secret, holding)
                except SecretError as error:
                    log.warning("%s", error)

    def _load(self, secret_id: str, stage: str) -> SecretVersion:
        """The first read of a secret or stage under this id."""
        with self._lock:
            begun = self._now()
            known = self._secrets.get(self._arns.get(secret_id, ""))
            generation = known.generation if known is not None else 0
        try:
            version = self._source.read(secret_id, stage=stage)
            _must_be_about(secret_id, version)
        except SecretError as error:
            with self._lock:
                self._remember_refusal(secret_id, stage, error)
            raise
        with self._lock:
            secret = self._secret_of(version, secret_id)
            return self._land(secret_id, secret, Holding(stage, version, begun, generation), None)

    def _refresh(self, secret_id: str, secret: _Secret, held: Holding) -> SecretVersion:
        """Ask Secrets Manager about a held stage and serve what is to be served then."""
        stage = held.stage
        with self._lock:
            begun, generation, marker, ask_by = (
                self._now(),
                secret.generation,
                secret.marker,
                secret.asks_by(),
            )
            if held.generation != generation:
                secret.forced = begun
        reading = Reading(
            lambda version_id: self._source.read(ask_by, stage=stage, version_id=version_id),
            begun,
            generation,
            self._limits,
        )
        try:
            holding = refreshed(held, marker, reading)
        except GONE as error:
            with self._lock:
                self._remove(secret, held, error)
            raise error.about(secret_id) from error
        except SecretError as error:
            return self._serve_despite(secret_id, secret, held, error)
        with self._lock:
            if holding.version.arn == secret.arn:
                return self._land(secret_id, secret, holding, held)
            self._forget_secret(secret)
            for name in secret.names:
                successor = self._secret_of(holding.version, name)
                self._land(name, successor, holding, None)
            if secret_id == secret.arn or not secret.names:
                raise SecretNotFoundError(secret_id, f"its name now belongs to {holding.version.arn}")
            return _as_asked(holding.version, secret_id)

    def _serve_despite(
        self, secret_id: str, secret: _Secret, held: Holding, error: SecretError
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
                secret.holdings[held.stage] = holding
            self._drop_hits(secret, held.stage)
        if servable_for_s(holding, now, self._limits) <= 0:
            raise error.about(secret_id) from error
        log.warning("a known version is served, since %s", error)
        return _as_asked(holding.version, secret_id)

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

    def check(self) -> None:
        """Check the table now, after any check in progress; never raises for the table's sake."""
        with self._checking:
            self._check()

    def _window_ended(self) -> bool:
        return self._opened is None or self._opened.age_s(self._now()) >= self._window_s

    def _check(self) -> None:
        begun = self._now()
        # With nothing held there is nothing to check: a cold start pays for one GetSecretValue only.
        if self._markers is not None and self._secrets and not self._table_rests(begun):
            try:
                trouble = self._read_table(self._markers, begun)
            except MarkerTableError as error:
                trouble = str(error)
            if trouble is None:
                self._table_answered()
            else:
                self._table_failed(trouble, begun)
        with self._lock:
            self._open_window(begun)

    def _read_table(self, markers: MarkerReader, begun: Instant) -> str | None:
        """One read of the head; the markers of what is held only if it moved or they are not known.

        Returns what is wrong with the table, if anything.
        """
        head, seen = markers.read_head(), self._seen
        if head is not None and seen is not None and head.epoch == seen.epoch and head.counter < seen.counter:
            # An old replica, or a table restored to an earlier state: only a consistent read can tell.
            head = markers.read_head(consistent=True)
        if head is None:
            self._assurance = None
            return "the marker table has no usable head item: has the listener run since it was made?"
        with self._lock:
            if seen is None or (head.epoch, head.counter) != (seen.epoch, seen.counter):
                for secret in self._secrets.values():
                    secret.marker_known = False
            keys = {
                secret.key
                for secret in self._secrets.values()
                if not secret.marker_known and not self._denied(secret, begun)
            }
        read = markers.read_markers(keys) if keys else MarkersRead()
        with self._lock:
            for secret in self._secrets.values():
                self._learn(secret, read, begun)
            self._seen, self._assurance = head, Assurance(head, begun)
        return None

    def _learn(self, secret: _Secret, read: MarkersRead, begun: Instant) -> None:
        if secret.key in read.found or secret.key in read.absent:
            secret.marker, secret.marker_known = read.found.get(secret.key), True
            secret.marker_denied = None
        elif secret.key in read.denied:
            secret.marker, secret.marker_denied = None, begun

    def _denied(self, secret: _Secret, now: Instant) -> bool:
        """Whether this marker was denied lately; a policy may change, so it is asked for again."""
        denied = secret.marker_denied
        return denied is not None and denied.age_s(now) < self._limits.uncovered_ttl_s

    def _open_window(self, begun: Instant) -> None:
        """Serve until the window ends what is fresh until then, and nothing else."""
        for secret in self._secrets.values():
            for holding in secret.holdings.values():
                if self._fresh_for_s(secret, holding, begun) < self._window_s:
                    self._drop_hits(secret, holding.stage)
        self._opened = begun
        self.window = Window(self.window.versions, begun.wall_s, begun.wall_s + self._window_s)

    def _table_rests(self, now: Instant) -> bool:
        return self._table_retry is not None and self._table_retry[0].age_s(now) < self._table_retry[1]

    def _table_failed(self, detail: str, begun: Instant) -> None:
        if self._table_trouble is None:
            log.warning(
                "secrets are served on the short TTL of %g s: %s", self._limits.uncovered_ttl_s, detail
            )
        pause_s = backoff_s(
            self._table_failures,
            first_s=self._limits.check_interval_s,
            longest_s=self._limits.max_backoff_s,
            random=self._random,
        )
        self._table_trouble = detail
        self._table_failures += 1
        self._table_retry = (begun, pause_s)

    def _table_answered(self) -> None:
        if self._table_trouble is not None:
            log.info("the marker table answers again")
        self._table_trouble, self._table_failures, self._table_retry = None, 0, None

    # Telling

    def status(self) -> CacheStatus:
        """A snapshot of everything held, without a value."""
        with self._lock:
            now = self._now()
            held = [
                self._held_status(secret, holding, now)
                for secret in self._secrets.values()
                for holding in secret.holdings.values()
            ]
            table = TableStatus(
                used=self._markers is not None,
                checked_age_s=self._assurance.checked.age_s(now) if self._assurance else None,
                swept_age_s=self._assurance.swept_s() if self._assurance else None,
                trouble=self._table_trouble,
            )
        return CacheStatus(tuple(sorted(held, key=lambda one: (one.arn, one.stage))), table)

    def _held_status(self, secret: _Secret, holding: Holding, now: Instant) -> HeldStatus:
        obstacle = self._uncovered_because(secret, holding, now)
        # While the table is in trouble a copy is not covered, but still trusted for a short TTL.
        trusted = obstacle in (None, self._table_trouble)
        trouble = holding.trouble
        return HeldStatus(
            secret_ids=tuple(sorted(secret.aliases)),
            arn=secret.arn,
            name=secret.name,
            stage=holding.stage,
            version_id=holding.version.version_id,
            age_s=holding.confirmed.age_s(now),
            covered=obstacle is None,
            why=obstacle or "the marker agrees and the sweep is recent",
            bound_s=bound_s(holding, covered=trusted, limits=self._limits),
            last_error=f"{trouble.error.__name__}: {trouble.detail}" if trouble else None,
        )

    def _uncovered_because(self, secret: _Secret, holding: Holding, now: Instant) -> str | None:
        """The first reason for the short TTL, or None when the long one is in force."""
        reasons = (
            (holding.stage == AWSPENDING, "AWSPENDING is always read from Secrets Manager"),
            (self._markers is None, "no marker table is used"),
            (self._table_trouble is not None, self._table_trouble or ""),
            (self._assurance is None, "the table was not checked yet"),
            (self._denied(secret, now), f"the marker may not be read: {secret.key}"),
            (not secret.marker_known, "the marker was not read yet"),
            (secret.marker is None, "the secret has no marker yet"),
            (not agrees(secret.marker, holding), "the marker names another version"),
            (
                self._assurance is not None and self._assurance.lasts_s(now, self._limits) <= 0,
                "the last sweep is too long ago",
            ),
        )
        return next((reason for applies, reason in reasons if applies), None)

    # Under the lock

    def _find(self, secret_id: str, stage: str) -> tuple[_Secret, Holding] | None:
        secret = self._secrets.get(self._arns.get(secret_id, ""))
        holding = secret.holdings.get(stage) if secret is not None else None
        return (secret, holding) if secret is not None and holding is not None else None

    def _due(self, secret: _Secret, holding: Holding, now: Instant) -> bool:
        """Whether this holding is to be refreshed now."""
        if holding.pauses(now):
            return False
        if self._fresh_for_s(secret, holding, now, holding.generation) <= 0:
            return True
        if holding.generation == secret.generation:
            return False
        # Fresh, but invalidated: that alone makes it due only so often.
        return secret.forced is None or secret.forced.age_s(now) >= self._limits.min_refresh_interval_s

    def _fresh_for_s(
        self, secret: _Secret, holding: Holding, now: Instant, generation: int | None = None
    ) -> float:
        """For how long the holding is fresh, judged by this or else by the secret's own generation."""
        return fresh_for_s(
            holding,
            marker=secret.marker,
            assurance=self._assurance if secret.marker_known else None,
            generation=secret.generation if generation is None else generation,
            now=now,
            limits=self._limits,
        )

    def _serve(self, secret_id: str, secret: _Secret, holding: Holding, now: Instant) -> SecretVersion:
        """Hand out a version, through the hit path from now on if it stays fresh until the window ends."""
        version = _as_asked(holding.version, secret_id)
        fresh_s = self._fresh_for_s(secret, holding, now)
        # An invalidation makes a copy be asked for again, not unfit to be served until it is.
        is_old = self._fresh_for_s(secret, holding, now, holding.generation) <= 0
        if is_old and servable_for_s(holding, now, self._limits) <= 0:
            trouble = holding.trouble
            error = trouble.error if trouble is not None else UnavailableError
            raise error(secret_id, trouble.detail if trouble is not None else "its copy is too old")
        if now.wall_s + fresh_s >= self.window.closes_at:
            self.window.versions[hit_key(secret_id, holding.stage)] = version
        return version

    def _land(
        self, secret_id: str, secret: _Secret, holding: Holding, basis: Holding | None
    ) -> SecretVersion:
        """Keep what a read brought and serve what is held then.

        `basis` is what the read was judged against. If another read landed meanwhile, this one is
        judged again, against that one: it must not take the label back.
        """
        now, stage = self._now(), holding.stage
        current = secret.holdings.get(stage)
        if current is not None and current is not basis:
            again = Reading(lambda _: holding.version, holding.confirmed, holding.generation, self._limits)
            holding = refreshed(current, None, again)
        if self._secrets.get(secret.arn) is not secret:
            return _as_asked(holding.version, secret_id)
        self._drop_hits(secret, stage)
        secret.holdings[stage] = holding
        self._refusals.pop(hit_key(secret_id, stage), None)
        return self._serve(secret_id, secret, holding, now)

    def _secret_of(self, version: SecretVersion, asked_by: str) -> _Secret:
        """The secret of an answer, with the ids that the answer proves to be its own.

        A bare name is proved only by having been used: it means another secret in another account.
        """
        secret = self._secrets.pop(version.arn, None)
        if secret is None:
            key = secret_key(version.arn, version.name)
            secret = _Secret(version.arn, version.name, key, aliases={version.arn, key})
        proved = {secret.arn, secret.key, asked_by}
        if asked_by != secret.arn:
            secret.names.add(asked_by)
        for alias in proved:
            before = self._secrets.get(self._arns.get(alias, ""))
            if before is not None and before is not secret:
                self._drop_hits(before)
                before.aliases.discard(alias)
                before.names.discard(alias)
            self._arns[alias] = secret.arn
        secret.aliases |= proved
        self._secrets[secret.arn] = secret
        while len(self._secrets) > self._limits.max_secrets:
            self._forget_secret(next(iter(self._secrets.values())))
        return secret

    def _remove(self, secret: _Secret, held: Holding, error: SecretError) -> None:
        """This stage, or the whole secret, is gone; unless a newer read says otherwise."""
        if not isinstance(error, StageNotFoundError):
            self._forget_secret(secret)
        elif secret.holdings.get(held.stage) is held:
            self._drop_hits(secret, held.stage)
            del secret.holdings[held.stage]

    def _forget_secret(self, secret: _Secret) -> None:
        self._drop_hits(secret)
        if self._secrets.get(secret.arn) is secret:
            del self._secrets[secret.arn]
        for alias in secret.aliases:
            if self._arns.get(alias) == secret.arn:
                del self._arns[alias]

    def _drop_hits(self, secret: _Secret, *stages: str) -> None:
        for stage in stages or tuple(secret.holdings):
            for alias in secret.aliases:
                self.window.versions.pop(hit_key(alias, stage), None)

    def _remember_refusal(self, secret_id: str, stage: str, error: SecretError) -> None:
        if len(self._refusals) >= self._limits.max_secrets:
            self._refusals.clear()
        refusal = _Refusal(type(error), error.detail, error.advice, self._now())
        self._refusals[hit_key(secret_id, stage)] = refusal

    def _raise_refusal(self, secret_id: str, stage: str, now: Instant) -> None:
        refusal = self._refusals.get(hit_key(secret_id, stage))
        if refusal is not None and refusal.at.age_s(now) < self._limits.min_refresh_interval_s:
            raise refusal.error(secret_id, refusal.detail, advice=refusal.advice)

    def _now(self) -> Instant:
        return Instant(self._clock.wall(), self._clock.monotonic())


def _must_be_about(secret_id: str, version: SecretVersion) -> None:
    """An ARN, full or partial, is answered by its own secret or not at all."""
    if is_secret_arn(secret_id) and secret_id not in (version.arn, secret_key(version.arn, version.name)):
        raise SecretNotFoundError(secret_id, f"the answer was about {version.arn}")


def _as_asked(version: SecretVersion, secret_id: str) -> SecretVersion:
    """The version under the id that this caller used."""
    return version if version.secret_id == secret_id else replace(version, secret_id=secret_id)
