"""How long a held version may be served: pure decisions over instants, markers and the head.

Three questions, each one function:

- `fresh_for_s`: for how long is this holding fresh, if nothing else is heard?
- `servable_for_s`: for how long may it be served although it is not fresh (its refresh failed or flies)?
- `bound_s`: how old can what is served be, at worst? `status()` shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple

from keyturn.errors import ConfigurationError
from keyturn.values import AWSCURRENT, AWSPENDING, LEFT_MAX, Head, Instant, Marker, SecretVersion

HTTP_DATE_RESOLUTION_S = 1.0
"""An HTTP `Date` is cut to whole seconds, so an age measured with it may be this much too small."""

LONGEST_S = 1e9
"""No duration is longer than this: some 30 years."""

REPORT_TTL_MIN_S, REPORT_TTL_MAX_S = 60.0, 86_400.0
"""A shorter one costs a write each half minute; a longer one counts the dead of yesterday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every duration of the cache, in seconds, and its size.

    `source_ttl_s`: how long a cache behind the source answers with the past.
    `spread` (0.8 to 1, drawn once per process) shortens the short TTL and the lease, so that a fleet
    that loses its table does not turn to Secrets Manager in one moment.
    `report_ttl_s`: for how long a report to the convergence table counts.
    """

    check_interval_s: float = 5.0
    covered_ttl_s: float = 3600.0
    uncovered_ttl_s: float = 300.0
    lease_s: float = 1260.0
    max_stale_s: float = 21600.0
    max_denied_s: float = 300.0
    settle_s: float = 6.0
    source_ttl_s: float = 0.0
    min_refresh_interval_s: float = 1.0
    max_backoff_s: float = 60.0
    max_secrets: int = 1024
    report_ttl_s: float = 900.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigurationError(f"{limit.name} is a {type(value).__name__}, not a number")
            if not 0 <= value <= LONGEST_S:
                raise ConfigurationError(f"{limit.name} is out of range: it must be 0 to {LONGEST_S:g}")
        if self.check_interval_s <= 0:
            raise ConfigurationError("check_interval_s must be above 0; 1 is a good smallest value")
        if not (isinstance(self.max_secrets, int) and self.max_secrets >= 1):
            raise ConfigurationError(
                f"max_secrets is {self.max_secrets!r}; it must be a whole number above 0"
            )
        if not REPORT_TTL_MIN_S <= self.report_ttl_s <= REPORT_TTL_MAX_S:
            raise ConfigurationError(
                f"report_ttl_s is {self.report_ttl_s}; "
                f"it must be {REPORT_TTL_MIN_S:g} to {REPORT_TTL_MAX_S:g}"
            )
        if self.covered_ttl_s < self.uncovered_ttl_s:
            raise ConfigurationError(
                f"covered_ttl_s ({self.covered_ttl_s}) is below uncovered_ttl_s ({self.uncovered_ttl_s}): "
                "a secret with a marker needs the longer one"
            )

    def spread_by(self, random: Callable[[], float]) -> Limits:
        """The same with another `spread`."""
        return replace(self, spread=1.0 - 0.2 * random())

    @property
    def lag_s(self) -> float:
        """For how long an answer may show the past: Secrets Manager's delay and that of a cache before it."""
        return self.settle_s + self.source_ttl_s


DEFAULTS: Final = Limits()
"""What is in force where nothing else was asked for: the one place where these numbers are written."""


class Assurance(NamedTuple):
    """The last good check of the table: what the head said, and when the check was begun."""

    head: Head
    checked: Instant

    def swept_s(self) -> float | None:
        """How far the sweep's word was behind at that check, by the table's clock; None: no word."""
        if self.head.swept_as_of_s is None or self.head.answered_at_s is None:
            return None
        return self.head.answered_at_s - self.head.swept_as_of_s

    def lasts_s(self, now: Instant, limits: Limits) -> float:
        """For how long from `now` a marker that agrees still covers a holding; 0 or less: not at all.

        The sweep's lease runs out by the table's own clock; a table that stopped answering is
        trusted for one short TTL from the last good check.
        """
        swept_s = self.swept_s()
        if swept_s is None or swept_s < 0:
            return 0.0
        since_check_s = self.checked.age_s(now)
        lease_left_s = limits.lease_s * limits.spread - swept_s - HTTP_DATE_RESOLUTION_S - since_check_s
        return min(lease_left_s, limits.uncovered_ttl_s * limits.spread - since_check_s)


class Doubt(NamedTuple):
    """A label was once read as being back on a version that it had left: perhaps an old answer."""

    version: SecretVersion
    since: Instant

    def is_about(self, version: SecretVersion) -> bool:
        """Whether this answer repeats the doubtful one."""
        return self.version.identity == version.identity


class Dispute(NamedTuple):
    """This marker disagrees with what Secrets Manager says; `asked` counts how often it was asked."""

    marker: Marker
    asked: int
    settled: bool


class Trouble(NamedTuple):
    """Why the last refreshes failed. `denied_since`: the first refusal that no success followed."""

    error: type[Exception]
    detail: str
    failures: int
    denied_since: Instant | None


class Holding(NamedTuple):
    """One stage of one secret as this process holds it; replaced as a whole, never changed.

    `confirmed`: when the read was begun that last said "this version is on this stage".
    `generation`: the secret's generation at that moment; an invalidation moves the secret's own.
    `left`: versions this label was seen to leave, oldest first.
    `pause_s`, from `paused`: no refresh before that.
    """

    stage: str
    version: SecretVersion
    confirmed: Instant
    generation: int = 0
    left: tuple[str, ...] = ()
    doubt: Doubt | None = None
    dispute: Dispute | None = None
    trouble: Trouble | None = None
    paused: Instant | None = None
    pause_s: float = 0.0

    def goes_back(self, version: SecretVersion) -> bool:
        """Whether this version would take the label back: to one that it left, or to an older one."""
        if self.stage == AWSPENDING:
            return False
        mine, other = self.version.created_s, version.created_s
        was_left = version.arn == self.version.arn and version.version_id in self.left
        return was_left or (mine is not None and other is not None and other < mine)

    def moved_to(self, version: SecretVersion, begun: Instant, generation: int) -> Holding:
        """The label is on another version now, or the name on another secret."""
        if version.arn != self.version.arn:
            return Holding(self.stage, version, begun, generation)
        left = (*(old for old in self.left if old != version.version_id), self.version.version_id)
        return Holding(self.stage, version, begun, generation, left[-LEFT_MAX:])

    def confirmed_by(self, version: SecretVersion, begun: Instant, generation: int) -> Holding:
        """Secrets Manager says that the label is where it was."""
        return self._replace(
            version=version,
            confirmed=max(self.confirmed, begun, key=lambda instant: instant.monotonic_s),
            generation=generation,
            doubt=None,
            trouble=None,
            paused=None,
        )

    def paused_for(self, pause_s: float, now: Instant) -> Holding:
        return self._replace(paused=now, pause_s=pause_s)

    @property
    def is_denied(self) -> bool:
        """Whether a refresh was denied and none has succeeded since: no marker makes up for that."""
        return self.trouble is not None and self.trouble.denied_since is not None

    def pauses(self, now: Instant) -> bool:
        """Whether the next refresh has to wait."""
        return self.paused is not None and self.paused.age_s(now) < self.pause_s


class Evidence(NamedTuple):
    """What the cache and the marker know of a rotation that may be under way.

    `mark` changes with the marker. `moving`: a version other than the current one is pending, or the
    marker and Secrets Manager disagree. `pending_is_set`: the rotation announced that the server
    already takes the pending version. `doubted`: a version that AWSCURRENT may be back on.
    """

    mark: tuple[str, int] | None = None
    moving: bool = False
    pending_is_set: bool = False
    doubted: SecretVersion | None = None


def agrees(marker: Marker | None, holding: Holding) -> bool:
    """Whether the marker names the very version that is held under this stage."""
    return (
        marker is not None
        and not marker.deleted
        and marker.arn == holding.version.arn
        and marker.stages.get(holding.stage) == holding.version.version_id
    )


def only_hints(marker: Marker, holding: Holding) -> bool:
    """Whether the marker says that something happened, but nothing of this stage: a parameter's event."""
    return marker.token is not None and holding.stage not in marker.stages


def predates(marker: Marker, holding: Holding, assurance: Assurance, limits: Limits) -> bool:
    """Whether the marker only hints at an event that was long over when this copy was read.

    The event's age is measured by the clocks of AWS's hosts (the listener's, and the table's `Date`),
    the copy's by durations of this host: what this host's clock says does not count.
    """
    answered_at_s = assurance.head.answered_at_s
    if answered_at_s is None or not only_hints(marker, holding) or not disputed(marker, holding):
        return False
    margin_s = limits.settle_s + HTTP_DATE_RESOLUTION_S
    return holding.confirmed.age_s(assurance.checked) + margin_s < answered_at_s - marker.changed_at_s


def brought(marker: Marker, before: Holding, after: Holding) -> bool:
    """Whether it was because of this marker that AWSCURRENT is held at another version than before."""
    has_moved = after.stage == AWSCURRENT and after.version.identity != before.version.identity
    told = agrees(marker, after) or only_hints(marker, after)
    return has_moved and told and disputed(marker, before)


def lag_s(marker: Marker, assurance: Assurance, now: Instant) -> float | None:
    """How long before `now` the marker was written, in seconds; None where nobody can tell.

    By the clocks of AWS's hosts (the writer's, and the table's `Date` at the last good check) and, since
    that check, by durations of this host. The `Date` is cut to whole seconds: up to 1 s too little.
    """
    answered_at_s = assurance.head.answered_at_s
    since_check_s = assurance.checked.age_s(now)
    if answered_at_s is None or not marker.changed_at_s or since_check_s > LONGEST_S:
        return None
    return max(0.0, answered_at_s - marker.changed_at_s + since_check_s)


def disputed(marker: Marker | None, holding: Holding) -> bool:
    """Whether the marker is a reason to ask Secrets Manager that was not yet followed to its end.

    AWSPENDING is never disputed: no event announces its every move, so it is read anew anyway. Nor is
    a parameter's version by its number, which names itself.
    """
    if marker is None or agrees(marker, holding):
        return False
    if holding.stage in (AWSPENDING, holding.version.version_id):
        return False
    dispute = holding.dispute
    return dispute is None or dispute.marker != marker or not dispute.settled


def fresh_for_s(
    holding: Holding,
    *,
    marker: Marker | None,
    assurance: Assurance | None,
    generation: int,
    now: Instant,
    limits: Limits,
) -> float:
    """For how many seconds from `now` the holding is fresh; 0 or less: refresh it."""
    if holding.generation != generation or disputed(marker, holding) or holding.is_denied:
        return 0.0
    age_s = holding.confirmed.age_s(now)
    if holding.stage == AWSPENDING:
        return min(limits.check_interval_s, limits.uncovered_ttl_s) - age_s
    short_s = limits.uncovered_ttl_s * limits.spread - age_s
    if assurance is None or not agrees(marker, holding):
        return short_s
    return max(short_s, min(limits.covered_ttl_s - age_s, assurance.lasts_s(now, limits)))


def servable_for_s(holding: Holding, now: Instant, limits: Limits) -> float:
    """For how many seconds from `now` the holding may be served without being fresh."""
    left_s = limits.max_stale_s - holding.confirmed.age_s(now)
    trouble = holding.trouble
    if trouble is None or trouble.denied_since is None:
        return left_s
    return min(left_s, limits.max_denied_s - trouble.denied_since.age_s(now))


def bound_s(holding: Holding, *, covered: bool, limits: Limits) -> float:
    """The worst age, in seconds, of what is served under this stage, as things stand.

    Worst means: no event arrives, the sweep is wrong, the marker is forged. Added to the TTL in
    force: one check interval (a wall clock set back inside the hit window can double that window),
    the time for which the source may answer with the past, and as much again when the label went
    back to a version that it had left. The duration of a call in flight comes on top.
    """
    ttl_s = limits.covered_ttl_s if covered else limits.uncovered_ttl_s
    if holding.stage == AWSPENDING:
        ttl_s = limits.check_interval_s
    if holding.trouble is not None:
        ttl_s = max(ttl_s, limits.max_stale_s)
    return ttl_s + limits.check_interval_s + 2 * limits.lag_s
