"""How the checks run: side by side, within one deadline, and so that each list is asked for once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Final

from keyturn.cli.doctor.finding import CHECK_NETWORK, Aws, Cause, Check, Finding, Subject, examined, unknown
from keyturn.runtime.threads import start_thread

WITHIN_S: Final = 10.0
"""How long all checks take at most."""

SHARED: Final = frozenset({"events", "lambda", "ssm", "sts"})
"""The services whose answers several checks use. DynamoDB's answers are dated, so each check has its own."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Makes each call of the shared services once. Checks that need the same answer wait for it."""

    aws: Aws
    answers: dict[str, Future[Mapping[str, object]]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
        """Return the answer or raise `RefusedCallError`. See `Aws.call`."""
        if service not in SHARED:
            return self.aws.call(service, operation, **request)
        asked = json.dumps((service, operation, request), sort_keys=True)
        with self.lock:
            is_first = asked not in self.answers
            answer = self.answers.setdefault(asked, Future())
        if is_first:
            try:
                answer.set_result(self.aws.call(service, operation, **request))
            except BaseException as error:  # noqa: BLE001 # whoever waits has to be told of anything
                answer.set_exception(error)
        return answer.result()


@dataclass(slots=True)
class Watched:
    """Notes which call a check waits for. A check that makes no call can only wait for the name server."""

    aws: Aws
    waits_for: str = "the name server"

    def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
        """Return the answer or raise `RefusedCallError`. See `Aws.call`."""
        self.waits_for = f"{service}:{operation}"
        return self.aws.call(service, operation, **request)


def findings_of(
    checks: Mapping[str, Check],
    subject: Subject,
    monotonic: Callable[[], float],
    within_s: float,
    begun_s: float | None,
) -> list[Finding]:
    """Run the checks in threads and return a finding of each, in their order.

    A check without a finding `within_s` after `begun_s` (None: now) is unknown, and its thread is left
    behind. An error that a check raises is a defect and is raised here.
    """
    ends_s = (monotonic() if begun_s is None else begun_s) + within_s
    shared = Shared(subject.aws)
    watched = {name: Watched(shared) for name in checks}
    told: SimpleQueue[tuple[str, Finding | BaseException]] = SimpleQueue()
    for name, check in checks.items():
        of_check = replace(subject, aws=watched[name])
        start_thread(f"keyturn-doctor-{name}", partial(_run, name, check, of_check, told))
    found: dict[str, Finding] = {}
    while len(found) < len(checks):
        try:
            name, finding = told.get(timeout=max(ends_s - monotonic(), 0.0))
        except Empty:
            break
        if isinstance(finding, BaseException):
            raise finding
        found[name] = finding
    return [
        found[name] if name in found else late(name, watched[name].waits_for, within_s) for name in checks
    ]


def _run(
    name: str, check: Check, subject: Subject, told: SimpleQueue[tuple[str, Finding | BaseException]]
) -> None:
    try:
        told.put((name, examined(name, check, subject)))
    except BaseException as error:  # noqa: BLE001 # it is raised in the thread that waits
        told.put((name, error))


def late(name: str, waits_for: str, within_s: float, fix: str = CHECK_NETWORK) -> Finding:
    """Return the finding of a check that had to wait too long for something."""
    what = f"not looked at: {waits_for} had no answer within {within_s:g} s"
    return unknown(name, Cause.NOT_LOOKED_AT, what, fix)
