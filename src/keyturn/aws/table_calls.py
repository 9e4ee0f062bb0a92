"""How a DynamoDB table is called: each failed call becomes the table's error, whose text says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keyturn.aws.answers import Call
from keyturn.aws.faults import Fault, FaultKind, called, fault_of
from keyturn.errors import ConvergenceTableError, MarkerTableError


class TableCalls:
    """Makes the calls on one DynamoDB table. Holds no state, so threads may share it.

    Args:
        table: the table's name or ARN.
        error: the class of the error that a failed call raises.
        if_denied: what to do when a policy denies a call.
        if_missing: what to do when the account and Region of the client have no such table.
    """

    def __init__(
        self,
        table: str,
        error: type[MarkerTableError | ConvergenceTableError],
        *,
        if_denied: str,
        if_missing: str,
    ) -> None:
        self.table = table
        self._error = error
        self._if_denied = if_denied
        self._if_missing = if_missing

    def ask(self, call: Call, **request: object) -> Mapping[str, object]:
        """Make `call` with this table as `TableName`, and return the answer."""
        return self.send(call, TableName=self.table, **request)

    def send(self, call: Call, **request: object) -> Mapping[str, object]:
        """Make `call` with these arguments alone, and return the answer."""
        return called(lambda: call(**request), lambda error: self.failure(fault_of(error)))

    def pages(self, scan: Call, **request: object) -> Iterator[Mapping[str, object]]:
        """Scan the whole table, and yield each answer: one page of items."""
        start: dict[str, object] = {}
        while True:
            answer = self.ask(scan, **request, **start)
            yield answer
            if not answer.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def failure(self, fault: Fault) -> MarkerTableError | ConvergenceTableError:
        """Make the error of a failed call; the caller raises it."""
        denied = fault.kind is FaultKind.DENIED
        return self._error(self.table, f"{self._advice(fault)} ({fault})", denied=denied)

    def _advice(self, fault: Fault) -> str:
        if fault.kind is FaultKind.DENIED:
            return self._if_denied
        if fault.kind is FaultKind.REFUSED and fault.code == "ResourceNotFoundException":
            return self._if_missing
        return _table_advice(fault)


def _table_advice(fault: Fault) -> str:
    """Say what happened to a call and what to do, where that is the same for every table."""
    match fault.kind:
        case FaultKind.CREDENTIALS_EXPIRED | FaultKind.CREDENTIALS_WRONG:
            what = fault.advice or "check its role or its profile"
            return f"the DynamoDB client has no valid credentials; {what}"
        case FaultKind.THROTTLED:
            return (
                "DynamoDB throttled the call; set the table's capacity mode to on-demand, in which one item "
                "serves 3,000 strongly consistent reads/s"
            )
        case FaultKind.FOREIGN:
            return "the DynamoDB client raised an error of its own; see its credentials and settings"
        case FaultKind.UNAVAILABLE:
            return (
                "DynamoDB is unreachable; check the network path (VPC endpoint, DNS) and the client's Region"
            )
    if fault.code == "ValidationException":
        return (
            "DynamoDB rejected the request; the table's primary key must be the String pk alone, as the "
            "stack makes it"
        )
    return "DynamoDB rejected the request"
