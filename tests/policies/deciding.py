"""What IAM decides about a request to DynamoDB, for the little of IAM that keyturn's policies use.

As AWS documents it: a request passes if one statement allows it, ForAllValues passes where the request has no
such value, and `dynamodb:Attributes` has the names of all attributes in the request. It is not AWS's own
evaluation: that only a real account can show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from keyturn.policies.statements import Statement

EXPRESSIONS = ("UpdateExpression", "ConditionExpression")
KEYWORDS = {"SET", "ADD", "REMOVE", "DELETE", "AND", "OR", "attribute_exists", "attribute_not_exists"}


@dataclass(frozen=True)
class Request:
    """A request about one item: its IAM action, the item's key, and the attributes that it names."""

    action: str
    key: str
    attributes: frozenset[str]

    @classmethod
    def of(cls, operation: str, params: Mapping[str, object]) -> Request:
        """Return the request of a call of a low-level client."""
        item = params.get("Item")
        key = params.get("Key") or item
        names = params.get("ExpressionAttributeNames") or {}
        assert isinstance(key, dict)
        assert isinstance(names, dict)
        words = re.findall(r"[#:]?\b\w+", " ".join(str(params.get(part, "")) for part in EXPRESSIONS))
        found = {names.get(word, word) for word in words if not word.startswith(":")} - KEYWORDS
        found |= set(item) if isinstance(item, dict) else {"pk"}
        return cls(f"dynamodb:{operation}", key["pk"]["S"], frozenset(found))


def allows(policy: Sequence[Statement], request: Request) -> bool:
    """Return True if one of the statements allows the request, on the table that they all name."""
    return any(_matches(one, request) for one in policy if one.effect == "Allow")


def _matches(statement: Statement, request: Request) -> bool:
    if request.action not in statement.actions:
        return False
    values = {"dynamodb:LeadingKeys": {request.key}, "dynamodb:Attributes": request.attributes}
    for operator, tests in statement.conditions.items():
        every, _, compare = operator.partition(":")
        assert (every, compare in ("StringEquals", "StringLike")) == ("ForAllValues", True)
        for name, patterns in tests.items():
            if not all(_fits(compare, value, patterns) for value in values[name]):
                return False
    return True


def _fits(compare: str, value: str, patterns: Sequence[str]) -> bool:
    if compare == "StringEquals":
        return value in patterns
    return any(fnmatchcase(value, pattern) for pattern in patterns)
