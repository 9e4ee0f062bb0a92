"""The tuning values of a cache: durations in seconds, and sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

from keyturn.errors import ConfigurationError
from keyturn.model.table_names import check_table

LONGEST_S = 1e9
"""No duration is longer than this: some 30 years."""

REPORT_TTL_S = 900.0
"""How long a report counts unless told otherwise."""

REPORT_TTL_MIN_S, REPORT_TTL_MAX_S = 60.0, 86_400.0
"""A shorter TTL costs a write each half minute; a longer one counts the processes of yesterday."""

REPORT_LABEL_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every duration of a cache, in seconds, and its size.

    Args:
        check_interval_s: the marker table is read at most once per interval. A rotation is noticed
            within one interval of its marker.
        covered_ttl_s: a copy is read again after this time although its marker agrees.
        uncovered_ttl_s: the same where no marker speaks for the copy.
        lease_s: how long after the sweep's last word markers count as complete.
        max_stale_s: how long a known version is served while Secrets Manager does not answer.
        max_denied_s: the same while Secrets Manager denies access or cannot decrypt.
        settle_s: how long an answer of Secrets Manager may show the past.
        min_refresh_interval_s: at most one refresh per stage and interval that `invalidate` caused.
        max_backoff_s: the longest pause between two tries of a refresh that fails.
        refresh_wait_s: how long a caller waits for a refresh while there is a copy that may be served.
        cold_wait_s: how long a caller waits for a read where there is no such copy.
        max_unused_s: a copy that no caller has asked for in this time is not refreshed in the background.
        max_secrets: how many secrets, and how many parameters, are held at most.
        source_ttl_s: how long a cache behind the source answers with the past. Set by keyturn.
        spread: 0.8 to 1, drawn once per process. It shortens the short TTL and the lease, so that a
            fleet that loses its table does not turn to Secrets Manager in one moment. Set by keyturn.

    Raises `ConfigurationError` for a value that cannot work.
    """

    check_interval_s: float = 5.0
    covered_ttl_s: float = 3600.0
    uncovered_ttl_s: float = 300.0
    lease_s: float = 1260.0
    max_stale_s: float = 21600.0
    max_denied_s: float = 300.0
    settle_s: float = 6.0
    min_refresh_interval_s: float = 1.0
    max_backoff_s: float = 60.0
    refresh_wait_s: float = 1.0
    cold_wait_s: float = 10.0
    max_unused_s: float = 3600.0
    max_secrets: int = 1024
    source_ttl_s: float = 0.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        _require_number("check_interval_s", self.check_interval_s)
        if not 0 < self.check_interval_s <= LONGEST_S:
            raise ConfigurationError(
                f"check_interval_s is out of range: it must be above 0, at most {LONGEST_S:g}; 1 is a good "
                "smallest value"
            )
        _require_number("max_secrets", self.max_secrets)
        if not (isinstance(self.max_secrets, int) and 1 <= self.max_secrets <= LONGEST_S):
            raise ConfigurationError(
                f"max_secrets is {self.max_secrets!r}; it must be a whole number above 0, at most "
                f"{LONGEST_S:g}"
            )
        for limit in fields(self):
            require_duration(limit.name, getattr(self, limit.name))
        if self.covered_ttl_s < self.uncovered_ttl_s:
            raise ConfigurationError(
                f"covered_ttl_s ({self.covered_ttl_s}) is below uncovered_ttl_s ({self.uncovered_ttl_s}): "
                "a copy that its marker covers needs the longer time"
            )

    def spread_by(self, random: Callable[[], float]) -> Limits:
        """Return the same limits with another `spread`."""
        return replace(self, spread=1.0 - 0.2 * random())

    @property
    def answer_lag_s(self) -> float:
        """How long an answer may show the past: Secrets Manager's delay and that of a cache before it."""
        return self.settle_s + self.source_ttl_s


@dataclass(frozen=True, slots=True)
class Reporting:
    """Where and how a cache reports which versions it holds.

    Args:
        table: name or ARN of the convergence table.
        label: what kind of environment this is, at most 128 characters; by default the name of the
            Lambda function.
        ttl_s: how many seconds a report counts, 60 to 86400. It is made again after half of that.

    Raises `ConfigurationError` for a value that cannot work.
    """

    table: str
    label: str | None = None
    ttl_s: float = REPORT_TTL_S

    def __post_init__(self) -> None:
        if not isinstance(self.table, str) or not self.table:
            raise ConfigurationError("convergence_table is empty; give the table's name or ARN, or None")
        check_table(self.table, "convergence_table")
        if self.label is not None and not (
            isinstance(self.label, str) and 1 <= len(self.label) <= REPORT_LABEL_LENGTH_MAX
        ):
            raise ConfigurationError(
                f"report_label must be text of 1 to {REPORT_LABEL_LENGTH_MAX} characters, or None"
            )
        require_duration("report_ttl_s", self.ttl_s)
        if not REPORT_TTL_MIN_S <= self.ttl_s <= REPORT_TTL_MAX_S:
            raise ConfigurationError(
                f"report_ttl_s is {self.ttl_s}; it must be {REPORT_TTL_MIN_S:g} to {REPORT_TTL_MAX_S:g}"
            )


def require_duration(name: str, value: object) -> None:
    """Raise `ConfigurationError` for an argument of this name that is no number of seconds, 0 or more."""
    if not 0 <= _require_number(name, value) <= LONGEST_S:
        raise ConfigurationError(f"{name} is out of range: it must be 0 to {LONGEST_S:g}")


def _require_number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name} is a {type(value).__name__}, not a number")
    return value


DEFAULTS: Final = Limits()
"""The limits in force where nothing else was asked for: the one place where these numbers are written."""
