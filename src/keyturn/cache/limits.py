"""The tuning values of the cache: durations in seconds, and sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

from keyturn.errors import ConfigurationError

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
    def answer_lag_s(self) -> float:
        """For how long an answer may show the past: Secrets Manager's delay and that of a cache before it."""
        return self.settle_s + self.source_ttl_s


DEFAULTS: Final = Limits()
"""What is in force where nothing else was asked for: the one place where these numbers are written."""
