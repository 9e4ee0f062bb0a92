"""Checks of the convergence table, where one is used: its shape, and who may report to it and count."""

from __future__ import annotations

from collections.abc import Mapping

from keyturn.aws.answers import mapping
from keyturn.cli.doctor.finding import Check, Finding, Level, RefusedCallError, Subject
from keyturn.cli.doctor.table import shape_of
from keyturn.convergence.table import EXPIRES

NOBODY = {"pk": {"S": "keyturn-doctor-there-is-no-such-environment"}}
"""An item that is not there: to put it where it is shows the right to write, and writes nothing."""

_DEPLOY = "deploy the stack with Convergence=true, or correct KEYTURN_CONVERGENCE_TABLE and the Region"


def checks_of(table: str) -> Mapping[str, Check]:
    """The checks of this table, by name."""

    def convergence(subject: Subject) -> Finding:
        """The table is of the right shape, and DynamoDB deletes what is over."""
        found = shape_of("convergence", subject, table, _DEPLOY)
        if found.level is not Level.OK:
            return found
        answer = subject.aws.call("dynamodb", "DescribeTimeToLive", TableName=table)
        life = mapping(answer.get("TimeToLiveDescription"))
        if life.get("TimeToLiveStatus") in ("ENABLED", "ENABLING") and life.get("AttributeName") == EXPIRES:
            return found
        what = f"{table} deletes no report that is over: Time to Live is not on for {EXPIRES}"
        fix = f"aws dynamodb update-time-to-live, on {EXPIRES}; until then it only grows"
        return Finding("convergence", Level.WRONG, what, fix)

    def report(subject: Subject) -> Finding:
        """This role may report."""
        return _may(subject, "report", "PutItem", Item=NOBODY, ConditionExpression="attribute_exists(pk)")

    def count(subject: Subject) -> Finding:
        """This role may count what is reported."""
        return _may(subject, "count", "Scan", Limit=1)

    def _may(subject: Subject, name: str, operation: str, **request: object) -> Finding:
        try:
            subject.aws.call("dynamodb", operation, TableName=table, **request)
        except RefusedCallError as refused:
            if refused.fault.code == "ResourceNotFoundException":
                return Finding(name, Level.UNKNOWN, "there is no convergence table to try it on", _DEPLOY)
            if refused.fault.code != "ConditionalCheckFailedException":
                raise
        return Finding(name, Level.OK, f"this role may {name} which versions are held")

    return {"convergence": convergence, "report": report, "count": count}
