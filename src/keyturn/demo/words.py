"""The figures of a run in words: the columns that all its tables share."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from keyturn.demo.figures import Figures


class Column(NamedTuple):
    """One column of a table. Lines within a heading or a cell end with a newline."""

    heading: str
    align: Literal["left", "right"] = "right"


COLUMNS: Final = (
    Column("logs in by", "left"),
    Column("logins"),
    Column("failed"),
    Column("attempts\nrefused"),
    Column("median to\nfirst use"),
    Column("worst"),
    Column("AWS calls per environment", "left"),
    Column("$ per\nmillion\nchecks"),
    Column("$ a month\nfor 1,000"),
)

NOT_NOTICED: Final = "not in\nthe run"

COUNTED: Final = (
    "From setSecret to finishSecret the server takes only the pending password. A login fails if its last "
    "attempt is refused. If an attempt is refused and the next accepted within the same call, the login "
    "succeeds. Attempts refused are all that the server refused, also in logins that succeeded. First use: "
    "from the move of AWSCURRENT to the first attempt with the new version, per process and rotation."
)

PRICES: Final = (
    "List prices, us-east-1, 2026: Secrets Manager $0.05 per 10,000 calls (aws/secretsmanager key); DynamoDB "
    "on demand $0.125 per million read units. An eventually consistent read of up to 4 KB is half a unit."
)


def cells(row: Figures) -> tuple[str, ...]:
    """Return one contender's cells without the first, which has its name."""
    return (
        f"{row.logins:,}",
        f"{row.failed:,}",
        f"{row.refused:,}",
        *first_use(row),
        calls(row),
        dollars(row.dollars_per_million_checks),
        dollars(row.dollars_per_month),
    )


def first_use(row: Figures) -> tuple[str, str]:
    """Return the median and the longest time from a move to its first use."""
    if row.median_s is not None and row.worst_s is not None:
        return seconds(row.median_s), seconds(row.worst_s)
    if not row.first_uses_s:
        return NOT_NOTICED, ""
    return f"{len(row.first_uses_s)} of {row.uses_due}\nnoticed", NOT_NOTICED


def seconds(after: float) -> str:
    """Return the seconds after the move. A negative number is shown as seconds before it."""
    return f"{after:.2f} s" if after >= 0 else f"{-after:.2f} s\nbefore"


def calls(row: Figures) -> str:
    """Return the AWS calls of one environment: its checks per hour, and its other calls per move."""
    by_hour = [f"{row.checks_per_hour:,.0f} {row.check}/hour"] if row.checks_per_hour else []
    by_move = [f"{number:.3g} {what}/move" for what, number in row.reads_per_move.items()]
    return "\n".join(by_hour + by_move) or "none in the run"


def dollars(amount: float | None) -> str:
    """Return an amount of dollars, with as many digits as it needs."""
    if amount is None:
        return "-"
    if amount >= 100:
        return f"{amount:,.0f}"
    return f"{amount:.2f}" if amount >= 1 else f"{amount:.4g}"
