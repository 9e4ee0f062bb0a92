"""Dictionaries of bounded size: the entries that were written longest ago make room."""

from __future__ import annotations

from typing import TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


def make_room(entries: dict[_K, _V], entries_max: int) -> None:
    """Drop the entries that were written longest ago until `entries_max` are left.

    Needs no lock: threads that make room at the same time each have a list of their own.
    """
    excess = len(entries) - entries_max
    if excess > 0:
        for oldest in tuple(entries)[:excess]:
            entries.pop(oldest, None)
