"""What a cache tells those who run it: measurements to a hook, and the fields of its log records.

Nobody is told by default, at no cost. Hits are never counted: a hit is one look-up and one reading of
the clock, and stays that. What is measured is what makes a call, fails, or changes what is served.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, Protocol


class Metric(Enum):
    """What is measured. The value is the name to show; see `unit`.

    A count is recorded as 1 each time. A duration is recorded once for each thing that took it, so how
    many durations there are is the number of checks or reads.
    """

    CHECK_S = "CheckTime"
    """A check of the marker table, good or not: how long it took."""

    CHECKS_FAILED = "ChecksFailed"
    """A check that found trouble: no answer, no right, no usable head."""

    SWEPT_AGE_S = "SweptAge"
    """The head's age: how far the sweep's word was behind at a good check, by the table's clock."""

    READ_S = "ReadTime"
    """One request to Secrets Manager or Parameter Store, failed or not: how long it took. A path
    counts once, whatever its pages."""

    READS_FAILED = "ReadsFailed"
    """A read that failed. That there is no such secret, version or label is an answer, not a failure."""

    INVALIDATIONS = "Invalidations"
    """A held secret that is to be read anew before its time: its marker moved, or `invalidate` was called."""

    LAG_S = "Lag"
    """From the marker of a new AWSCURRENT version to its first use here, while this process was in use."""

    STALE_SERVED = "StaleServed"
    """A refresh failed and the known version goes on being served. Not the number of those served."""

    BRIDGES = "Bridges"
    """A login succeeded with another version than AWSCURRENT as cached; `stage`: the label it was under."""

    REFUSALS = "Refusals"
    """A login attempt was refused, whether or not the next one was accepted."""

    LOGINS_FAILED = "LoginsFailed"
    """A login failed: every version worth a try was refused."""

    @property
    def unit(self) -> Literal["Count", "Seconds"]:
        """CloudWatch's word for it; the unit is the last part of a metric's own name."""
        return "Seconds" if self.name.endswith("_S") else "Count"


class Metrics(Protocol):
    """The hook: what `SecretCache(metrics=...)` takes.

    Called while no lock is held, at the end of the call that caused it, by one thread at a time: so it
    should return at once. Who finds it busy goes on, and leaves what is to be told to the thread that is
    at it. What it raises is logged once and reaches no caller. It may use the cache itself; what that
    causes is not recorded.
    """

    def record(self, metric: Metric, value: float, *, secret: str = "", stage: str = "") -> None:
        """Take one measurement: 1 of a count, or a duration in seconds.

        `secret`: the name of the secret or parameter as its service gave it, empty where it is about
        none, about several, or about one that was never read. `stage`: a staging label, of `BRIDGES` only.
        """
        ...


class Measures(Metrics, Protocol):
    """What the decisions record to, also under a lock: nobody is told before `deliver`."""

    def deliver(self) -> None:
        """Tell the hook what was recorded. To be called while no lock is held."""
        ...


class _Silent:
    def record(self, metric: Metric, value: float, *, secret: str = "", stage: str = "") -> None: ...

    def deliver(self) -> None: ...


SILENT: Final[Measures] = _Silent()
"""Where nobody wants to know."""
