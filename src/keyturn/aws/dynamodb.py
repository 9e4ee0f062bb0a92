"""DynamoDB's items and answers: each attribute read as its type and within its bounds, or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, TypeAlias

NUMBER_MAX: Final = 2**53
ARN_LENGTH: Final = 2048
VERSION_ID_LENGTH: Final = 64

Item: TypeAlias = Mapping[str, object]
"""An item as DynamoDB's low-level client gives and takes it: attribute name -> `{"S": …}` and the like."""

Call: TypeAlias = Callable[..., Mapping[str, object]]


class MisshapenError(ValueError):
    """An attribute that breaks its table's schema."""


def require(*conditions: bool) -> None:
    """`MisshapenError` unless all hold."""
    if not all(conditions):
        raise MisshapenError


def attribute_of(item: Item, name: str, kind: str) -> object:
    """The content of the attribute `name`, which must be of DynamoDB's type `kind`."""
    attribute = item.get(name)
    if not isinstance(attribute, dict) or len(attribute) != 1 or kind not in attribute:
        raise MisshapenError(name)
    content: object = attribute[kind]
    return content


def text_of(item: Item, name: str, length_max: int, *, length_min: int = 1) -> str:
    """A text of so many characters."""
    text = attribute_of(item, name, "S")
    if not isinstance(text, str) or not length_min <= len(text) <= length_max:
        raise MisshapenError(name)
    return text


def whole_of(item: Item, name: str, *, least: int = 0) -> int:
    """A whole number from `least` to `NUMBER_MAX`."""
    digits = attribute_of(item, name, "N")
    if not isinstance(digits, str) or not digits.isascii() or not digits.isdecimal():
        raise MisshapenError(name)
    # DynamoDB's numbers have at most 38 digits, so `int` stays cheap.
    require(least <= int(digits[:40]) <= NUMBER_MAX)
    return int(digits)


def moment_of(item: Item, name: str) -> float:
    """A moment in epoch seconds."""
    number = attribute_of(item, name, "N")
    try:
        moment_s = float(number) if isinstance(number, str) else math.nan
    except ValueError:
        moment_s = math.nan
    require(0 <= moment_s <= NUMBER_MAX)
    return moment_s


def flag_of(item: Item, name: str) -> bool:
    """A flag; absent means no."""
    flag = attribute_of(item, name, "BOOL") if name in item else False
    if not isinstance(flag, bool):
        raise MisshapenError(name)
    return flag


def number_of(number: float) -> dict[str, object]:
    """The attribute of a number, to the thousandth."""
    return {"N": str(number if isinstance(number, int) else round(number, 3))}


def text_or_none(attribute: object) -> str | None:
    """The text of an attribute that is one."""
    text = attribute.get("S") if isinstance(attribute, Mapping) else None
    return text if isinstance(text, str) else None


def mappings(listed: object) -> list[Item]:
    """The objects of a list; none if it is no list."""
    return [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []


def answered_at_of(answer: Mapping[str, object]) -> float | None:
    """The `Date` of an answer (epoch seconds, whole): the table's own clock. None without one."""
    meta = answer.get("ResponseMetadata")
    headers = meta.get("HTTPHeaders") if isinstance(meta, Mapping) else None
    date = headers.get("date") if isinstance(headers, Mapping) else None
    return _epoch_s(date) if isinstance(date, str) else None


@lru_cache(maxsize=8)
def _epoch_s(date: str) -> float | None:
    """An HTTP date in epoch seconds. Many answers come within one second: a sweep's, or a fleet's checks."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
