"""Decide what to ask Secrets Manager for, and what to believe of its answers.

A marker says where to look; only an answer of Secrets Manager is believed, and even that not at
once when it takes a label back to a version that it left, or to one created earlier: reads are
eventually consistent, so such an answer counts when it is given twice, a settle time apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keyturn.cache.freshness import disputed, names_held_version, only_hints
from keyturn.cache.held import Dispute, Doubt, HeldStage, Trouble
from keyturn.cache.limits import Limits
from keyturn.errors import (
    AccessDeniedError,
    DecryptionError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
)
from keyturn.model.instant import Instant
from keyturn.model.markers import Marker
from keyturn.model.versions import AWSPENDING, SecretVersion

ASKS_PER_MARKER_MAX = 6
"""How often one marker that disagrees with Secrets Manager is followed before it counts as behind."""

FIRST_PAUSE_S = 0.25
"""Pauses double from here: 6 asks span 7.75 s, longer than the settle time seen in the field (5 s)."""

GONE = (SecretNotFoundError, SecretDeletedError, StageNotFoundError)
"""Answers that say that the copy must not be served any more."""

DENIED = (AccessDeniedError, DecryptionError)
"""Answers that may be a revocation: the copy is served for `max_denied_s` only."""


class Asked(NamedTuple):
    """One refresh: when it was begun, of which generation, and within which limits it is judged."""

    begun: Instant
    generation: int
    limits: Limits


def version_to_pin(held: HeldStage, marker: Marker | None, limits: Limits) -> str | None:
    """Return the version to read by its id, or None to read by stage; one pinned read per marker.

    A cache behind the source repeats what it said of the stage, but asked for a version it has to
    ask: there every read that follows a marker is pinned. A read that failed may have failed because of the
    marker's version, so the next one is by stage.
    """
    if marker is None or marker.deleted or marker.arn != held.version.arn or not disputed(marker, held):
        return None
    if held.trouble is not None:
        return None
    followed = held.dispute is not None and held.dispute.marker == marker and not limits.source_ttl_s
    wanted = marker.stages.get(held.stage)
    return None if followed or wanted in held.left else wanted


def after_pinned(held: HeldStage, pinned: SecretVersion | None, asked: Asked) -> HeldStage | None:
    """Return what to hold after a read of the marker's version, or None if the stage has to be read too."""
    if pinned is None or not _is_news(pinned, held):
        return None
    return held.moved_to(pinned, asked.begun, asked.generation)


def after_answer(
    held: HeldStage,
    marker: Marker | None,
    answer: SecretVersion,
    asked: Asked,
    pinned: SecretVersion | None = None,
) -> HeldStage:
    """Return what to hold after an answer by stage; `pinned` is what a read by the marker's version gave.

    The answer may be of another secret (another ARN) when the name was given to a new one.
    """
    if answer.identity == held.version.identity and not held.goes_back(answer):
        confirmed = held.confirmed_by(answer, asked.begun, asked.generation)
        return _still_disputed(confirmed, marker, pinned, asked)
    if held.goes_back(answer):
        return _doubted(held, answer, asked)
    moved = held.moved_to(answer, asked.begun, asked.generation)
    if marker is None or moved.version.arn != held.version.arn:
        return moved
    if only_hints(marker, held):
        if _is_older_than(marker, moved, asked.limits):
            # Of two events one is known, and this is what the first one told of: the second's is to come.
            return _asked_again(moved, marker, 1, asked)
        return moved._replace(dispute=Dispute(marker, 1, settled=True))
    # If the marker agreed with what was held, it is behind: unless it has seen this version leave.
    behind = names_held_version(marker, held) and moved.version.version_id not in marker.left
    return moved._replace(dispute=Dispute(marker, 1, settled=True)) if behind else moved


def as_landed(held: HeldStage, before: HeldStage | None, now: Instant, limits: Limits) -> HeldStage:
    """Return the copy as of the moment at which its answer has come: a read that hung is noted.

    Such an answer may be true of any moment until then. It came late if no caller waited for it any more.
    An answer that confirmed nothing leaves the copy as it was `before`.
    """
    took_s = now.monotonic_s - held.confirmed.monotonic_s
    is_news = before is None or held.confirmed is not before.confirmed
    return held._replace(came=now) if is_news and took_s > limits.refresh_wait_s else held


def failed(held: HeldStage, error: SecretError, now: Instant, pause_s: float) -> HeldStage:
    """Return the copy after a refresh that failed without saying that the secret is gone."""
    before = held.trouble
    denied_since = before.denied_since if before else None
    if denied_since is None and isinstance(error, DENIED):
        denied_since = now
    failures = before.failures + 1 if before else 1
    trouble = Trouble(type(error), error.detail, failures, denied_since, error.advice)
    return held._replace(trouble=trouble).paused_for(pause_s, now)


def backoff_s(failures: int, *, first_s: float, longest_s: float, random: Callable[[], float]) -> float:
    """Return a pause with full jitter: uniform between 0 and `first_s` doubled per failure, capped."""
    return random() * min(longest_s, first_s * 2.0 ** min(failures, 32))


def paced(
    held: HeldStage,
    checked: Instant,
    now: Instant,
    *,
    pace_s: float,
    lasts_s: float,
    random: Callable[[], float],
) -> HeldStage:
    """Return the copy after a marker that tells of a new version; a fleet spreads its reads over `pace_s`.

    That time begins with the check before, at `checked`: a process that was idle since then for longer reads
    at once. So does one whose login was refused. Who writes the head chooses the pace, so a copy is not put
    off for longer than `lasts_s`: for how long it would have lasted without that marker.
    """
    pause_s = min((pace_s - checked.age_s(now)) * random(), lasts_s)
    return held.paused_for(pause_s, now) if pause_s > 0 and not held.pauses(now) else held


def _says_so(pinned: SecretVersion, held: HeldStage) -> bool:
    """Return True if the answer itself says that it is of this secret and under this stage."""
    return held.stage in pinned.stages and pinned.arn == held.version.arn


def _is_news(pinned: SecretVersion, held: HeldStage) -> bool:
    """Return True if the label is on a version that it was not on before."""
    is_other = pinned.identity != held.version.identity
    return is_other and _says_so(pinned, held) and not held.goes_back(pinned)


def _still_disputed(
    held: HeldStage, marker: Marker | None, pinned: SecretVersion | None, asked: Asked
) -> HeldStage:
    """Return the confirmed copy, and settle whether the marker is behind or the answer may be old.

    A pinned version that is neither under this stage nor pending has lost the label: the marker is
    behind. It is, too, where a later version than the pinned one is answered: the number of a
    parameter's version only grows. Else nobody can tell yet, so ask again, a bounded number of times.
    """
    if marker is None or not disputed(marker, held):
        return held
    before = held.dispute
    times = before.asked + 1 if before is not None and before.marker == marker else 1
    has_left = pinned is not None and (not _says_so(pinned, held) or pinned.identity == held.version.identity)
    behind = has_left and pinned is not None and AWSPENDING not in pinned.stages
    settled = behind or times >= ASKS_PER_MARKER_MAX
    if settled:
        return held._replace(dispute=Dispute(marker, times, settled=True))
    return _asked_again(held, marker, times, asked)


def _asked_again(held: HeldStage, marker: Marker, times: int, asked: Asked) -> HeldStage:
    """Return the copy with a pause until it is read again because of this marker; each pause is longer."""
    told = held._replace(dispute=Dispute(marker, times, settled=False))
    return told.paused_for(FIRST_PAUSE_S * 2.0 ** (times - 1), asked.begun)


def _is_older_than(marker: Marker, held: HeldStage, limits: Limits) -> bool:
    """Return True if this version was made well before the event that the marker hints at (AWS's clocks)."""
    made_s = held.version.created_s
    return made_s is not None and made_s < marker.changed_at_s - limits.settle_s


def _doubted(held: HeldStage, answer: SecretVersion, asked: Asked) -> HeldStage:
    """Return the copy after an answer that takes the label back: that counts when it is said twice."""
    doubt, lag_s, pause_s = held.doubt, asked.limits.answer_lag_s, asked.limits.settle_s
    if _outlived(held, asked):
        return held.moved_to(answer, asked.begun, asked.generation)
    held = _rebased(held, asked.begun)
    if doubt is None or not doubt.is_about(answer):
        doubt = Doubt(answer, asked.begun)
        return held._replace(doubt=doubt).paused_for(pause_s, asked.begun)
    seen = held.came or held.confirmed
    doubted_s = asked.begun.monotonic_s - max(doubt.since.monotonic_s, seen.monotonic_s)
    if doubted_s >= lag_s:
        return held.moved_to(answer, asked.begun, asked.generation)
    # While a cache behind the source repeats itself, the next marker must not wait for it to end.
    return held.paused_for(min(pause_s, lag_s - doubted_s), asked.begun)


def _rebased(held: HeldStage, now: Instant) -> HeldStage:
    """Return the copy with its age by the monotonic clock if the wall clock was set back: it is served on."""
    then = held.confirmed
    if now.wall_s >= then.wall_s:
        return held
    passed_s = now.monotonic_s - then.monotonic_s
    return held._replace(confirmed=Instant(now.wall_s - passed_s, then.monotonic_s))


def _outlived(held: HeldStage, asked: Asked) -> bool:
    """Return True if the copy was confirmed longer ago than any answer can be old: no reason to doubt.

    By the monotonic clock, since a wall clock that is set proves nothing; but a freeze may stop that
    one, so a copy that is past the short TTL by the wall clock counts as well.
    """
    now, then, limits = asked.begun, held.came or held.confirmed, asked.limits
    passed_s, wall_s = now.monotonic_s - then.monotonic_s, now.wall_s - then.wall_s
    return passed_s >= 2 * limits.answer_lag_s or wall_s >= max(
        2 * limits.answer_lag_s, limits.uncovered_ttl_s
    )
