"""What EventBridge and Lambda say of the way to the listener: rules, targets, and who writes the table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from keyturn.aws.answers import mapping, mappings
from keyturn.aws.faults import FaultKind
from keyturn.cli.doctor.finding import RefusedCallError, Subject, pages
from keyturn.cli.doctor.reading import own_account
from keyturn.model.names import Arn
from keyturn.runtime.host import MARKER_TABLE_VARIABLE

LABEL_UPDATED: Final = {"source": "aws.secretsmanager", "detail-type": "Secret Label Updated"}
"""The fields that identify the native event of a moved staging label (Secrets Manager user guide)."""

SOURCES: Final = ("aws.secretsmanager", "aws.ssm")
"""The sources of the events that a listener gets."""

SWEEP_INPUT: Final = {"keyturn": "sweep"}
HANDLER: Final = "rotation_listener.handler.handler"
"""The entry point of the listener's function."""

Rule: TypeAlias = Mapping[str, object]
Target: TypeAlias = Mapping[str, object]
Fed: TypeAlias = tuple[Rule, Sequence[Target]]
"""A rule with its targets."""


def matches(pattern: object) -> bool:
    """Return True if an event pattern lets the native event through.

    A matcher that is no plain text is taken to match.
    """
    fields = _fields(pattern)
    return bool(fields) and all(
        field not in fields or _allows(fields[field], value) for field, value in LABEL_UPDATED.items()
    )


def _fields(pattern: object) -> Mapping[str, object]:
    try:
        return mapping(json.loads(pattern) if isinstance(pattern, str) else None)
    except ValueError:
        return {}


def _allows(allowed: object, value: str) -> bool:
    return isinstance(allowed, list) and any(one == value or isinstance(one, Mapping) for one in allowed)


def sweeps(target: Target) -> bool:
    """Return True if this target's input tells the listener to sweep."""
    try:
        return bool(json.loads(str(target.get("Input"))) == SWEEP_INPUT)
    except ValueError:
        return False


def event_rules(subject: Subject) -> list[Fed]:
    """Return the rules that let the native event through, with their targets."""
    return [(one, targets_of(subject, one)) for one in all_rules(subject) if matches(one.get("EventPattern"))]


def sweep_rules(subject: Subject) -> list[Fed]:
    """Return the schedules that tell a listener to sweep, with these targets.

    Only the schedules of `suspects_of` are looked at, which one call names: an account may have hundreds.
    """
    reach = [one for function in suspects_of(subject) for one in _rules_that_reach(subject, function)]
    scheduled = [one for one in reach if one.get("ScheduleExpression")]
    fed = [(one, [target for target in targets_of(subject, one) if sweeps(target)]) for one in scheduled]
    return [(one, targets) for one, targets in fed if targets]


def ways_to(subject: Subject, function: str) -> list[tuple[Rule, Target]]:
    """Return each enabled rule that has this function as its target, with that target."""
    fed = [(one, targets_of(subject, one)) for one in _rules_that_reach(subject, function)]
    return [(one, target) for one, every in enabled(fed) for target in every if target.get("Arn") == function]


def schedules(subject: Subject) -> list[Rule]:
    """Return every rule that runs on a schedule."""
    return [one for one in all_rules(subject) if one.get("ScheduleExpression")]


def enabled(rules: Iterable[Fed]) -> list[Fed]:
    """Return the rules that are not disabled."""
    return [(one, targets) for one, targets in rules if one.get("State") != "DISABLED"]


def all_rules(subject: Subject) -> list[Rule]:
    """Return every rule of this account and Region."""
    return mappings(list(pages(subject.aws, "events", "ListRules", "Rules")))


def targets_of(subject: Subject, one: Rule) -> list[Target]:
    """Return the targets of a rule."""
    return mappings(list(pages(subject.aws, "events", "ListTargetsByRule", "Targets", Rule=one.get("Name"))))


def functions_among(targets: Iterable[Target]) -> list[str]:
    """Return the ARNs of the functions among these targets."""
    arns = [str(target.get("Arn")) for target in targets]
    return [arn for arn in arns if (parsed := Arn.parse(arn)) is not None and parsed.service == "lambda"]


def listeners_of(subject: Subject) -> list[str]:
    """Return the functions that write this table, as far as they can be found.

    They are among the targets of the rules about secrets and parameters. Without such a rule, every function
    of the account is looked at.
    """
    found = [arn for arn in _reached(subject) if writes(subject, table_of(subject, arn), arn)]
    return found or list(_listeners_without_a_rule(subject))


def suspects_of(subject: Subject) -> list[str]:
    """Return the listeners of this table; without any, the functions that may be those of another table."""
    return listeners_of(subject) or _reached(subject)


def _reached(subject: Subject) -> list[str]:
    """Return the functions that get events about secrets or parameters, each once."""
    about = [one for one in all_rules(subject) if _is_of_a_source(one.get("EventPattern"))]
    reached = functions_among(target for one in about for target in targets_of(subject, one))
    return list(dict.fromkeys(reached))


def _is_of_a_source(pattern: object) -> bool:
    fields = _fields(pattern)
    return bool(fields) and any(
        "source" not in fields or _allows(fields["source"], source) for source in SOURCES
    )


def _listeners_without_a_rule(subject: Subject) -> Iterator[str]:
    next_page = ("Marker", "NextMarker")
    try:
        listed = pages(subject.aws, "lambda", "ListFunctions", "Functions", next_page=next_page)
        for one in mappings(list(listed)):
            arn = str(one.get("FunctionArn"))
            if one.get("Handler") == HANDLER and writes(subject, _table_in(one), arn):
                yield arn
    except RefusedCallError as refused:
        # Then the commands of the findings name no function.
        if refused.fault.kind is not FaultKind.DENIED:
            raise


def _rules_that_reach(subject: Subject, function: str) -> list[Rule]:
    names = set(pages(subject.aws, "events", "ListRuleNamesByTarget", "RuleNames", TargetArn=function))
    return [one for one in all_rules(subject) if one.get("Name") in names]


def table_of(subject: Subject, function: str) -> str | None:
    """Return the marker table in a function's environment; None if there is no such function."""
    try:
        answer = subject.aws.call("lambda", "GetFunctionConfiguration", FunctionName=function)
    except RefusedCallError as refused:
        if refused.fault.code == "ResourceNotFoundException":
            return None
        raise
    return _table_in(answer)


def _table_in(configuration: Mapping[str, object]) -> str:
    variables = mapping(mapping(configuration.get("Environment")).get("Variables"))
    return str(variables.get(MARKER_TABLE_VARIABLE, ""))


def writes(subject: Subject, table: str | None, function: str) -> bool:
    """Return True if `table`, of this function's environment, is the table that is examined.

    A name without an account and a Region is of the function's own, whichever of the two has it.
    """
    return bool(table) and _whole(str(table), function) == _whole(subject.table, function)


def _whole(table: str, function: str) -> tuple[str, str, str]:
    """Return Region, account and name of a table."""
    arn = Arn.parse(table) or Arn.parse(function)
    return (arn.region if arn else "", arn.account if arn else "", name_of(table))


def name_of(table: str) -> str:
    """Return the table's name, given its name or ARN."""
    return table.rpartition("/")[2]


def elsewhere(subject: Subject) -> str:
    """Return where the table is, if that is another account or Region than this role's; else ""."""
    arn = Arn.parse(subject.table)
    if arn is None:
        return ""
    if arn.region != subject.region:
        return f"Region {arn.region}"
    return f"account {arn.account}" if arn.account != own_account(subject) else ""


def statements_of(subject: Subject, function: str) -> list[Mapping[str, object]]:
    """Return the statements of a function's own policy."""
    try:
        answer = subject.aws.call("lambda", "GetPolicy", FunctionName=function)
    except RefusedCallError as refused:
        # GetPolicy gives this answer for a function whose policy has no statement.
        if refused.fault.code == "ResourceNotFoundException":
            return []
        raise
    return mappings(_fields(answer.get("Policy")).get("Statement"))
