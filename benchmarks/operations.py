"""The cost table of docs/operations.md: dollars a month of a whole installation and its readers.

`python -m benchmarks.operations` prints it. Calls are counted as in `benchmarks.cost`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.cost import (
    WATCHING,
    Bill,
    dollars,
    environment_calls,
    listener_calls,
    polling,
)

SECRETS: Final = (1, 100, 10_000)
FLEETS: Final = ((10, 5.0), (100, 5.0), (1_000, 5.0), (10_000, 5.0), (50_000, 15.0))
"""Environments, and a check interval in seconds at which all of them can read the head."""


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


if __name__ == "__main__":
    print("\n".join(table()))
