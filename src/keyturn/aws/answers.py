"""How an answer of AWS is taken apart: JSON of any shape in, values of a known shape out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TypeAlias

Call: TypeAlias = Callable[..., Mapping[str, object]]
"""A method of a boto3 or botocore client: takes the request as keywords and returns the answer."""


def mapping(value: object) -> Mapping[str, object]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(listed: object) -> list[Mapping[str, object]]:
    """Return the objects in a JSON list; an empty list if `listed` is no list."""
    return [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []


def answered_at_of(answer: Mapping[str, object]) -> float | None:
    """Return the `Date` header of an answer in whole epoch seconds, which is the service's own clock.

    Returns None for an answer without a usable `Date`.
    """
    headers = mapping(mapping(answer.get("ResponseMetadata")).get("HTTPHeaders"))
    date = headers.get("date")
    return _epoch_s(date) if isinstance(date, str) else None


@lru_cache(maxsize=8)
def _epoch_s(date: str) -> float | None:
    """Convert an HTTP date to epoch seconds; None if it is no date.

    The last dates are cached, because a sweep and a fleet's checks bring many answers within one second.
    """
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
