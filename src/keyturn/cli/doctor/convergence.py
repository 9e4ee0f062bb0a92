"""Checks of the convergence table, if one is named: its shape, and the rights to report and to count."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from keyturn.aws.answers import mapping
from keyturn.cli.doctor.finding import (
    Cause,
    Check,
    Finding,
    Level,
    RefusedCallError,
    Subject,
    unknown,
    wrong,
)
from keyturn.cli.doctor.table import shape_of
from keyturn.convergence.table import EXPIRES

NOBODY = {"pk": {"S": "keyturn-doctor-there-is-no-such-environment"}}
"""The key of an item that does not exist.

A put on the condition that the item exists shows the right to write, and writes nothing.
"""

_DEPLOY = "deploy the stack with Convergence=true, or correct KEYTURN_CONVERGENCE_TABLE and the Region"


def checks_of(table: str) -> Mapping[str, Check]:
    """Return the checks of this table, by name."""

    def convergence(subject: Subject) -> Finding:
        """Check that the table has the right shape and that DynamoDB deletes reports that have ended."""
        found = shape_of("convergence", subject, table, _DEPLOY)
        if found.level is not Level.OK:
            return found
        answer = subject.aws.call("dynamodb", "DescribeTimeToLive", TableName=table)
        life = mapping(answer.get("TimeToLiveDescription"))
        if life.get("TimeToLiveStatus") in ("ENABLED", "ENABLING") and life.get("AttributeName") == EXPIRES:
            return found
        what = f"{table} never deletes reports that have ended: Time to Live is not on for {EXPIRES}"
        fix = (
            f"aws dynamodb update-time-to-live --table-name {shlex.quote(table)} "
            f"--time-to-live-specification Enabled=true,AttributeName={EXPIRES}"
        )
        return wrong("convergence", Cause.NO_EXPIRY, what, fix)

    def report(subject: Subject) -> Finding:
        """Check that this role may report."""
        return _may(subject, "report", "PutItem", Item=NOBODY, ConditionExpression="attribute_exists(pk)")

    def count(subject: Subject) -> Finding:
        """Check that this role may count the reports."""
        return _may(subject, "count", "Scan", Limit=1)

    def _may(subject: Subject, name: str, operation: str, **request: object) -> Finding:
        try:
            subject.aws.call("dynamodb", operation, TableName=table, **request)
        except RefusedCallError as refused:
            if refused.fault.code == "ResourceNotFoundException":
                what = "there is no convergence table to check this on"
                return unknown(name, Cause.NO_TABLE, what, _DEPLOY)
            if refused.fault.code != "ConditionalCheckFailedException":
                raise
        return Finding(name, Level.OK, f"this role may {name} which versions are held")

    return {"convergence": convergence, "report": report, "count": count}
