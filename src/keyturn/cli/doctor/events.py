"""Checks of the way from Secrets Manager to the listener: rules, targets, schedule, permission, trail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from keyturn.aws.answers import mapping, mappings
from keyturn.cli.doctor.finding import (
    Check,
    Finding,
    Level,
    RefusedCallError,
    Subject,
    pages,
)
from keyturn.model.names import Arn
from keyturn.runtime.host import MARKER_TABLE_VARIABLE

LABEL_UPDATED = {"source": "aws.secretsmanager", "detail-type": "Secret Label Updated"}
"""The fields that identify the native event of a moved staging label (Secrets Manager user guide)."""

SWEEP_INPUT = {"keyturn": "sweep"}
EVENTBRIDGE = "events.amazonaws.com"
_DEPLOY = "deploy the stack again (keyturn help operations): it has this rule"

Rule = Mapping[str, object]
Target = Mapping[str, object]


Fed = tuple[Rule, Sequence[Target]]
"""A rule with its targets."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of rule: the name of its check, its description, what its lack means, and how to find it."""

    check: str
    what: str
    matters: str
    find: Callable[[Subject], list[Fed]]


def matches(pattern: object) -> bool:
    """Return True if an event pattern lets the native event through.

    A matcher that is no plain text is taken to match.
    """
    try:
        parsed: object = json.loads(pattern) if isinstance(pattern, str) else None
    except ValueError:
        return False
    fields = mapping(parsed)
    return bool(fields) and all(
        field not in fields or _allows(fields[field], value) for field, value in LABEL_UPDATED.items()
    )


def _allows(allowed: object, value: str) -> bool:
    return isinstance(allowed, list) and any(one == value or isinstance(one, Mapping) for one in allowed)


def sweeps(target: Target) -> bool:
    """Return True if this target's input tells the listener to sweep."""
    try:
        return bool(json.loads(str(target.get("Input"))) == SWEEP_INPUT)
    except ValueError:
        return False


def _event_rules(subject: Subject) -> list[Fed]:
    return [(one, _targets(subject, one)) for one in _rules(subject) if matches(one.get("EventPattern"))]


def _sweep_rules(subject: Subject) -> list[Fed]:
    scheduled = [one for one in _rules(subject) if one.get("ScheduleExpression")]
    fed = [(one, [target for target in _targets(subject, one) if sweeps(target)]) for one in scheduled]
    return [(one, targets) for one, targets in fed if targets]


EVENTS = Kind(
    "rule", "rule for Secret Label Updated events", "only the sweep notices rotations", _event_rules
)
SCHEDULE = Kind(
    "schedule", "schedule of the sweep", "no marker counts once the lease has ended", _sweep_rules
)


def rule(subject: Subject) -> Finding:
    """Check that a rule passes the native events to a listener that writes this table."""
    return _judged(EVENTS, subject)


def schedule(subject: Subject) -> Finding:
    """Check that a rule tells a listener that writes this table to sweep."""
    return _judged(SCHEDULE, subject)


def _judged(kind: Kind, subject: Subject) -> Finding:
    """Return the first fault of the rules of this kind, in the order in which faults must be fixed."""
    rules = kind.find(subject)
    if not rules:
        return Finding(kind.check, Level.WRONG, f"there is no {kind.what}: {kind.matters}", _DEPLOY)
    enabled = _enabled(rules)
    if not enabled:
        name = rules[0][0].get("Name")
        what = f"the {kind.what} ({name}) is disabled: {kind.matters}"
        return Finding(kind.check, Level.WRONG, what, f"aws events enable-rule --name {name}")
    functions = [str(target.get("Arn")) for _, targets in enabled for target in targets]
    functions = [arn for arn in functions if _service(arn) == "lambda"]
    name = enabled[0][0].get("Name")
    if not functions:
        what = f"the {kind.what} ({name}) has no function as its target: {kind.matters}"
        return Finding(kind.check, Level.WRONG, what, _DEPLOY)
    tables = {arn: _table_of(subject, arn) for arn in functions}
    if not any(table == _plain(subject.table) for table in tables.values()):
        what = f"the {kind.what} ({name}) reaches {', '.join(_said(tables))}: {kind.matters}"
        return Finding(kind.check, Level.WRONG, what, "give the name of that listener's table, or deploy one")
    return Finding(kind.check, Level.OK, f"the {kind.what} is enabled and reaches this table's listener")


def permission(subject: Subject) -> Finding:
    """Check that EventBridge may invoke the listener by each rule that should reach it."""
    ways = [way for kind in (EVENTS, SCHEDULE) for way in _ways(kind, subject)]
    if not ways:
        what = "no rule reaches this table's listener, so there is no permission to check"
        return Finding("permission", Level.UNKNOWN, what, "see the findings about the rule and the schedule")
    for one, target in ways:
        # A target with a role of its own needs no permission in the function's policy.
        if target.get("RoleArn"):
            continue
        function = str(target.get("Arn"))
        if any(lets_in(statement, one.get("Arn")) for statement in _statements(subject, function)):
            continue
        name = function.rpartition(":")[2]
        what = f"EventBridge may not invoke function {name} by rule {one.get('Name')}: its calls are lost"
        fix = (
            f"aws lambda add-permission --function-name {name} --statement-id {one.get('Name')} "
            f"--action lambda:InvokeFunction --principal {EVENTBRIDGE} --source-arn {one.get('Arn')}"
        )
        return Finding("permission", Level.WRONG, what, fix)
    return Finding("permission", Level.OK, "EventBridge may invoke this table's listener")


def _ways(kind: Kind, subject: Subject) -> Iterator[tuple[Rule, Target]]:
    """Yield each enabled rule of this kind with each of its targets that writes this table."""
    for one, targets in _enabled(kind.find(subject)):
        for target in targets:
            arn = str(target.get("Arn"))
            if _service(arn) == "lambda" and _table_of(subject, arn) == _plain(subject.table):
                yield one, target


def _statements(subject: Subject, function: str) -> list[Mapping[str, object]]:
    try:
        answer = subject.aws.call("lambda", "GetPolicy", FunctionName=function)
    except RefusedCallError as refused:
        # GetPolicy gives this answer for a function whose policy has no statement.
        if refused.fault.code == "ResourceNotFoundException":
            return []
        raise
    policy: object = json.loads(str(answer.get("Policy")))
    return mappings(mapping(policy).get("Statement"))


def lets_in(statement: Mapping[str, object], rule_arn: object) -> bool:
    """Return True if a statement of a function's policy lets EventBridge invoke the function by this rule.

    A condition on anything but the source's ARN is taken to hold.
    """
    principal = statement.get("Principal")
    who = principal if isinstance(principal, str) else mapping(principal).get("Service")
    if statement.get("Effect") != "Allow" or not {EVENTBRIDGE, "*"}.intersection(_listed(who)):
        return False
    if not any(fnmatchcase("lambda:InvokeFunction", action) for action in _listed(statement.get("Action"))):
        return False
    sources = [
        _listed(patterns)
        for condition in mapping(statement.get("Condition")).values()
        for key, patterns in mapping(condition).items()
        if str(key).lower() == "aws:sourcearn"
    ]
    return all(any(fnmatchcase(str(rule_arn), one) for one in patterns) for patterns in sources)


def _listed(value: object) -> list[str]:
    """Return the texts of a policy's field, which may be a text or a list of texts."""
    every = value if isinstance(value, list) else [value]
    return [one for one in every if isinstance(one, str)]


def _enabled(rules: Sequence[Fed]) -> list[Fed]:
    return [(one, targets) for one, targets in rules if one.get("State") != "DISABLED"]


def _rules(subject: Subject) -> Iterable[Rule]:
    return pages(subject.aws, "events", "ListRules", "Rules")


def _targets(subject: Subject, one: Rule) -> list[Target]:
    return list(pages(subject.aws, "events", "ListTargetsByRule", "Targets", Rule=one.get("Name")))


def _table_of(subject: Subject, function: str) -> str | None:
    """Return the name of the marker table in a function's environment; None if there is no such function."""
    try:
        answer = subject.aws.call("lambda", "GetFunctionConfiguration", FunctionName=function)
    except RefusedCallError as refused:
        if refused.fault.code == "ResourceNotFoundException":
            return None
        raise
    variables = mapping(mapping(answer.get("Environment")).get("Variables"))
    return _plain(str(variables.get(MARKER_TABLE_VARIABLE, "")))


def _said(tables: Mapping[str, str | None]) -> Iterator[str]:
    for arn, table in tables.items():
        name = arn.rpartition(":")[2]
        if table is None:
            yield f"function {name}, which does not exist"
        else:
            yield f"function {name}, which writes " + (f"table {table}" if table else "no marker table")


def trail(subject: Subject) -> Finding:
    """Check that a trail is logging.

    Only a trail makes the CloudTrail events that tell at once of deletions and pending versions.
    """
    logging = [one for one in _trails(subject) if _is_logging(subject, one)]
    if logging:
        return Finding("trail", Level.OK, f"trail {logging[0].get('Name')} is logging")
    what = "no trail is logging here: only announce or the sweep notices pending and deleted versions"
    return Finding("trail", Level.NOTE, what, "optional: create a trail of management events in this Region")


def _trails(subject: Subject) -> list[Mapping[str, object]]:
    return mappings(subject.aws.call("cloudtrail", "DescribeTrails").get("trailList"))


def _is_logging(subject: Subject, one: Mapping[str, object]) -> bool:
    name = one.get("TrailARN") or one.get("Name")
    return subject.aws.call("cloudtrail", "GetTrailStatus", Name=name).get("IsLogging") is True


def _service(text: str) -> str | None:
    arn = Arn.parse(text)
    return arn.service if arn is not None else None


def _plain(table: str) -> str:
    """Return the table's name, given its name or ARN."""
    return table.rpartition("/")[2]


CHECKS: Mapping[str, Check] = {
    "rule": rule,
    "schedule": schedule,
    "permission": permission,
    "trail": trail,
}
