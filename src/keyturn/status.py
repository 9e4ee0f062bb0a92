"""What `SecretCache.status()` answers: plain values, never a secret's."""

from __future__ import annotations

from dataclasses import dataclass


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
