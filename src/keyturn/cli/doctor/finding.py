"""A finding, and how a call that was refused becomes one."""

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
"""A denial of these is wrong wherever secrets are read; of others, only the doctor is less able."""

_SKEWED: Final = ("RequestTimeTooSkewed", "Signature expired", "Signature not yet current")


class Level(Enum):
    """WRONG needs the fix; UNKNOWN could not be looked at; NOTE is worth knowing and may be meant so."""

    OK = "ok"
    NOTE = "note"
    UNKNOWN = "unknown"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it (empty: nothing)."""

    check: str
    level: Level
    what: str
    fix: str = ""


class RefusedCallError(Exception):
    """A call of the doctor failed; `action` is as IAM names it."""

    def __init__(self, action: str, fault: Fault, endpoint: str = "") -> None:
        super().__init__(f"{action}: {fault.code}")
        self.action = action
        self.fault = fault
        self.endpoint = endpoint


class Aws(Protocol):
    """Calls any operation of any service."""

    def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
        """The answer; `RefusedCallError` without one. `operation` is as in the API, as "GetItem"."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined: a marker table (name or ARN) and the secrets that are to be read, from here.

    `region` is the clients', `wall` this host's clock in epoch seconds, `convergence` the convergence table,
    if one is used.
    """

    aws: Aws
    table: str
    region: str
    wall: Callable[[], float]
    secrets: Sequence[str] = ()
    convergence: str | None = None


Check: TypeAlias = Callable[[Subject], Finding]


def examined(name: str, check: Check, subject: Subject) -> Finding:
    """What the check finds, or why it could not look."""
    try:
        return check(subject)
    except RefusedCallError as refused:
        return refusal(name, refused)


def refusal(name: str, refused: RefusedCallError) -> Finding:
    """The finding of a call that was refused or not answered."""
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
            return Finding(name, Level.WRONG, f"no answer from {refused.endpoint} ({fault.code})", fix)
        case FaultKind.THROTTLED:
            return Finding(name, Level.UNKNOWN, f"{action} was throttled", "try again")
    return Finding(
        name, Level.UNKNOWN, f"{action} failed: {fault}", "try again; if it lasts, see its message"
    )


def _policy(action: str) -> str:
    if action in NEEDED_BY_READERS:
        return "keyturn policy reader prints what a reader needs"
    return "the doctor's own wish, no reader needs it"


def pages(
    aws: Aws, service: str, operation: str, listed: str, **request: object
) -> Iterator[Mapping[str, object]]:
    """The entries of a list, page by page."""
    while True:
        answer = aws.call(service, operation, **request)
        yield from mappings(answer.get(listed))
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]
