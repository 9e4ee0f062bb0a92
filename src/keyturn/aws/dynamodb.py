"""DynamoDB's items: each attribute is read as its type and within its bounds, or the item is rejected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

NUMBER_MAX: Final = 2**53
ARN_LENGTH: Final = 2048
VERSION_ID_LENGTH: Final = 64

Item: TypeAlias = Mapping[str, object]
"""An item as the low-level DynamoDB client takes and returns it: attribute name -> `{"S": …}` or the like."""

_T = TypeVar("_T")


class MisshapenError(ValueError):
    """An attribute breaks the schema of its table."""


def parsed(item: object, parse: Callable[[Item], _T]) -> _T | None:
    """Return what `parse` makes of an item; None if `item` is no mapping or breaks the schema."""
    if not isinstance(item, Mapping):
        return None
    try:
        return parse(item)
    except MisshapenError:
        return None


def require(*conditions: bool) -> None:
    """Raise `MisshapenError` unless all conditions hold."""
    if not all(conditions):
        raise MisshapenError


def attribute_of(item: Item, name: str, kind: str) -> object:
    """Return the content of the attribute `name`, which must have DynamoDB's type `kind`.

    This function and all that follow raise `MisshapenError` for an attribute that breaks the schema.
    """
    attribute = item.get(name)
    if not isinstance(attribute, dict) or len(attribute) != 1 or kind not in attribute:
        raise MisshapenError(name)
    content: object = attribute[kind]
    return content


def text_of(item: Item, name: str, length_max: int, *, length_min: int = 1) -> str:
    """Return a text of `length_min` to `length_max` characters."""
    text = attribute_of(item, name, "S")
    if not isinstance(text, str) or not length_min <= len(text) <= length_max:
        raise MisshapenError(name)
    return text


def texts_of(item: Item, name: str, key_length_max: int, text_length_max: int) -> dict[str, str]:
    """Return a map of texts. Keys and texts have 1 to so many characters each."""
    content = attribute_of(item, name, "M")
    if not isinstance(content, Mapping):
        raise MisshapenError(name)
    require(all(isinstance(key, str) and 1 <= len(key) <= key_length_max for key in content))
    return {key: text_of(content, key, text_length_max) for key in content}


def bytes_of(item: Item, name: str, length_max: int) -> bytes:
    """Return a binary of at most so many bytes."""
    content = attribute_of(item, name, "B")
    if not isinstance(content, bytes) or len(content) > length_max:
        raise MisshapenError(name)
    return content


def whole_of(item: Item, name: str, *, least: int = 0) -> int:
    """Return a whole number from `least` to `NUMBER_MAX`."""
    digits = attribute_of(item, name, "N")
    # DynamoDB's numbers have at most 38 digits. Python refuses to read some thousands of them.
    if not isinstance(digits, str) or not (len(digits) <= 38 and digits.isascii() and digits.isdecimal()):
        raise MisshapenError(name)
    number = int(digits)
    require(least <= number <= NUMBER_MAX)
    return number


def moment_of(item: Item, name: str) -> float:
    """Return a moment in epoch seconds."""
    number = attribute_of(item, name, "N")
    try:
        moment_s = float(number) if isinstance(number, str) else math.nan
    except ValueError:
        moment_s = math.nan
    require(0 <= moment_s <= NUMBER_MAX)
    return moment_s


def flag_of(item: Item, name: str) -> bool:
    """Return a flag. An absent attribute means False."""
    flag = attribute_of(item, name, "BOOL") if name in item else False
    if not isinstance(flag, bool):
        raise MisshapenError(name)
    return flag


def number_attribute(number: float) -> dict[str, object]:
    """Make the attribute of a number, rounded to three decimal places."""
    return {"N": str(number if isinstance(number, int) else round(number, 3))}


def texts_attribute(texts: Mapping[str, str]) -> dict[str, object]:
    """Make the attribute of a map of texts."""
    return {"M": {key: {"S": text} for key, text in texts.items()}}


def text_or_none(attribute: object) -> str | None:
    """Return the text of an attribute of type S; None for any other value."""
    text = attribute.get("S") if isinstance(attribute, Mapping) else None
    return text if isinstance(text, str) else None


def size_of(item: Item) -> int:
    """Return about how many bytes an item takes with its names."""
    return sum(len(name) + _length(attribute) for name, attribute in item.items())


def _length(attribute: object) -> int:
    content = next(iter(attribute.values()), None) if isinstance(attribute, Mapping) else attribute
    return len(content) if isinstance(content, (str, bytes)) else len(repr(content))
