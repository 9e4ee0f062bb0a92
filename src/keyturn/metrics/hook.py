"""The measurements of a cache, and the hook that takes them.

Without a hook nothing is recorded, at no cost. Hits are never counted, because a hit is one look-up and one
reading of the clock. A cache measures its calls, its failures, and the changes of what it serves.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, Protocol


class Metric(Enum):
    """A measurement. Its value is the name to show, and `unit` is its unit.

    A count is recorded as 1 each time. A duration is recorded once for each check or read, so the number of
    durations is the number of checks or reads.
    """

    CHECK_S = "CheckTime"
    """The duration of a check of the marker table, whether it succeeded or failed."""

    CHECKS_FAILED = "ChecksFailed"
    """A check failed: the table did not answer, access was denied, or there was no usable head."""

    SWEPT_AGE_S = "SweptAge"
    """The age of the head's `swept_as_of_s` at a successful check, by the table's clock."""

    READ_S = "ReadTime"
    """The duration of one request to Secrets Manager or Parameter Store, whether it succeeded or failed.

    A path counts once, however many pages it has.
    """

    READS_FAILED = "ReadsFailed"
    """A read failed. The answer that there is no such secret, version or label is no failure."""

    INVALIDATIONS = "Invalidations"
    """A held secret must be read again early, because its marker changed or `invalidate` was called."""

    READS_IN_VAIN = "ReadsInVain"
    """A read that a marker caused changed nothing, so it counts against the ceiling of such reads."""

    MARKERS_HELD_OFF = "MarkersHeldOff"
    """A secret's markers have caused so many reads in vain that they are not followed for now."""

    LAG_S = "Lag"
    """The time from the marker of a new AWSCURRENT version to its first use in this process.

    It is recorded only if the process was in use meanwhile.
    """

    STALE_SERVED = "StaleServed"
    """A refresh failed, so the cache serves the known version. The number of callers is not counted."""

    BRIDGES = "Bridges"
    """A login succeeded with another version than the cached AWSCURRENT; `stage` is that version's label."""

    REFUSALS = "Refusals"
    """A login attempt was refused, whether or not a later attempt was accepted."""

    LOGINS_FAILED = "LoginsFailed"
    """A login failed: the server refused every version that could be right."""

    RETIREMENTS = "Retirements"
    """A rotation function took the credential of AWSPREVIOUS away between two rotations."""

    RETIREMENTS_HELD = "RetirementsHeld"
    """It was time to take the credential of AWSPREVIOUS away, but an environment may still hold it."""

    @property
    def unit(self) -> Literal["Count", "Seconds"]:
        """The unit by CloudWatch's name for it. The last part of a metric's own name tells the unit, too."""
        return "Seconds" if self.name.endswith("_S") else "Count"


class Metrics(Protocol):
    """A metrics hook, as `SecretCache(metrics=...)` takes it.

    The cache calls the hook at the end of the call that caused a measurement, while it holds no lock, in one
    thread at a time. The hook should return at once. While one thread is in the hook, other threads go on,
    and that thread delivers their measurements, too. An exception of the hook is logged once and reaches no
    caller. The hook may use the cache itself; the measurements that this causes are not recorded.
    """

    def record(
        self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
    ) -> None:
        """Take one measurement: 1 of a count, or a duration in seconds.

        `secret` is the name of the secret or parameter as AWS gave it. It is empty if the measurement is
        about no secret, about several, or about a secret that was never read. `stage` is the staging label of
        `BRIDGES`, and empty for all others. `error` is the name of the error's class where the measurement is
        of a failure, also for the duration of what failed; the log has the same name as `keyturn_error`.
        """
        ...


class Measures(Metrics, Protocol):
    """Takes the measurements of a cache, also under a lock. `deliver` passes them on to the hook."""

    @property
    def has_mail(self) -> bool:
        """Whether measurements wait for their delivery."""
        ...

    def deliver(self) -> None:
        """Pass the recorded measurements on to the hook. To be called while no lock is held."""
        ...


class _Silent:
    has_mail = False

    def record(
        self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
    ) -> None: ...

    def deliver(self) -> None: ...


SILENT: Final[Measures] = _Silent()
"""Records nothing: the `Measures` of a cache without a hook."""
