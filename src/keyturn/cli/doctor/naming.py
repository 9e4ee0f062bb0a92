"""Check of the parameter that names the table (`ssm:NAME`), and how other checks learn the table's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from keyturn.aws.faults import FaultKind
from keyturn.cli.doctor.finding import (
    CHECK_NETWORK,
    Aws,
    Cause,
    Check,
    Finding,
    Level,
    RefusedCallError,
    Subject,
    refusal,
    unknown,
    wrong,
)
from keyturn.errors import MarkerTableError
from keyturn.markers.named import named_table
from keyturn.model.table_names import parameter_of_table

PARAMETER: Final = "parameter"
"""The name of the check."""

NAMELESS: Final = frozenset({"secrets"})
"""The checks that need no name of the marker table."""


def checks_by_name(table: str, checks: Mapping[str, Check]) -> Mapping[str, Check]:
    """Return these checks of a table. Where a parameter names it, there is one more, of the parameter.

    Each of the others then begins with the reading of the name, unless it needs none.
    """
    if parameter_of_table(table) is None:
        return checks
    named = {name: check if name in NAMELESS else _named(name, check) for name, check in checks.items()}
    return {PARAMETER: parameter, **named}


def parameter(subject: Subject) -> Finding:
    """Check that the parameter can be read and names a table."""
    asked = _Asked(subject.aws)
    try:
        table = named_table(subject.table, lambda: asked)
    except MarkerTableError as error:
        refused = asked.refused
        kind = refused.fault.kind if refused is not None else None
        if refused is None or kind in (FaultKind.DENIED, FaultKind.REFUSED):
            cause = Cause.DENIED if kind is FaultKind.DENIED else Cause.FAILED
            return wrong(PARAMETER, cause, str(error), "correct that, or name the table itself")
        if kind is FaultKind.UNAVAILABLE and not refused.fault.status:
            what = f"{refused.endpoint} does not answer ({refused.fault.code})"
            return unknown(PARAMETER, Cause.NO_ANSWER, what, CHECK_NETWORK)
        return refusal(PARAMETER, refused)
    return Finding(PARAMETER, Level.OK, f"it names the table {table}")


def _named(name: str, check: Check) -> Check:
    """Return the check that first reads the name of the table."""

    def named(subject: Subject) -> Finding:
        try:
            table = named_table(subject.table, lambda: _Asked(subject.aws))
        except MarkerTableError:
            what, fix = (
                "not looked at: the name of the marker table is not known",
                f"see the finding of {PARAMETER}",
            )
            return unknown(name, Cause.NOT_LOOKED_AT, what, fix)
        return check(replace(subject, table=table))

    return named


@dataclass(slots=True)
class _Asked:
    """A client for the parameter that asks as the doctor does, and keeps the refusal."""

    aws: Aws
    refused: RefusedCallError | None = None

    def get_parameter(self, **request: object) -> Mapping[str, object]:
        """Return the answer, or raise what the client raised."""
        try:
            return self.aws.call("ssm", "GetParameter", **request)
        except RefusedCallError as refused:
            self.refused = refused
            raise refused.__cause__ or refused from None
