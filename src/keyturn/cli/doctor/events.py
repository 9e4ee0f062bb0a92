"""Checks of the way from Secrets Manager to the listener: rules, targets, schedule, permission, trail."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from keyturn.aws.answers import mapping, mappings
from keyturn.cli.doctor import remedies, rules
from keyturn.cli.doctor.finding import Cause, Check, Finding, Level, Subject, unknown, wrong
from keyturn.cli.doctor.remedies import EVENTBRIDGE, Wanted, sources_of, texts
from keyturn.cli.doctor.rules import Fed, Rule, Target

_DEPLOY = "deploy the stack: keyturn help operations"
_REVERT = "put the stack back to its template: keyturn help runbook"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of rule: the name of its check, its description, what its lack means, and how to find it."""

    check: str
    what: str
    matters: str
    find: Callable[[Subject], list[Fed]]
    lack: Cause
    wanted: Wanted


EVENTS = Kind(
    "rule",
    "rule for Secret Label Updated events",
    "only the sweep notices rotations",
    rules.event_rules,
    Cause.NO_RULE,
    remedies.EVENTS,
)
SCHEDULE = Kind(
    "schedule",
    "schedule of the sweep",
    "no marker counts once the lease has ended",
    rules.sweep_rules,
    Cause.NO_SCHEDULE,
    remedies.SCHEDULE,
)


def rule(subject: Subject) -> Finding:
    """Check that a rule passes the native events to a listener that writes this table."""
    return _of_another_place(EVENTS.check, subject) or _judged(EVENTS, subject)


def schedule(subject: Subject) -> Finding:
    """Check that a rule tells a listener that writes this table to sweep."""
    elsewhere = _of_another_place(SCHEDULE.check, subject)
    if elsewhere is not None:
        return elsewhere
    if rules.schedules(subject) and not rules.suspects_of(subject):
        what = "no listener is known here, so it is not known which schedule is its own"
        return unknown(SCHEDULE.check, Cause.NO_SCHEDULE, what, "see the finding about the rule")
    return _judged(SCHEDULE, subject)


def _of_another_place(check: str, subject: Subject) -> Finding | None:
    """Return the finding about a table whose rules this role cannot look at; None if it can."""
    place = rules.elsewhere(subject)
    if not place:
        return None
    what = f"the table is of {place}, and so are its rules and its listener"
    return unknown(check, Cause.OTHER_ACCOUNT, what, f"run keyturn doctor with a role of {place}, too")


def _judged(kind: Kind, subject: Subject) -> Finding:
    """Return the first fault of the rules of this kind, in the order in which faults must be fixed."""
    found = kind.find(subject)
    if not found:
        what = f"there is no {kind.what}: {kind.matters}"
        return wrong(kind.check, kind.lack, what, _put_rule(kind, subject))
    enabled = rules.enabled(found)
    if not enabled:
        name = found[0][0].get("Name")
        what = f"the {kind.what} ({name}) is disabled: {kind.matters}"
        fix = f"aws events enable-rule --name {shlex.quote(str(name))}"
        return wrong(kind.check, Cause.RULE_DISABLED, what, fix)
    functions = rules.functions_among(target for _, targets in enabled for target in targets)
    name = str(enabled[0][0].get("Name"))
    if not functions:
        what = f"the {kind.what} ({name}) has no function as its target: {kind.matters}"
        return wrong(kind.check, Cause.NO_TARGET, what, _put_target(kind, subject, name))
    tables = {arn: rules.table_of(subject, arn) for arn in functions}
    if any(rules.writes(subject, table, arn) for arn, table in tables.items()):
        what = f"the {kind.what} is enabled and reaches this table's listener"
        return Finding(kind.check, Level.OK, what)
    what = f"the {kind.what} ({name}) reaches {', '.join(_said(tables))}: {kind.matters}"
    if None in tables.values():
        return wrong(kind.check, Cause.NO_FUNCTION, what, _REVERT)
    return wrong(kind.check, Cause.OTHER_TABLE, what, "give the name of that listener's table, or deploy one")


def _put_rule(kind: Kind, subject: Subject) -> str:
    listeners = rules.listeners_of(subject)
    return remedies.put_rule(subject, kind.wanted, listeners[0]) if listeners else _DEPLOY


def _put_target(kind: Kind, subject: Subject, rule_name: str) -> str:
    listeners = rules.listeners_of(subject)
    return remedies.put_target(kind.wanted, rule_name, listeners[0]) if listeners else _DEPLOY


def _said(tables: Mapping[str, str | None]) -> Iterator[str]:
    for arn, table in tables.items():
        name = remedies.name_of(arn)
        if table is None:
            yield f"function {name}, which does not exist"
        else:
            yield f"function {name}, which writes " + (f"table {table}" if table else "no marker table")


def permission(subject: Subject) -> Finding:
    """Check that EventBridge may invoke the listener by each rule that has it as its target."""
    elsewhere = _of_another_place("permission", subject)
    if elsewhere is not None:
        return elsewhere
    ways = [way for function in rules.listeners_of(subject) for way in rules.ways_to(subject, function)]
    if not ways:
        what = "no rule reaches this table's listener, so there is no permission to check"
        fix = "see the findings about the rule and the schedule"
        return unknown("permission", Cause.NO_RULE, what, fix)
    refused = [way for way in ways if not _may_invoke(subject, *way)]
    if refused:
        named = ", ".join(str(one.get("Name")) for one, _ in refused)
        function = remedies.name_of(str(refused[0][1].get("Arn")))
        what = f"EventBridge may not invoke function {function} by rule {named}: its calls are lost"
        return wrong("permission", Cause.NO_PERMISSION, what, " && ".join(_permissions(refused)))
    return Finding("permission", Level.OK, "EventBridge may invoke this table's listener")


def _permissions(ways: Iterable[tuple[Rule, Target]]) -> Iterator[str]:
    for one, target in ways:
        yield remedies.add_permission(str(target.get("Arn")), one.get("Name"), one.get("Arn"))


def _may_invoke(subject: Subject, one: Rule, target: Target) -> bool:
    # A target with a role of its own needs no permission in the function's policy.
    if target.get("RoleArn"):
        return True
    statements = rules.statements_of(subject, str(target.get("Arn")))
    return any(lets_in(statement, one.get("Arn")) for statement in statements)


def lets_in(statement: Mapping[str, object], rule_arn: object) -> bool:
    """Return True if a statement of a function's policy lets EventBridge invoke the function by this rule.

    A condition on anything but the source's ARN is taken to hold.
    """
    principal = statement.get("Principal")
    who = principal if isinstance(principal, str) else mapping(principal).get("Service")
    if statement.get("Effect") != "Allow" or not {EVENTBRIDGE, "*"}.intersection(texts(who)):
        return False
    if not any(fnmatchcase("lambda:InvokeFunction", action) for action in texts(statement.get("Action"))):
        return False
    return all(any(fnmatchcase(str(rule_arn), one) for one in patterns) for patterns in sources_of(statement))


def trail(subject: Subject) -> Finding:
    """Check that a trail is logging.

    Only a trail makes the CloudTrail events that tell at once of deletions and pending versions.
    """
    elsewhere = _of_another_place("trail", subject)
    if elsewhere is not None:
        return elsewhere
    logging = [one for one in _trails(subject) if _is_logging(subject, one)]
    if logging:
        return Finding("trail", Level.OK, f"trail {logging[0].get('Name')} is logging")
    what = "no trail is logging here: only announce or the sweep notices pending and deleted versions"
    fix = "optional: create a trail of management events in this Region"
    return Finding("trail", Level.NOTE, what, fix, Cause.NO_TRAIL)


def _trails(subject: Subject) -> list[Mapping[str, object]]:
    return mappings(subject.aws.call("cloudtrail", "DescribeTrails").get("trailList"))


def _is_logging(subject: Subject, one: Mapping[str, object]) -> bool:
    name = one.get("TrailARN") or one.get("Name")
    return subject.aws.call("cloudtrail", "GetTrailStatus", Name=name).get("IsLogging") is True


CHECKS: Mapping[str, Check] = {
    "rule": rule,
    "schedule": schedule,
    "permission": permission,
    "trail": trail,
}
