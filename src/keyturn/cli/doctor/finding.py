"""A finding with its cause, and the translation of a refused call into a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeAlias

from keyturn.aws.faults import Fault, FaultKind

NEEDED_BY_READERS: Final = frozenset(
    {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem", "secretsmanager:GetSecretValue"}
)
"""Readers need these actions, so their denial is wrong. A denial of any other action only limits the doctor.
"""

REACHED_BY_READERS: Final = frozenset({"dynamodb", "secretsmanager"})
"""Readers need an answer of these services. A network without a way to any other only limits the doctor."""

_SKEWED: Final = ("RequestTimeTooSkewed", "Signature expired", "Signature not yet current")


class Level(Enum):
    """How a finding ranks.

    WRONG needs the fix. UNKNOWN could not be looked at. NOTE is worth reading and may be intended.
    """

    OK = "ok"
    NOTE = "note"
    UNKNOWN = "unknown"
    WRONG = "wrong"


class Cause(Enum):
    """Why a finding is not ok. Each cause has a section of its name in `docs/runbook.md`, with the remedy."""

    NO_CLIENT = "no-client"
    NAME_NOT_RESOLVED = "name-not-resolved"
    BY_PROXY = "by-proxy"
    OTHER_REGION = "other-region"
    OTHER_ACCOUNT = "other-account"
    NO_TABLE = "no-table"
    OTHER_KEY = "other-key"
    TABLE_NOT_ACTIVE = "table-not-active"
    NO_HEAD = "no-head"
    MISSHAPEN_HEAD = "misshapen-head"
    NEVER_SWEPT = "never-swept"
    SWEEP_STOPPED = "sweep-stopped"
    COPY_NOT_SWEPT = "copy-not-swept"
    EARLIER_WRITER = "earlier-writer"
    NO_DATE = "no-date"
    WRONG_CLOCK = "wrong-clock"
    NO_RULE = "no-rule"
    NO_SCHEDULE = "no-schedule"
    RULE_DISABLED = "rule-disabled"
    NO_TARGET = "no-target"
    NO_FUNCTION = "no-function"
    OTHER_TABLE = "other-table"
    NO_PERMISSION = "no-permission"
    NO_TRAIL = "no-trail"
    NO_EXPIRY = "no-expiry"
    MISSING_SECRET = "missing-secret"  # noqa: S105 # it is the name of a section
    DENIED = "denied"
    NO_CREDENTIALS = "no-credentials"
    NO_ANSWER = "no-answer"
    THROTTLED = "throttled"
    FAILED = "failed"
    NOT_LOOKED_AT = "not-looked-at"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, what to do about it, and why. If it is ok, it has neither `fix` nor `cause`."""

    check: str
    level: Level
    what: str
    fix: str = ""
    cause: Cause | None = None


def wrong(check: str, cause: Cause, what: str, fix: str) -> Finding:
    """Return the finding of something that needs the fix."""
    return Finding(check, Level.WRONG, what, fix, cause)


def unknown(check: str, cause: Cause, what: str, fix: str) -> Finding:
    """Return the finding of something that could not be looked at."""
    return Finding(check, Level.UNKNOWN, what, fix, cause)


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
        return wrong(name, Cause.WRONG_CLOCK, f"this host's clock is wrong ({fault})", SET_CLOCK)
    match fault.kind:
        case FaultKind.DENIED:
            level = Level.WRONG if action in NEEDED_BY_READERS else Level.UNKNOWN
            what, fix = f"this role may not call {action}", f"allow {action}: {_policy(action)}"
            return Finding(name, level, what, fix, Cause.DENIED)
        case FaultKind.CREDENTIALS_EXPIRED | FaultKind.CREDENTIALS_WRONG:
            what = f"{action}: no valid credentials ({fault.code})"
            fix = fault.advice or "check the role or profile, and when its session ends"
            return wrong(name, Cause.NO_CREDENTIALS, what, fix)
        case FaultKind.UNAVAILABLE if not fault.status:
            return _unanswered(name, refused)
        case FaultKind.THROTTLED:
            return unknown(name, Cause.THROTTLED, f"{action} was throttled", "try again")
    fix = "try again; if it fails again, the message says why"
    return unknown(name, Cause.FAILED, f"{action} failed: {fault}", fix)


def _unanswered(name: str, refused: RefusedCallError) -> Finding:
    """Return the finding for an endpoint that does not answer."""
    what = f"{refused.endpoint} does not answer ({refused.fault.code})"
    if refused.action.partition(":")[0] in REACHED_BY_READERS:
        return wrong(name, Cause.NO_ANSWER, what, CHECK_NETWORK)
    fix = "nothing for a reader, which does not call it; to look at this, run keyturn doctor elsewhere"
    return unknown(name, Cause.NO_ANSWER, what, fix)


SET_CLOCK: Final = "set it by NTP (169.254.169.123 on EC2)"
CHECK_NETWORK: Final = "check the network path (VPC endpoint, DNS, proxy), the Region and AWS_ENDPOINT_URL"


def _policy(action: str) -> str:
    if action in NEEDED_BY_READERS:
        return "keyturn policy reader prints what a reader needs"
    return "only keyturn doctor needs it, readers do not; keyturn policy operator prints all that it needs"


def pages(
    aws: Aws,
    service: str,
    operation: str,
    listed: str,
    *,
    next_page: tuple[str, str] = ("NextToken", "NextToken"),
    **request: object,
) -> Iterator[object]:
    """Yield the entries of a list, page by page.

    `next_page`: the field that says where the next page begins, by its name in a request and in an answer.
    """
    asked, answered = next_page
    while True:
        answer = aws.call(service, operation, **request)
        entries = answer.get(listed)
        yield from entries if isinstance(entries, list) else ()
        if not answer.get(answered):
            return
        request[asked] = answer[answered]
