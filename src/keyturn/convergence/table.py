"""The convergence table: its schema, and how it is written and read.

The schema is a public contract, `schema` = 1. There is one DynamoDB table, whose only key is the String `pk`
and whose attribute for Time to Live is `expires_at_s`. Each environment has one item, which each report
replaces:

    pk            S       the environment's id, 1-64 characters, random
    schema        N       1
    held          M of S  a marker's `pk` (keyturn.markers) -> version id (1-64) of AWSCURRENT; of a
                          parameter its latest version
    left_out      N       how many more entries did not fit into `held`; absent means none
    label         S       what kind of environment it is, 1-128 characters; absent means unknown
    reported_at_s N       the moment of the report, by the environment's clock; may have a fraction
    expires_at_s  N       the end of the report, whole, by the same clock; at most a day after `reported_at_s`

DynamoDB deletes an item within a few days after `expires_at_s`, so a reader of this table ignores items that
are past it. An item that breaks any of these rules is no report. An item holds ids, never the value of a
secret. No value that a cache serves depends on this table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from keyturn.aws.answers import Call, answered_at_of, mappings
from keyturn.aws.dynamodb import (
    ARN_LENGTH,
    VERSION_ID_LENGTH,
    Item,
    moment_of,
    number_attribute,
    parsed,
    require,
    text_of,
    texts_attribute,
    texts_of,
    whole_of,
)
from keyturn.aws.table_calls import TableCalls
from keyturn.errors import ConvergenceTableError
from keyturn.model.markers import Report

SCHEMA: Final = 1
LIFE_MAX_S: Final = 86_400
LABEL_LENGTH: Final = 128
EXPIRES: Final = "expires_at_s"
"""The attribute by which DynamoDB deletes items that are over (Time to Live)."""

IF_DENIED: Final = (
    "this role may not use the table; environments need dynamodb:PutItem, keyturn status dynamodb:Scan, on "
    "the table's ARN"
)
IF_MISSING: Final = (
    "there is no such table in the client's account and Region; deploy the stack with Convergence=true"
)

_ENVIRONMENT_LENGTH: Final = 64


class ReportsClient(Protocol):
    """The operations of a low-level DynamoDB client (boto3's or botocore's) that the table needs."""

    @property
    def put_item(self) -> Call: ...

    @property
    def scan(self) -> Call: ...


class ReportsRead(NamedTuple):
    """All reports, also those that are over. `unusable` counts the items that are no reports.

    `answered_at_s` is the `Date` of the first answer in epoch seconds, by the table's own clock; None if the
    answer had no `Date`.
    """

    reports: tuple[Report, ...]
    unusable: int
    answered_at_s: float | None


class ConvergenceTable:
    """One convergence table (name or ARN). Environments write it (`Reports`), `keyturn status` reads it.

    Holds no state: threads may share it if they may share `client`. Both methods raise
    `ConvergenceTableError`.
    """

    def __init__(self, client: ReportsClient, table: str) -> None:
        self._client = client
        self._table = table
        self._calls = TableCalls(table, ConvergenceTableError, if_denied=IF_DENIED, if_missing=IF_MISSING)

    def __repr__(self) -> str:
        return f"ConvergenceTable({self._table!r})"

    def write(self, report: Report) -> None:
        """Write the report by one PutItem. It takes a write unit for each KB, or about seven secrets."""
        self._calls.ask(self._client.put_item, Item=item_of(report))

    def read(self) -> ReportsRead:
        """Read all items by a Scan, eventually consistent. It takes half a read unit for each 4 KB.

        A page is parsed before the next one is asked for, and equal texts are kept once. A fleet holds
        the same secrets, so the reports of 10,000 environments fit into the memory of a small function.
        """
        texts: dict[str, str] = {}
        reports, unusable, answered_at_s = list[Report](), 0, list[float | None]()
        for answer in self._calls.pages(self._client.scan):
            answered_at_s.append(answered_at_of(answer))
            for item in mappings(answer.get("Items")):
                report = report_of(item)
                if report is None:
                    unusable += 1
                else:
                    reports.append(report._replace(held=_shared(report.held, texts)))
        return ReportsRead(tuple(reports), unusable, answered_at_s[0])


def _shared(held: Mapping[str, str], texts: dict[str, str]) -> dict[str, str]:
    """Return the same texts, each the one that another report has already."""
    return {texts.setdefault(key, key): texts.setdefault(value, value) for key, value in held.items()}


def item_of(report: Report) -> dict[str, object]:
    """Make the item of a report."""
    return {
        "pk": {"S": report.environment},
        "schema": number_attribute(SCHEMA),
        "held": texts_attribute(report.held),
        "reported_at_s": number_attribute(report.reported_at_s),
        # Time to Live takes only whole seconds.
        EXPIRES: number_attribute(math.ceil(report.expires_at_s)),
        **({"label": {"S": report.label[:LABEL_LENGTH]}} if report.label else {}),
        **({"left_out": number_attribute(report.left_out)} if report.left_out else {}),
    }


def report_of(item: object) -> Report | None:
    """Return the report in an item; None if the item is no report."""
    return parsed(item, _report)


def _report(item: Item) -> Report:
    require(whole_of(item, "schema") == SCHEMA)
    report = Report(
        environment=text_of(item, "pk", _ENVIRONMENT_LENGTH),
        held=texts_of(item, "held", ARN_LENGTH, VERSION_ID_LENGTH),
        reported_at_s=moment_of(item, "reported_at_s"),
        expires_at_s=whole_of(item, EXPIRES),
        label=text_of(item, "label", LABEL_LENGTH) if "label" in item else "",
        left_out=whole_of(item, "left_out") if "left_out" in item else 0,
    )
    # Without this bound a report could say that it counts for ever.
    require(report.reported_at_s <= report.expires_at_s <= report.reported_at_s + LIFE_MAX_S + 1)
    return report
