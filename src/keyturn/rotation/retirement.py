"""When the credential of AWSPREVIOUS is taken away, if two credentials work at any time.

Without this the next rotation takes it away. With it an invocation between two rotations does so, as soon as
the convergence table says that nobody holds the old version any more:

    {"Step": "retireSecret", "SecretId": "prod/redis"}

Reports are claims. One that is forged or missing can delay the retirement up to `latest_s`. It cannot bring
it forward: `earliest_s` must have passed in any case, and without a table the credential ends then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol, runtime_checkable

from keyturn.assembly import convergence_table
from keyturn.aws.clients import TABLE_ATTEMPTS, TABLE_TIMEOUTS_S, make_client
from keyturn.convergence.counting import Convergence, counted, living
from keyturn.errors import ConfigurationError, ConvergenceTableError
from keyturn.metrics.hook import Metric, Metrics
from keyturn.model.instant import Clock
from keyturn.model.names import secret_key
from keyturn.model.versions import SecretVersion
from keyturn.runtime.host import SYSTEM_CLOCK
from keyturn.runtime.logs import about, log

RETIRE: Final = "retireSecret"
"""The step by which an event asks for a retirement. Secrets Manager has no such step."""

EARLIEST_S: Final = 900.0
"""The life of a report: an environment that lives has reported since AWSCURRENT moved."""

LATEST_S: Final = 86_400.0

NAMED_MAX: Final = 5
"""A log line names at most so many versions that are held."""


@runtime_checkable
class Retires(Protocol):
    """A strategy by which two credentials work at any time, and that can take the old one away."""

    def retire(self, known: Sequence[SecretVersion], others: Iterator[SecretVersion]) -> None:
        """Take away what the others name, and none of the `known` does."""
        ...


class Decision(NamedTuple):
    """Whether a credential is to be taken away now, and why.

    `is_held` says that it is kept only because somebody may hold it.
    """

    is_due: bool
    why: str
    is_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """When an old credential is taken away. The times count from the last change or rotation of the secret.

    Args:
        convergence_table: name or ARN of the table of reports. Without one the credential is taken away
            after `earliest_s`.
        earliest_s: the seconds for which it works in any case. They must be more than the bound within
            which readers find a rotation (`status().bound_s`).
        latest_s: the seconds after which it is taken away, whoever still holds it.
        client: a boto3 or botocore client for DynamoDB. Default: a client made at each look.
        metrics: a hook that takes `RETIREMENTS` and `RETIREMENTS_HELD`.
        clock: the clock of this host.

    The function needs `dynamodb:Scan` on the table. Raises `ConfigurationError` for durations that cannot
    work.
    """

    convergence_table: str | None = None
    earliest_s: float = EARLIEST_S
    latest_s: float = LATEST_S
    client: object = field(default=None, repr=False)
    metrics: Metrics | None = None
    clock: Clock = SYSTEM_CLOCK

    def __post_init__(self) -> None:
        if not 0 < self.earliest_s <= self.latest_s < math.inf:
            raise ConfigurationError(
                f"earliest_s is {self.earliest_s!r} and latest_s {self.latest_s!r}; give seconds above 0, "
                "the latest not before the earliest"
            )
        if self.convergence_table is not None and not self.convergence_table:
            raise ConfigurationError("convergence_table is empty; give the table's name or ARN, or None")


def decision_of(retirement: Retirement, described: Mapping[str, object], current: str) -> Decision:
    """Decide by the answer of DescribeSecret and, if it is time, by the reports."""
    # Every change of the secret counts, and it costs time only: the age is never too high.
    dates = [described.get(name) for name in ("LastChangedDate", "LastRotatedDate")]
    moments = [date.timestamp() for date in dates if isinstance(date, datetime)]
    age_s = retirement.clock.wall() - max(moments) if moments else 0.0
    fleet: Convergence | str | None = None
    # At the latest time nobody is asked: a flood of forged reports must not hold it up.
    if retirement.convergence_table is not None and retirement.earliest_s <= age_s < retirement.latest_s:
        key = secret_key(str(described.get("ARN", "")), str(described.get("Name", "")))
        fleet = _fleet(retirement, key, current)
    return decision_at(age_s, retirement.earliest_s, retirement.latest_s, fleet)


def say(retirement: Retirement, secret_id: str, decision: Decision) -> None:
    """Log and measure what was decided, and done."""
    if decision.is_due:
        log.info(
            "the credential of AWSPREVIOUS of %s was taken away: %s",
            secret_id,
            decision.why,
            extra=about("retired", secret=secret_id),
        )
    elif decision.is_held:
        log.warning(
            "the credential of AWSPREVIOUS of %s is kept: %s",
            secret_id,
            decision.why,
            extra=about("not_retired", secret=secret_id),
        )
    if retirement.metrics is not None and (decision.is_due or decision.is_held):
        metric = Metric.RETIREMENTS if decision.is_due else Metric.RETIREMENTS_HELD
        retirement.metrics.record(metric, 1, secret=secret_id)


def _fleet(retirement: Retirement, key: str, current: str) -> Convergence | str:
    """Return the environments that hold the secret, or why that is not known."""
    table, client = str(retirement.convergence_table), retirement.client
    if client is None:
        client = make_client("dynamodb", TABLE_TIMEOUTS_S, attempts=TABLE_ATTEMPTS)
    try:
        read = convergence_table(table, client).read()
    except ConvergenceTableError as error:
        return f"the reports could not be read: {error}"
    now_s = retirement.clock.wall() if read.answered_at_s is None else read.answered_at_s
    (found,) = (one for one in counted(living(read.reports, now_s), {key: current}) if one.key == key)
    return found


def decision_at(
    age_s: float, earliest_s: float, latest_s: float, fleet: Convergence | str | None
) -> Decision:
    """Decide whether the credential of AWSPREVIOUS is to be taken away.

    `fleet` has the reports; it is a text that says why they are not known, or None if nobody was asked.
    """
    if age_s < earliest_s:
        return Decision(is_due=False, why=f"the earliest time is in {earliest_s - age_s:.0f} s")
    if age_s >= latest_s:
        return Decision(is_due=True, why=f"the latest time, {latest_s:.0f} s, is over")
    if fleet is None:
        return Decision(is_due=True, why=f"the earliest time, {earliest_s:.0f} s, is over; there is no table")
    held = fleet if isinstance(fleet, str) else _held(fleet)
    if held is None:
        return Decision(is_due=True, why="all environments that report the secret hold AWSCURRENT")
    why = f"{held}; the latest time is in {latest_s - age_s:.0f} s"
    return Decision(is_due=False, why=why, is_held=True)


def _held(fleet: Convergence) -> str | None:
    """Return who may hold another version than AWSCURRENT; None if all who report hold that."""
    if fleet.is_complete:
        return None
    if not fleet.environments:
        return "no environment reports the secret"
    # A report is anybody's text.
    behind = [f"{some.environments} on {some.version_id!r}" for some in fleet.behind[:NAMED_MAX]]
    return f"environments hold another version: {', '.join(behind)}"
