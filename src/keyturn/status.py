"""What `SecretCache.status()` answers: plain values, never a secret's."""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.freshness import Holding, Limits, agrees, bound_s, disputed
from keyturn.shelf import Secret
from keyturn.values import AWSPENDING, Instant
from keyturn.watch import TableView


@dataclass(frozen=True, slots=True)
class HeldStatus:
    """One stage of one secret as this process holds it.

    `age_s`: since the read that last confirmed it was begun. `covered`: whether the marker table
    would tell of a change, and `why` (not). `bound_s`: how old what is served can be at worst.
    `last_error`: why the last refresh failed, None after a success.
    """

    secret_ids: tuple[str, ...]
    arn: str
    name: str
    stage: str
    version_id: str
    age_s: float
    covered: bool
    why: str
    bound_s: float
    last_error: str | None


@dataclass(frozen=True, slots=True)
class TableStatus:
    """The marker table as this process last saw it.

    `checked_age_s`: since the last good check; `swept_age_s`: how far the sweep's word was behind
    at that check. None: never, or no table is used.
    """

    used: bool
    checked_age_s: float | None
    swept_age_s: float | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """Everything held, by ARN and stage, and the table."""

    secrets: tuple[HeldStatus, ...]
    table: TableStatus


def table_status(view: TableView | None, now: Instant) -> TableStatus:
    """The table's part; `view` is None where no table is used."""
    if view is None:
        return TableStatus(used=False, checked_age_s=None, swept_age_s=None, trouble=None)
    assurance = view.assurance
    return TableStatus(
        used=True,
        checked_age_s=assurance.checked.age_s(now) if assurance is not None else None,
        swept_age_s=assurance.swept_s() if assurance is not None else None,
        trouble=view.trouble,
    )


def held_status(
    secret: Secret, holding: Holding, view: TableView | None, now: Instant, limits: Limits
) -> HeldStatus:
    """One stage's part."""
    obstacle = _uncovered_because(secret, holding, view, now, limits)
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
        bound_s=held_bound_s(secret, holding, view, now, limits),
        last_error=f"{trouble.error.__name__}: {trouble.detail}" if trouble else None,
    )


def held_bound_s(
    secret: Secret, holding: Holding, view: TableView | None, now: Instant, limits: Limits
) -> float:
    """How old, in seconds, what is served of this stage can be at worst.

    The long bound holds a little longer than the cover: while the table is in trouble its last word is
    trusted for a short TTL, and a copy whose marker has just moved is served until the first answer.
    """
    obstacle = _uncovered_because(secret, holding, view, now, limits)
    trusted = obstacle is None or (view is not None and obstacle == view.trouble)
    has_moved = view is not None and disputed(view.marker(secret.key), holding)
    return bound_s(holding, covered=trusted or has_moved, limits=limits)


def _uncovered_because(
    secret: Secret, holding: Holding, view: TableView | None, now: Instant, limits: Limits
) -> str | None:
    """The first reason for the short TTL, or None when the long one is in force."""
    if holding.stage == AWSPENDING:
        return "AWSPENDING is always read from Secrets Manager"
    if view is None:
        return "no marker table is used"
    if view.trouble is not None:
        return view.trouble
    if view.assurance is None:
        return "the table was not checked yet"
    if view.is_denied(secret.key, now, limits):
        return f"the marker may not be read: {secret.key}"
    if secret.key not in view.known:
        return "the marker was not read yet"
    if view.marker(secret.key) is None:
        return "the secret has no marker yet"
    if not agrees(view.marker(secret.key), holding):
        return "the marker names another version"
    if view.assurance.lasts_s(now, limits) <= 0:
        return "the last sweep is too long ago"
    return None
