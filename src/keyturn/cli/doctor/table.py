"""Checks of the marker table: its shape, its head, and the calls that a reader makes."""

from __future__ import annotations

from collections.abc import Mapping

from keyturn.aws.answers import answered_at_of, mapping, mappings
from keyturn.cache.limits import DEFAULTS
from keyturn.cli.doctor.finding import Check, Finding, Level, RefusedCallError, Subject
from keyturn.markers.schema import HEAD_KEY, head_of

CLOCK_SKEW_MAX_S = 60.0
"""The largest difference of clocks that the check accepts.

AWS refuses what is signed 300 s off (Signature Version 4). A clock that is 60 s off is not set by NTP.
"""

_HEAD = {"pk": {"S": HEAD_KEY}}
_DEPLOY = "deploy the stack (keyturn help operations), or correct KEYTURN_MARKER_TABLE and the Region"
_SWEEP = "run keyturn sweep, and see the findings about the schedule and the listener's log"


def shape(subject: Subject) -> Finding:
    """Check that the table exists, is active, and has the String `pk` as its only key."""
    return shape_of("table", subject, subject.table, _DEPLOY)


def shape_of(check: str, subject: Subject, table: str, deploy: str) -> Finding:
    """Check that this table exists, is active, and has the single key that keyturn's tables have."""
    try:
        answer = subject.aws.call("dynamodb", "DescribeTable", TableName=table)
    except RefusedCallError as refused:
        if refused.fault.code == "ResourceNotFoundException":
            return Finding(check, Level.WRONG, f"there is no table {table} in {subject.region}", deploy)
        raise
    found = mapping(answer.get("Table"))
    keys = [(one.get("AttributeName"), one.get("KeyType")) for one in mappings(found.get("KeySchema"))]
    types = {one.get("AttributeName"): one.get("AttributeType") for one in _attributes(found)}
    if keys != [("pk", "HASH")] or types.get("pk") != "S":
        shown = ", ".join(f"{name} ({types.get(name)}, {kind})" for name, kind in keys)
        what = f"its key is {shown}, not the String pk alone: keyturn did not make this table"
        return Finding(check, Level.WRONG, what, deploy)
    if found.get("TableStatus") != "ACTIVE":
        what = f"the table's status is {found.get('TableStatus')}"
        return Finding(check, Level.WRONG, what, "wait until it is ACTIVE, or find out why it is not")
    return Finding(check, Level.OK, f"{table} is there and of the right shape")


def head(subject: Subject) -> Finding:
    """Check that there is a head, and that the last sweep is recent enough for markers to count."""
    answer = _read_head(subject) or {}
    found = head_of(answer.get("Item"), answered_at_of(answer))
    if not answer.get("Item"):
        return Finding(
            "head", Level.WRONG, "the table has no head: nothing was ever written or swept here", _SWEEP
        )
    if found is None:
        what = "the head is misshapen or swept in the future, so readers ignore it"
        return Finding("head", Level.WRONG, what, _SWEEP + "; the next sweep repairs it")
    age_s = found.swept_age_s
    if age_s is None:
        return Finding(
            "head", Level.WRONG, "the table was never swept, so no marker counts as complete", _SWEEP
        )
    if age_s >= DEFAULTS.lease_s:
        what = f"swept as of {age_s:.0f} s ago, and a lease lasts {DEFAULTS.lease_s:.0f} s: the sweep stopped"
        return Finding("head", Level.WRONG, what, _SWEEP)
    return Finding("head", Level.OK, f"swept as of {age_s:.0f} s ago; a lease lasts {DEFAULTS.lease_s:.0f} s")


def batches(subject: Subject) -> Finding:
    """Check that a reader that holds several secrets may read their markers together."""
    request = {subject.table: {"Keys": [_HEAD]}}
    try:
        subject.aws.call("dynamodb", "BatchGetItem", RequestItems=request)
    except RefusedCallError as refused:
        if refused.fault.code == "ResourceNotFoundException":
            return Finding("markers", Level.UNKNOWN, "there is no table to read markers from", _DEPLOY)
        raise
    return Finding("markers", Level.OK, "this role may read several markers together")


def clock(subject: Subject) -> Finding:
    """Check that this host's clock agrees with the Date header of DynamoDB's answer."""
    before_s = subject.wall()
    answer = _read_head(subject)
    after_s = subject.wall()
    if answer is None:
        return Finding("clock", Level.UNKNOWN, "there is no table whose answers have a date", _DEPLOY)
    date_s = answered_at_of(answer)
    if date_s is None:
        what = "DynamoDB's answer has no Date header, so keyturn cannot measure a marker's age"
        return Finding("clock", Level.WRONG, what, "let the proxy in between pass on the header")
    # The header is the time of some moment during the call, cut off to whole seconds.
    skew_s = max(before_s - (date_s + 1), date_s - after_s, 0.0)
    if skew_s > CLOCK_SKEW_MAX_S:
        way = "ahead of" if before_s > date_s else "behind"
        what = f"this host's clock is {skew_s:.0f} s {way} AWS's, which refuses what is 300 s off"
        return Finding("clock", Level.WRONG, what, "set it by NTP (169.254.169.123 on EC2)")
    return Finding("clock", Level.OK, "this host's clock agrees with AWS's")


def _read_head(subject: Subject) -> Mapping[str, object] | None:
    """Return DynamoDB's answer, or None if there is no such table: the Date is lost with that error."""
    try:
        return subject.aws.call("dynamodb", "GetItem", TableName=subject.table, Key=_HEAD)
    except RefusedCallError as refused:
        if refused.fault.code == "ResourceNotFoundException":
            return None
        raise


def _attributes(table: Mapping[str, object]) -> list[Mapping[str, object]]:
    return mappings(table.get("AttributeDefinitions"))


CHECKS: Mapping[str, Check] = {"table": shape, "head": head, "markers": batches, "clock": clock}
