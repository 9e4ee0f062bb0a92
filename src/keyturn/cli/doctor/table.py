"""Checks of the marker table: its shape, its head, and the calls that a reader makes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from keyturn.aws.answers import answered_at_of, mapping, mappings
from keyturn.cache.limits import DEFAULTS
from keyturn.cli.doctor.finding import (
    SET_CLOCK,
    Cause,
    Check,
    Finding,
    Level,
    RefusedCallError,
    Subject,
    unknown,
    wrong,
)
from keyturn.markers.schema import HEAD_KEY, head_key, head_of

CLOCK_SKEW_MAX_S = 60.0
"""The largest difference of clocks that the check accepts.

AWS refuses what is signed 300 s off (Signature Version 4). A clock that is 60 s off is not set by NTP.
"""

_HEAD = {"pk": {"S": HEAD_KEY}}
_DEPLOY = "correct KEYTURN_MARKER_TABLE or the Region; if nothing is deployed there: keyturn help operations"
OTHERS_S = 86_400.0
"""For how long the doctor remembers a writer of an earlier version: functions may announce once a day."""

_UPDATE = "update the listener's stack, and keyturn in every function that announces"
_SWEEP = "run keyturn sweep, and see the findings about the schedule and the listener's log"


def shape(subject: Subject) -> Finding:
    """Check that the table exists, is active, and has the String `pk` as its only key."""
    return shape_of(
        "table", subject, subject.table, f"{_DEPLOY}; if it was deleted: {_create(subject.table)}"
    )


def _create(table: str) -> str:
    """Return the command that makes a table of this name again."""
    name = table.rpartition("/")[2]
    return (
        f"aws dynamodb create-table --table-name {shlex.quote(name)} --billing-mode PAY_PER_REQUEST "
        "--attribute-definitions AttributeName=pk,AttributeType=S --key-schema AttributeName=pk,KeyType=HASH"
    )


def shape_of(check: str, subject: Subject, table: str, deploy: str) -> Finding:
    """Check that this table exists, is active, and has the single key that keyturn's tables have.

    `deploy` is what to do if it does not exist.
    """
    try:
        answer = subject.aws.call("dynamodb", "DescribeTable", TableName=table)
    except RefusedCallError as refused:
        if refused.fault.code == "ResourceNotFoundException":
            return wrong(check, Cause.NO_TABLE, f"there is no table {table} in {subject.region}", deploy)
        raise
    found = mapping(answer.get("Table"))
    keys = [(one.get("AttributeName"), one.get("KeyType")) for one in mappings(found.get("KeySchema"))]
    types = {one.get("AttributeName"): one.get("AttributeType") for one in _attributes(found)}
    if keys != [("pk", "HASH")] or types.get("pk") != "S":
        shown = ", ".join(f"{name} ({types.get(name)}, {kind})" for name, kind in keys)
        what = f"its key is {shown}, not the String pk alone: keyturn did not make this table"
        return wrong(check, Cause.OTHER_KEY, what, "give the name of a table that keyturn's stack made")
    if found.get("TableStatus") != "ACTIVE":
        what = f"the table's status is {found.get('TableStatus')}"
        fix = f"aws dynamodb wait table-exists --table-name {shlex.quote(table)}"
        return wrong(check, Cause.TABLE_NOT_ACTIVE, what, fix)
    return Finding(check, Level.OK, f"{table} is there and of the right shape")


def head(subject: Subject) -> Finding:
    """Check that there is a head, and that the last sweep is recent enough for markers to count."""
    answer = _read_head(subject)
    if answer is None:
        return unknown("head", Cause.NO_TABLE, "there is no table that could have a head", _DEPLOY)
    found = head_of(answer.get("Item"), answered_at_of(answer))
    if not answer.get("Item"):
        what = "the table has no head: nothing was ever written or swept here"
        return wrong("head", Cause.NO_HEAD, what, _SWEEP)
    if found is None:
        what = "the head is misshapen or swept in the future, so readers ignore it"
        return wrong("head", Cause.MISSHAPEN_HEAD, what, _SWEEP + "; the next sweep repairs it")
    age_s = found.swept_age_s
    if age_s is None:
        what = "the table was never swept, so no marker counts as complete"
        return wrong("head", Cause.NEVER_SWEPT, what, _SWEEP)
    if age_s >= DEFAULTS.lease_s:
        what = f"swept as of {age_s:.0f} s ago, and a lease lasts {DEFAULTS.lease_s:.0f} s: the sweep stopped"
        return wrong("head", Cause.SWEEP_STOPPED, what, _SWEEP)
    if found.copies > 1:
        return _copies(subject, found.copies, age_s)
    return Finding("head", Level.OK, f"swept as of {age_s:.0f} s ago; a lease lasts {DEFAULTS.lease_s:.0f} s")


def _copies(subject: Subject, copies: int, age_s: float) -> Finding:
    """Check the lease of each copy of the head. A process reads one of them."""
    for copy in range(1, copies):
        answer = _read_head(subject, copy) or {}
        found = head_of(answer.get("Item"), answered_at_of(answer))
        copy_age_s = found.swept_age_s if found is not None else None
        if copy_age_s is None or copy_age_s >= DEFAULTS.lease_s:
            what = f"copy {copy} of {copies} heads is not there or not swept: its readers are not covered"
            return wrong("head", Cause.COPY_NOT_SWEPT, what, _SWEEP)
    what = f"{copies} copies, swept as of {age_s:.0f} s ago; a lease lasts {DEFAULTS.lease_s:.0f} s"
    return Finding("head", Level.OK, what)


def writers(subject: Subject) -> Finding:
    """Check that no writer of an earlier version writes markers: it moves no slot and no copy."""
    answer = _read_head(subject) or {}
    found = head_of(answer.get("Item"), answered_at_of(answer))
    if found is None or found.answered_at_s is None:
        return unknown("writers", Cause.NO_HEAD, "there is no head that tells of writers", _SWEEP)
    untracked_at_s = found.untracked_at_s
    if untracked_at_s is not None and found.answered_at_s - untracked_at_s < OTHERS_S:
        # The Date header is cut off to whole seconds, so it may be of before the write.
        ago_s = max(found.answered_at_s - untracked_at_s, 0.0)
        what = f"a writer of an earlier version wrote some {ago_s:.0f} s ago; it moves no slot and no copy"
        return wrong("writers", Cause.EARLIER_WRITER, what, _UPDATE)
    return Finding("writers", Level.OK, "every writer of the last day moves the slots of the head")


def batches(subject: Subject) -> Finding:
    """Check that a reader that holds several secrets may read their markers together."""
    request = {subject.table: {"Keys": [_HEAD]}}
    try:
        subject.aws.call("dynamodb", "BatchGetItem", RequestItems=request)
    except RefusedCallError as refused:
        if refused.fault.code == "ResourceNotFoundException":
            return unknown("markers", Cause.NO_TABLE, "there is no table to read markers from", _DEPLOY)
        raise
    return Finding("markers", Level.OK, "this role may read several markers together")


def clock(subject: Subject) -> Finding:
    """Check that this host's clock agrees with the Date header of DynamoDB's answer."""
    before_s = subject.wall()
    answer = _read_head(subject)
    after_s = subject.wall()
    if answer is None:
        return unknown("clock", Cause.NO_TABLE, "there is no table whose answers have a date", _DEPLOY)
    date_s = answered_at_of(answer)
    if date_s is None:
        what = "DynamoDB's answer has no Date header, so keyturn cannot measure a marker's age"
        return wrong("clock", Cause.NO_DATE, what, "let the proxy in between pass on the header")
    # The header is the time of some moment during the call, cut off to whole seconds.
    skew_s = max(before_s - (date_s + 1), date_s - after_s, 0.0)
    if skew_s > CLOCK_SKEW_MAX_S:
        way = "ahead of" if before_s > date_s else "behind"
        what = f"this host's clock is {skew_s:.0f} s {way} AWS's, which refuses what is 300 s off"
        return wrong("clock", Cause.WRONG_CLOCK, what, SET_CLOCK)
    return Finding("clock", Level.OK, "this host's clock agrees with AWS's")


def _read_head(subject: Subject, copy: int = 0) -> Mapping[str, object] | None:
    """Return DynamoDB's answer, or None if there is no such table: the Date is lost with that error."""
    key = {"pk": {"S": head_key(copy)}}
    try:
        return subject.aws.call("dynamodb", "GetItem", TableName=subject.table, Key=key)
    except RefusedCallError as refused:
        if refused.fault.code == "ResourceNotFoundException":
            return None
        raise


def _attributes(table: Mapping[str, object]) -> list[Mapping[str, object]]:
    return mappings(table.get("AttributeDefinitions"))


CHECKS: Mapping[str, Check] = {
    "table": shape,
    "head": head,
    "writers": writers,
    "markers": batches,
    "clock": clock,
}
