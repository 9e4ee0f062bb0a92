"""The cost tables of docs/operations.md: dollars a month of a whole installation and its readers.

`python -m benchmarks.operations` prints them. Calls are counted as in `benchmarks.cost`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from benchmarks.cost import (
    SWEEP_EVERY_S,
    WATCHING,
    Bill,
    dollars,
    environment_calls,
    listener_calls,
    polling,
)
from benchmarks.prices import (
    GUARDDUTY_EVENT,
    INTERFACE_ENDPOINT_HOUR,
    MONTH_S,
    NAT_GATEWAY_GB,
    NAT_GATEWAY_HOUR,
    READ_UNIT,
    SECRETS_MANAGER_CALL,
    TRAIL_DATA_EVENT,
    TRAIL_MANAGEMENT_EVENT,
    WRITE_UNIT,
)
from keyturn.model.slots import SLOTS

SECRETS: Final = (1, 100, 10_000)
FLEETS: Final = ((10, 5.0), (100, 5.0), (1_000, 5.0), (10_000, 5.0), (50_000, 15.0))
"""Environments, and a check interval in seconds at which all of them can read the head."""


CHANGES: Final = (1, 2, 3)
"""Changes of a marker in a rotation: by events alone, with a trail, and with announcements as well."""

COPIES: Final = (1, 16)
HELD: Final = (1, 100, 1_000)
MARKERS: Final = 10_000
ENVIRONMENTS: Final = 1_000
INTERVAL_S: Final = 5.0
HEAD_UNITS: Final = 4
HEAD_BYTES: Final = 4096
"""The size of a full head, and the write units of its update."""


VALUE_BYTES: Final = 1024
"""The size of an answer of GetSecretValue, assumed."""

MONTH_H: Final = MONTH_S / 3600
MANAGEMENT: Final = ("GetSecretValue", "DescribeSecret", "ListSecrets")
"""The calls that are management events of CloudTrail. All others are data events of DynamoDB."""

VCPU_PROCESSES: Final = 16
"""Python processes for each vCPU of a Lambda Managed Instance, by default."""


def month(bill: Bill, secrets: int, environments: int) -> float:
    """Return the dollars a month of secrets that rotate monthly, environments with one each, and all alarms.

    Each rotation moves the head, which costs those who hold another secret nothing.
    """
    return bill.month(secrets, 0) + environments * dollars(bill.environment) + WATCHING


def table() -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    event, sweep = listener_calls()
    of_secrets = " | ".join(f"{number:,} secret{'s' * (number > 1)}" for number in SECRETS)
    yield f"| environments | interval | {of_secrets} | polling Secrets Manager instead |"
    yield "| ---: | ---: |" + " ---: |" * (len(SECRETS) + 1)
    for environments, interval_s in ((0, 5.0), *FLEETS):
        bill = Bill(environment_calls(interval_s), event, sweep)
        costs = [month(bill, secrets, environments) for secrets in SECRETS]
        costs.append(polling(1, environments, interval_s))
        cells = " | ".join(f"{cost:,.2f}" for cost in costs)
        yield f"| {environments:,} | {interval_s:g} s | {cells} |"


def share(held: int, changes: int, copies: int = 1, *, quick: bool = False) -> float:
    """Return the dollars a month of one of 1,000 environments: checks, moved values, its share of the writes.

    Of 10,000 secrets, each rotates once a month. `quick`: all changes of a rotation come between two checks.
    Then each environment reads the markers that it holds in that slot. Changes of different secrets in one
    slot between two checks are so rare that their reads round to nothing. The hourly reads of values that
    have not moved are not in it.
    """
    checks = MONTH_S / INTERVAL_S * READ_UNIT / 2
    writes = MARKERS * changes * (2 + HEAD_UNITS * copies) * WRITE_UNIT
    markers = MARKERS * held / SLOTS * READ_UNIT if quick and changes > 1 else 0.0
    return checks + markers + held * SECRETS_MANAGER_CALL + writes / ENVIRONMENTS


def by_changes() -> Iterator[str]:
    """Yield the lines of the table of what an environment costs by what moves the head, in Markdown."""
    of_held = " | ".join(f"holds {number:,}" for number in HELD)
    yield f"| changes a rotation | copies of the head | {of_held} | 1,000, all between two checks |"
    yield "| ---: | ---: |" + " ---: |" * (len(HELD) + 1)
    for copies in COPIES:
        for changes in CHANGES:
            cells = [share(held, changes, copies) for held in HELD]
            cells.append(share(HELD[-1], changes, copies, quick=True))
            yield f"| {changes} | {copies} | {' | '.join(f'{cell:.4f}' for cell in cells)} |"


def nat_gateway() -> float:
    """Return the dollars a month and environment that a NAT gateway adds to the checks."""
    return MONTH_S / INTERVAL_S * HEAD_BYTES / 1e9 * NAT_GATEWAY_GB


def checks(interval_s: float) -> float:
    """Return the dollars a month of the checks of one process that never pauses."""
    return MONTH_S / interval_s * READ_UNIT / 2


def around() -> Iterator[str]:
    """Yield the lines of the table of what other services bill for these calls, in Markdown."""
    _, sweep = listener_calls()
    calls = environment_calls(INTERVAL_S)
    sweeps = MONTH_S / SWEEP_EVERY_S
    managed = ENVIRONMENTS * _count(calls, of=MANAGEMENT) + sweeps * _count(sweep, of=MANAGEMENT)
    every = ENVIRONMENTS * _count(calls, of=calls) + sweeps * _count(sweep, of=sweep)
    polls = ENVIRONMENTS * MONTH_S / INTERVAL_S
    own_gb, polled_gb = polls * HEAD_BYTES / 1e9, polls * VALUE_BYTES / 1e9
    rows = (
        ("CloudTrail: data events of DynamoDB", "event", TRAIL_DATA_EVENT * (every - managed), 0.0),
        (
            "CloudTrail: a second trail",
            "event",
            managed * TRAIL_MANAGEMENT_EVENT,
            polls * TRAIL_MANAGEMENT_EVENT,
        ),
        ("GuardDuty", "event", managed * GUARDDUTY_EVENT, polls * GUARDDUTY_EVENT),
        ("NAT gateway: data", "GB", own_gb * NAT_GATEWAY_GB, polled_gb * NAT_GATEWAY_GB),
        ("NAT gateway: itself", "hour and zone", *(MONTH_H * NAT_GATEWAY_HOUR,) * 2),
        (
            "interface endpoint for Secrets Manager",
            "hour and zone",
            *(MONTH_H * INTERFACE_ENDPOINT_HOUR,) * 2,
        ),
        ("gateway endpoint for DynamoDB", "", 0.0, 0.0),
    )
    yield "| what | billed by | keyturn | polling Secrets Manager instead |"
    yield "| --- | --- | ---: | ---: |"
    for what, unit, own, polled in rows:
        yield f"| {what} | {unit} | {own:,.2f} | {polled:,.2f} |"


def _count(calls: Mapping[str, float], *, of: Iterable[str]) -> float:
    return sum(calls.get(name, 0.0) for name in of)


if __name__ == "__main__":
    tables = (*table(), "", *by_changes(), "", *around(), "", f"a NAT gateway adds ${nat_gateway():.3f}")
    print("\n".join(tables))
