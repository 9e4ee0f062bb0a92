"""Statements that allow or deny actions, and the policy document that IAM accepts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from keyturn.errors import ConfigurationError
from keyturn.model.fields import Json


class Limit(NamedTuple):
    """How long policies of a kind may be, and what to do about a longer one.

    `indent`: that of the policy as it is attached, where white space counts; None where it does not.
    """

    kind: str
    length_max: int
    advice: str
    indent: int | None = None


OF_ROLE: Final = Limit("a role's inline policies", 10_240, "name groups (prod/*), or use several roles")
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

OF_TABLE: Final = Limit(
    "a table's resource policy", 20_480, "name the organization in place of its accounts", indent=2
)
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/rbac-considerations.html"""

OF_KEY: Final = Limit("a key's policy", 32_768, "name the organization in place of its accounts", indent=2)
"""https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html"""

Conditions = Mapping[str, Mapping[str, Sequence[str]]]
"""Operator -> condition key -> values."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that allows `actions` on `resources`, or denies them.

    In the policy of a resource `principals` are the AWS service, or the numbers of the accounts, that the
    statement is about, or `*`. In the policy of a role it is empty.
    """

    sid: str
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Conditions = field(default_factory=dict)
    effect: str = "Allow"
    principals: Sequence[str] = ()

    @property
    def principal_kind(self) -> str:
        """Return the key under which a policy lists the principals; "" for `*` and without any."""
        if not self.principals or self.principals == ("*",):
            return ""
        return "Service" if self.principals[0].endswith(".amazonaws.com") else "AWS"

    def as_json(self) -> dict[str, Json]:
        """Return the statement as IAM writes it. A list with a single entry is written as that entry.

        A text that a template must fill in (`${...}`) is written as CloudFormation's `Fn::Sub`.
        """
        conditions: dict[str, Json] = {
            operator: {key: _one_or_all(values) for key, values in tests.items()}
            for operator, tests in self.conditions.items()
        }
        kind = self.principal_kind
        principal: Json = {kind: _one_or_all(self.principals)} if kind else "*"
        return {
            "Sid": self.sid,
            "Effect": self.effect,
            **({"Principal": principal} if self.principals else {}),
            "Action": _one_or_all(self.actions),
            "Resource": _one_or_all(self.resources),
            **({"Condition": conditions} if conditions else {}),
        }


def document(statements: Sequence[Statement], limit: Limit = OF_ROLE) -> dict[str, Json]:
    """Return the policy document in the form that PutRolePolicy and its like accept.

    Raises `ConfigurationError` if the document allows nothing, or exceeds the limit.
    """
    if not statements:
        raise ConfigurationError("the policy would allow nothing: name a secret or a parameter")
    made: dict[str, Json] = {
        "Version": "2012-10-17",
        "Statement": [statement.as_json() for statement in statements],
    }
    separators = (",", ":") if limit.indent is None else None
    length = len(json.dumps(made, indent=limit.indent, separators=separators))
    if length > limit.length_max:
        raise ConfigurationError(
            f"the policy has {length} characters, and {limit.kind} at most {limit.length_max}: {limit.advice}"
        )
    return made


def _one_or_all(values: Sequence[str]) -> Json:
    written = [_filled_in(value) for value in values]
    return written[0] if len(written) == 1 else written


def _filled_in(value: str) -> Json:
    return {"Fn::Sub": value} if "${" in value else value
