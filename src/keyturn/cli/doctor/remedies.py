"""The commands that put back a rule, its target, or its permission, filled in for this account.

A deployment does not do that: CloudFormation compares the template with its last deployment, not with what is
there.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from keyturn.aws.answers import mapping
from keyturn.cli.doctor.finding import Subject
from keyturn.cli.doctor.rules import SWEEP_INPUT, statements_of

EVENTBRIDGE: Final = "events.amazonaws.com"
NAME_LENGTH_MAX: Final = 64
"""A rule's name has at most so many characters (EventBridge API reference, PutRule)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A rule as the stack makes it.

    Args:
        resource: its name in the stack's template, which is part of its own name.
        chosen: the options of `aws events put-rule` that say when it fires.
        input: what it passes to the listener; None: the event.
    """

    resource: str
    chosen: Sequence[str]
    input: str | None = None


EVENTS: Final = Wanted(
    "SecretLabelUpdated",
    ("--event-pattern", '{"source":["aws.secretsmanager"],"detail-type":["Secret Label Updated"]}'),
)
SCHEDULE: Final = Wanted("Sweep", ("--schedule-expression", "rate(5 minutes)"), json.dumps(SWEEP_INPUT))


def put_rule(subject: Subject, wanted: Wanted, function: str) -> str:
    """Return the commands that make the rule, give it its target, and let it invoke the function.

    The rule gets the name that the function's policy has for it, if there is one: then it is the stack's
    again, whether it was deleted, changed, or lost its target.
    """
    lost = next(_named_before(subject, wanted, function), None)
    # The end of a function's name is what tells it from those of other stacks.
    name = lost or f"{name_of(function)[-(NAME_LENGTH_MAX - len(wanted.resource) - 1) :]}-{wanted.resource}"
    made = shlex.join(("aws", "events", "put-rule", "--name", name, *wanted.chosen))
    commands = [made, put_target(wanted, name, function)]
    if lost is None:
        commands.append(add_permission(function, name, _rule_arn(function, name)))
    return " && ".join(commands)


def put_target(wanted: Wanted, rule: str, function: str) -> str:
    """Return the command that makes this function the rule's target."""
    target = {"Id": "listener", "Arn": function}
    if wanted.input is not None:
        target["Input"] = wanted.input
    return shlex.join(("aws", "events", "put-targets", "--rule", rule, "--targets", json.dumps([target])))


def add_permission(function: str, rule: object, rule_arn: object) -> str:
    """Return the command that lets EventBridge invoke this function by this rule."""
    return shlex.join(
        (
            *("aws", "lambda", "add-permission", "--function-name", name_of(function)),
            # A rule's name may have a dot, and the id of a statement may not.
            *("--statement-id", str(rule).replace(".", "-"), "--action", "lambda:InvokeFunction"),
            *("--principal", EVENTBRIDGE, "--source-arn", str(rule_arn)),
        )
    )


def name_of(function: str) -> str:
    """Return a function's name, with its version or alias if it has one, given its ARN."""
    return function.rpartition(":function:")[2]


def sources_of(statement: Mapping[str, object]) -> list[list[str]]:
    """Return the patterns of each condition on `aws:SourceArn` of a statement."""
    return [
        texts(patterns)
        for condition in mapping(statement.get("Condition")).values()
        for key, patterns in mapping(condition).items()
        if str(key).lower() == "aws:sourcearn"
    ]


def texts(value: object) -> list[str]:
    """Return the texts of a policy's field, which may be a text or a list of texts."""
    every = value if isinstance(value, list) else [value]
    return [one for one in every if isinstance(one, str)]


def _named_before(subject: Subject, wanted: Wanted, function: str) -> Iterator[str]:
    """Yield the names of this rule of the stack that the function's policy lets in."""
    for statement in statements_of(subject, function):
        for source in chain.from_iterable(sources_of(statement)):
            name = source.rpartition("rule/")[2]
            if wanted.resource in name and "*" not in name:
                yield name


def _rule_arn(function: str, name: str) -> str:
    arn = function.split(":")
    return ":".join((*arn[:2], "events", *arn[3:5], f"rule/{name}"))
