"""How long a copy may be served: pure decisions over instants, markers and the head.

Each of three questions has one function:

- `fresh_for_s`: how long is this copy fresh, if the marker does not move?
- `servable_for_s`: how long may it be served although it is not fresh, while its refresh fails or goes on?
- `bound_s`: how old can the served copy be at worst? `status()` shows that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from keyturn.cache.held import HeldStage
from keyturn.cache.limits import LONGEST_S, Limits
from keyturn.model.instant import Instant
from keyturn.model.markers import Head, Marker
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion

HTTP_DATE_RESOLUTION_S = 1.0
"""An HTTP `Date` is cut to whole seconds, so an age measured with it may be this much too small."""


class Assurance(NamedTuple):
    """The last good check of the table: what the head said, and when the check was begun."""

    head: Head
    checked: Instant

    def lasts_s(self, now: Instant, limits: Limits) -> float:
        """Return how long from `now` a marker that agrees still covers a copy; 0 or less: not at all.

        The sweep's lease runs out by the table's own clock. If the table stops answering, the last good
        check counts for one short TTL.
        """
        swept_age_s = self.head.swept_age_s
        if swept_age_s is None or swept_age_s < 0:
            return 0.0
        since_check_s = self.checked.age_s(now)
        lease_left_s = limits.lease_s * limits.spread - swept_age_s - HTTP_DATE_RESOLUTION_S - since_check_s
        return min(lease_left_s, limits.uncovered_ttl_s * limits.spread - since_check_s)


class Evidence(NamedTuple):
    """What the cache and the marker know of a rotation that may be under way.

    `moving`: a version other than the current one is pending, or the marker and Secrets Manager disagree.
    `pending_is_set`: the rotation announced that the server already takes the pending version. `doubted`: a
    version that AWSCURRENT may be back on.
    """

    moving: bool = False
    pending_is_set: bool = False
    doubted: SecretVersion | None = None


STEPS_AFTER_SET = ("setSecret", "testSecret")
"""Announced steps after which the server takes the pending version, and AWSCURRENT is still the old one."""


def evidence_of(stages: Mapping[str, HeldStage], marker: Marker | None) -> Evidence:
    """Return what the copies of one secret and its marker say of a rotation that may be under way."""
    current = stages.get(AWSCURRENT)
    if current is None:
        return Evidence()
    pending, previous = stages.get(AWSPENDING), stages.get(AWSPREVIOUS)
    told = marker.stages.get(AWSPENDING) if marker is not None else None
    known = {told, pending.version.version_id if pending is not None else None}
    is_pending = bool(known - {None, current.version.version_id})
    # AWSCURRENT moved between two reads: it was seen before, AWSPREVIOUS after.
    has_crossed = previous is not None and previous.version.identity == current.version.identity
    return Evidence(
        moving=is_pending or has_crossed or disputed(marker, current),
        pending_is_set=is_pending and marker is not None and marker.step in STEPS_AFTER_SET,
        doubted=current.doubt.version if current.doubt is not None else None,
    )


def names_held_version(marker: Marker | None, held: HeldStage) -> bool:
    """Return True if the marker names the very version that is held under this stage."""
    return (
        marker is not None
        and not marker.deleted
        and marker.arn == held.version.arn
        and marker.stages.get(held.stage) == held.version.version_id
    )


def only_hints(marker: Marker, held: HeldStage) -> bool:
    """Return True if the marker says that something happened, but no version: a parameter's event."""
    return marker.token is not None and held.stage not in marker.stages


def predates(marker: Marker, held: HeldStage, assurance: Assurance, limits: Limits) -> bool:
    """Return True if the marker only hints at an event that was over when this copy was read.

    The event's age is measured by the clocks of AWS's hosts (the listener's, and the table's `Date`),
    the copy's by durations of this host: what this host's clock says does not count.
    """
    answered_at_s = assurance.head.answered_at_s
    if answered_at_s is None or not only_hints(marker, held) or not disputed(marker, held):
        return False
    margin_s = limits.settle_s + HTTP_DATE_RESOLUTION_S
    return held.confirmed.age_s(assurance.checked) + margin_s < answered_at_s - marker.changed_at_s


def brought(marker: Marker, before: HeldStage, after: HeldStage) -> bool:
    """Return True if this marker caused AWSCURRENT to be held at another version than before."""
    has_moved = after.stage == AWSCURRENT and after.version.identity != before.version.identity
    told = names_held_version(marker, after) or only_hints(marker, after)
    return has_moved and told and disputed(marker, before)


def since_marker_s(marker: Marker, assurance: Assurance, now: Instant) -> float | None:
    """Return how many seconds before `now` the marker was written; None where that is unknown.

    By the clocks of AWS's hosts (the writer's, and the table's `Date` at the last good check) and, since
    that check, by durations of this host. The `Date` is cut to whole seconds: up to 1 s too little.
    """
    answered_at_s = assurance.head.answered_at_s
    since_check_s = assurance.checked.age_s(now)
    if answered_at_s is None or not marker.changed_at_s or since_check_s > LONGEST_S:
        return None
    return max(0.0, answered_at_s - marker.changed_at_s + since_check_s)


def disputed(marker: Marker | None, held: HeldStage) -> bool:
    """Return True if the marker is a reason to ask Secrets Manager that was not yet followed to its end.

    AWSPENDING is never disputed: no event announces its every move, so it is read anew anyway. Nor is
    a parameter's version by its number, which names itself.
    """
    if marker is None or names_held_version(marker, held):
        return False
    if held.stage in (AWSPENDING, held.version.version_id):
        return False
    dispute = held.dispute
    return dispute is None or dispute.marker != marker or not dispute.settled


def fresh_for_s(
    held: HeldStage,
    *,
    marker: Marker | None,
    assurance: Assurance | None,
    generation: int,
    now: Instant,
    limits: Limits,
    is_followed: bool,
) -> float:
    """Return for how many seconds from `now` the copy is fresh; 0 or less: refresh it.

    `is_followed`: whether a marker that disagrees may cause a read; see `Allowance`.
    """
    is_disputed = is_followed and disputed(marker, held)
    if held.generation != generation or is_disputed or held.is_denied:
        return 0.0
    age_s = held.confirmed.age_s(now)
    if held.stage == AWSPENDING:
        return min(limits.check_interval_s, limits.uncovered_ttl_s) - age_s
    short_s = limits.uncovered_ttl_s * limits.spread - age_s
    if assurance is None or not names_held_version(marker, held):
        return short_s
    return max(short_s, min(limits.covered_ttl_s - age_s, assurance.lasts_s(now, limits)))


def servable_for_s(held: HeldStage, now: Instant, limits: Limits) -> float:
    """Return for how many seconds from `now` the copy may be served without being fresh."""
    left_s = limits.max_stale_s - held.confirmed.age_s(now)
    trouble = held.trouble
    if trouble is None or trouble.denied_since is None:
        return left_s
    return min(left_s, limits.max_denied_s - trouble.denied_since.age_s(now))


def bound_s(held: HeldStage, *, covered: bool, limits: Limits, is_resting: bool) -> float:
    """Return the worst age, in seconds, that the served copy of this stage can reach as things stand.

    Worst means: no event arrives, the sweep is wrong, the marker is forged. Added to the TTL in
    force: one check interval (a wall clock set back inside the hit window can double that window),
    the time for which the source may answer with the past, and as much again when the label went
    back to a version that it had left. The duration of a call in flight comes on top. After a refresh that
    failed, and while the service does not answer in time (`is_resting`), it is `max_stale_s`.
    """
    ttl_s = limits.covered_ttl_s if covered else limits.uncovered_ttl_s
    if held.stage == AWSPENDING:
        ttl_s = limits.check_interval_s
    if held.trouble is not None or is_resting:
        ttl_s = max(ttl_s, limits.max_stale_s)
    return ttl_s + limits.check_interval_s + 2 * limits.answer_lag_s
