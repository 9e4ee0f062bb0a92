"""A finding, and the translation of a refused call into a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeAlias

from keyturn.aws.answers import mappings
from keyturn.aws.faults import Fault, FaultKind

NEEDED_BY_READERS: Final = frozenset(
    {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem", "secretsmanager:GetSecretValue"}
)
"""Readers need these actions, so their denial is wrong. A denial of any other action only limits the doctor.
"""

_SKEWED: Final = ("RequestTimeTooSkewed", "Signature expired", "Signature not yet current")


class Level(Enum):
    """How a finding ranks.

    WRONG needs the fix. UNKNOWN could not be looked at. NOTE is worth reading and may be intended.
    """

    OK = "ok"
    NOTE = "note"
    UNKNOWN = "unknown"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and what to do about it. An empty `fix` means that there is nothing to do."""

    check: str
    level: Level
    what: str
    fix: str = ""


class RefusedCallError(Exception):
    """Raised when a call of the doctor fails. `action` is the action's name in IAM."""

    def __init__(self, action: str, fault: Fault, endpoint: str = "") -> None:
        super().__init__(f"{action}: {fault.code}")
        self.action = action
        self.fault = fault
        self.endpoint = endpoint


class Aws(Protocol):
    """Calls any operation of any service."""

    def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
        """Return the answer or raise `RefusedCallError`. `operation` is the API's name, as "GetItem"."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined: a marker table (name or ARN) and the secrets that this role should read."""

    aws: Aws
    table: str
    region: str
    wall: Callable[[], float]
    secrets: Sequence[str] = ()
    convergence: str | None = None


Check: TypeAlias = Callable[[Subject], Finding]


def examined(name: str, check: Check, subject: Subject) -> Finding:
    """Run the check and return its finding. A refused call becomes a finding that says so."""
    try:
        return check(subject)
    except RefusedCallError as refused:
        return refusal(name, refused)


def refusal(name: str, refused: RefusedCallError) -> Finding:
    """Return the finding for a call that was refused or not answered."""
    action, fault = refused.action, refused.fault
    if any(sign in str(fault) for sign in _SKEWED):
        return Finding(name, Level.WRONG, f"this host's clock is wrong ({fault})", "set it by NTP")
    match fault.kind:
        case FaultKind.DENIED:
            level = Level.WRONG if action in NEEDED_BY_READERS else Level.UNKNOWN
            return Finding(
                name, level, f"this role may not call {action}", f"allow {action}: {_policy(action)}"
            )
        case FaultKind.CREDENTIALS_EXPIRED | FaultKind.CREDENTIALS_WRONG:
            what = f"{action}: no valid credentials ({fault.code})"
            return Finding(name, Level.WRONG, what, "check the role or profile, and when its session ends")
        case FaultKind.UNAVAILABLE if not fault.status:
            fix = "check the network path (VPC endpoint, DNS, proxy), the Region and AWS_ENDPOINT_URL"
            return Finding(name, Level.WRONG, f"{refused.endpoint} does not answer ({fault.code})", fix)
        case FaultKind.THROTTLED:
            return Finding(name, Level.UNKNOWN, f"{action} was throttled", "try again")
    return Finding(
        name, Level.UNKNOWN, f"{action} failed: {fault}", "try again; if it fails again, the message says why"
    )


def _policy(action: str) -> str:
    if action in NEEDED_BY_READERS:
        return "keyturn policy reader prints what a reader needs"
    return "only keyturn doctor needs it, readers do not"


def pages(
    aws: Aws, service: str, operation: str, listed: str, **request: object
) -> Iterator[Mapping[str, object]]:
    """Yield the entries of a list, page by page."""
    while True:
        answer = aws.call(service, operation, **request)
        yield from mappings(answer.get(listed))
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]
