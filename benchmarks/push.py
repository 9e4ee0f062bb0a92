"""The table of docs/decisions.md: dollars a month of telling processes of changes, by push and by polling.

`python -m benchmarks.push` prints it. Nothing is measured: every figure is a price times a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import Final, NamedTuple

from benchmarks.operations import checks
from benchmarks.prices import (
    CONNECTED_MINUTE,
    DELIVERY,
    HEAD_READS_PER_S_MAX,
    MONTH_S,
    S3_EXPRESS_GET,
    SQS_REQUEST,
)

PROCESSES: Final = (1_000, 50_000, 1_000_000)
CHANGES: Final = 30
"""Changes a month that each process is told of: a secret that rotates daily."""

MINUTES: Final = MONTH_S / 60
LONG_POLL_S: Final = 20.0
"""The longest wait of a request to SQS."""

KEEP_ALIVE_S: Final = 60.0


class Channel(NamedTuple):
    """A way to tell processes, its formula in words, and the dollars a month of one process."""

    name: str
    formula: str
    process: Callable[[], float]


def polling(interval_s: float) -> Channel:
    """Return the channel that keyturn has: reads of the head."""
    return Channel(
        f"the head, every {interval_s:g} s", "a half read unit a check", lambda: checks(interval_s)
    )


def connected() -> float:
    """Return the dollars a month of a connection, and of what is delivered on it."""
    return MINUTES * CONNECTED_MINUTE + CHANGES * DELIVERY


CHANNELS: Final = (
    polling(5.0),
    polling(15.0),
    polling(60.0),
    Channel("AppSync Events", "connected minutes, deliveries", connected),
    Channel(
        "AppSync Events, if keep-alives are billed",
        "the same, and a message a minute",
        lambda: connected() + MONTH_S / KEEP_ALIVE_S * DELIVERY,
    ),
    Channel("IoT Core, MQTT", "connected minutes, deliveries", connected),
    Channel(
        "SNS, and an SQS queue for each process",
        "a request every 20 s",
        lambda: MONTH_S / LONG_POLL_S * SQS_REQUEST,
    ),
    Channel("an object in S3 Express, every 5 s", "a GET", lambda: MONTH_S / 5.0 * S3_EXPRESS_GET),
    Channel("AppSync Events, and the head every 60 s", "both", lambda: connected() + checks(60.0)),
)


def table() -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    yield f"| channel | billed | {' | '.join(f'{number:,} processes' for number in PROCESSES)} |"
    yield "| --- | --- |" + " ---: |" * len(PROCESSES)
    for name, formula, process in CHANNELS:
        yield f"| {name} | {formula} | {' | '.join(f'{number * process():,.2f}' for number in PROCESSES)} |"


def copies(processes: int, interval_s: float) -> int:
    """Return the number of copies of the head that so many processes need."""
    return ceil(processes / interval_s / HEAD_READS_PER_S_MAX)


if __name__ == "__main__":
    print("\n".join(table()))
