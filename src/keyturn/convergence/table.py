"""The convergence table: its schema, and how it is written and read.

The schema is a public contract, `schema` = 1. One DynamoDB table of its own, its only key the String
`pk`, its attribute for Time to Live `expires_at_s`. One item per environment, which each report replaces:

    pk            S       the environment's id, 1-64 characters, random
    schema        N       1
    held          M of S  a marker's `pk` (keyturn.markers) -> version id (1-64) of AWSCURRENT; of a
                          parameter its latest version
    left_out      N       how many more it holds that did not fit; absent means none
    label         S       what kind of environment it is, 1-128 characters; absent means unknown
    reported_at_s N       when, by the environment's clock; fraction allowed
    expires_at_s  N       until when it counts, whole, by the same clock; at most a day after `reported_at_s`

DynamoDB deletes an item within a few days after `expires_at_s`, so who counts leaves out what is past it.
An item that breaks any of this is no report. An item holds ids, never a secret's value. Nothing that a
reader of secrets serves depends on this table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from keyturn.aws.dynamodb import (
    ARN_LENGTH,
    VERSION_ID_LENGTH,
    Call,
    Item,
    MisshapenError,
    answered_at_of,
    attribute_of,
    mappings,
    moment_of,
    number_of,
    require,
    text_of,
    whole_of,
)
from keyturn.aws.faults import Fault, FaultKind, fault_of, table_advice
from keyturn.errors import ConvergenceTableError
from keyturn.model.markers import Report

SCHEMA: Final = 1
LIFE_MAX_S: Final = 86_400
LABEL_LENGTH: Final = 128
EXPIRES: Final = "expires_at_s"
"""The attribute by which DynamoDB deletes what is over (Time to Live)."""

_ENVIRONMENT_LENGTH: Final = 64


class ReportsClient(Protocol):
    """The part of a DynamoDB client (boto3's or botocore's, low-level) that is used."""

    @property
    def put_item(self) -> Call: ...

    @property
    def scan(self) -> Call: ...


class ReportsRead(NamedTuple):
    """All reports, those that are over too; `unusable` items are none.

    `answered_at_s`: the `Date` of the first answer, by the table's own clock.
    """

    reports: tuple[Report, ...]
    unusable: int
    answered_at_s: float | None


class ConvergenceTable:
    """One convergence table (name or ARN): a `Reports`, and read by who counts.

    Holds no state: as thread-safe as `client`. Both methods raise `ConvergenceTableError`.
    """

    def __init__(self, client: ReportsClient, table: str) -> None:
        self._client = client
        self._table = table

    def __repr__(self) -> str:
        return f"ConvergenceTable({self._table!r})"

    def write(self, report: Report) -> None:
        """One PutItem: a write unit for each KB, some seven secrets."""
        self._ask("PutItem", self._client.put_item, Item=item_of(report))

    def read(self) -> ReportsRead:
        """Every item, page by page, eventually consistent: half a read unit for each 4 KB."""
        items, start = list[Item](), dict[str, object]()
        answered_at_s: float | None = None
        while True:
            answer = self._ask("Scan", self._client.scan, **start)
            answered_at_s = answered_at_of(answer) if answered_at_s is None else answered_at_s
            items += mappings(answer.get("Items"))
            if not answer.get("LastEvaluatedKey"):
                break
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        reports = tuple(report for item in items if (report := report_of(item)) is not None)
        return ReportsRead(reports, len(items) - len(reports), answered_at_s)

    def _ask(self, operation: str, call: Call, **request: object) -> Mapping[str, object]:
        try:
            return call(TableName=self._table, **request)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            detail = f"{_advice(fault, operation)} ({fault})"
            denied = fault.kind is FaultKind.DENIED
            raise ConvergenceTableError(self._table, detail, denied=denied) from error


def _advice(fault: Fault, operation: str) -> str:
    """What happened to a call on the table, and what to do."""
    if fault.kind is FaultKind.DENIED:
        return f"this role may not use it: allow dynamodb:{operation} on the table's ARN"
    if fault.code == "ResourceNotFoundException":
        return "no such table in the client's account and Region; deploy the stack with Convergence=true"
    return table_advice(fault)


def item_of(report: Report) -> dict[str, object]:
    """The item of a report."""
    return {
        "pk": {"S": report.environment},
        "schema": number_of(SCHEMA),
        "held": {"M": {key: {"S": version_id} for key, version_id in report.held.items()}},
        "reported_at_s": number_of(report.reported_at_s),
        # Time to Live takes whole seconds only.
        EXPIRES: number_of(math.ceil(report.expires_at_s)),
        **({"label": {"S": report.label[:LABEL_LENGTH]}} if report.label else {}),
        **({"left_out": number_of(report.left_out)} if report.left_out else {}),
    }


def report_of(item: object) -> Report | None:
    """The report in an item, or None: any other item of a table is no report."""
    if not isinstance(item, Mapping):
        return None
    try:
        return _report(item)
    except MisshapenError:
        return None


def _report(item: Item) -> Report:
    require(whole_of(item, "schema") == SCHEMA)
    report = Report(
        environment=text_of(item, "pk", _ENVIRONMENT_LENGTH),
        held=_held(item),
        reported_at_s=moment_of(item, "reported_at_s"),
        expires_at_s=whole_of(item, EXPIRES),
        label=text_of(item, "label", LABEL_LENGTH) if "label" in item else "",
        left_out=whole_of(item, "left_out") if "left_out" in item else 0,
    )
    # One that said "for ever" would be counted for ever.
    require(report.reported_at_s <= report.expires_at_s <= report.reported_at_s + LIFE_MAX_S + 1)
    return report


def _held(item: Item) -> dict[str, str]:
    held = attribute_of(item, "held", "M")
    if not isinstance(held, Mapping):
        raise MisshapenError("held")
    require(all(isinstance(key, str) and 1 <= len(key) <= ARN_LENGTH for key in held))
    return {key: text_of(held, key, VERSION_ID_LENGTH) for key in held}
