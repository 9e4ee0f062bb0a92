"""How several secrets are asked about at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

SIDE_BY_SIDE: Final = 8
"""So many secrets are described at a time: some 200 a second, of the 10,000 that an account may."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def side_by_side(work: Callable[[_T], _R], items: Sequence[_T]) -> Iterable[_R]:
    """Call `work` for these items in some threads, and return the results in their order."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        return list(threads.map(work, items))
