"""DynamoDB's condition and update expressions, as far as the marker table uses them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Final, NamedTuple

Item = Mapping[str, object]


class UnfitError(ValueError):
    """The item's attribute is of a type that the update cannot work on."""


class Subject(NamedTuple):
    """An item (None: there is none) and the names and values that an expression speaks of."""

    item: Item | None
    names: Mapping[str, str]
    values: Mapping[str, object]

    def attribute(self, path: str) -> object:
        return self.item.get(self.names.get(path, path)) if self.item is not None else None


Condition = Callable[[Subject], bool]
Change = Callable[[Subject, dict[str, object]], None]
_TOKENS = re.compile(r"[#:]?\w+|[()=<,]")


@cache
def condition(text: str) -> Condition:
    """The test that a condition expression stands for."""
    tokens = _TOKENS.findall(text)
    parsed = _either(tokens)
    if tokens:
        raise ValueError(f"what is {tokens[0]!r} in {text!r}?")
    return parsed


def _either(tokens: list[str]) -> Condition:
    terms = [_both(tokens)]
    while tokens[:1] == ["OR"]:
        tokens.pop(0)
        terms.append(_both(tokens))
    return terms[0] if len(terms) == 1 else lambda subject: any(term(subject) for term in terms)


def _both(tokens: list[str]) -> Condition:
    terms = [_one(tokens)]
    while tokens[:1] == ["AND"]:
        tokens.pop(0)
        terms.append(_one(tokens))
    return terms[0] if len(terms) == 1 else lambda subject: all(term(subject) for term in terms)


def _one(tokens: list[str]) -> Condition:
    first, second = tokens.pop(0), tokens[0]
    if first == "(":
        inner = _either(tokens)
        tokens.pop(0)
        return inner
    if first in ("attribute_exists", "attribute_not_exists"):
        _, path, _ = tokens.pop(0), tokens.pop(0), tokens.pop(0)
        wanted = first == "attribute_exists"
        return lambda subject: (subject.attribute(path) is not None) == wanted
    operator, value = tokens.pop(0), tokens.pop(0)
    if operator == "=":
        return lambda subject: subject.attribute(first) == subject.values[value]
    if operator == "<":
        return lambda subject: _less(subject.attribute(first), subject.values[value])
    raise ValueError(f"what is {second!r} after {first!r}?")


def _less(left: object, right: object) -> bool:
    one, other = _number(left), _number(right)
    return one is not None and other is not None and one < other


def _number(attribute: object) -> Decimal | None:
    digits = attribute.get("N") if isinstance(attribute, Mapping) else None
    return Decimal(digits) if isinstance(digits, str) else None


def updated(text: str, subject: Subject) -> dict[str, object]:
    """The item after an update expression; `UnfitError` where DynamoDB refuses.

    Every clause speaks of the item as it was before.
    """
    item = dict(subject.item or {})
    for change in _changes(text):
        change(subject, item)
    return item


@cache
def _changes(text: str) -> list[Change]:
    """What the parts of an update expression do, one after the other."""
    found = list[Change]()
    for clause in re.split(r" (?=(?:SET|ADD|REMOVE) )", text):
        kind, _, parts = clause.partition(" ")
        found += [_CLAUSES[kind](part.strip()) for part in re.split(r",(?![^(]*\))", parts)]
    return found


def _set(text: str) -> Change:
    path, value = (part.strip() for part in text.split("=", 1))
    of = _value(value)

    def change(subject: Subject, item: dict[str, object]) -> None:
        item[subject.names.get(path, path)] = of(subject)

    return change


def _add(text: str) -> Change:
    path, value = text.split()

    def change(subject: Subject, item: dict[str, object]) -> None:
        before = subject.attribute(path)
        count, more = _number(before) if before is not None else Decimal(0), _number(subject.values[value])
        if count is None or more is None:
            raise UnfitError(path)
        item[subject.names.get(path, path)] = {"N": str(count + more)}

    return change


def _remove(text: str) -> Change:
    def change(subject: Subject, item: dict[str, object]) -> None:
        item.pop(subject.names.get(text, text), None)

    return change


_CLAUSES: Final[Mapping[str, Callable[[str], Change]]] = {"SET": _set, "ADD": _add, "REMOVE": _remove}


def _value(text: str) -> Callable[[Subject], object]:
    found = re.fullmatch(r"if_not_exists\((\S+), (\S+)\)", text)
    if found is None:
        return lambda subject: subject.values[text]
    path, default = found.groups()

    def value(subject: Subject) -> object:
        there = subject.attribute(path)
        return there if there is not None else subject.values[default]

    return value
