"""Whether a long run grows: samples of one process, and what may not be more at the end than before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

WARM_UP = 0.25
"""The first part of a run, in which pools and interned names may still fill."""


class Sample(NamedTuple):
    """One process at one moment; `seconds` since its start."""

    seconds: float
    gets: int
    rss_kib: int
    threads: int
    open_files: int
    entries: int
    objects: int


class Allowance(NamedTuple):
    """How much more of a thing the end may have: absolute, or as a share of what there was."""

    name: str
    more: float
    share: float = 0.0


ALLOWANCES = (
    Allowance("rss_kib", 2048, 0.04),
    Allowance("threads", 0),
    # A client's pool may open one more connection when two threads ask at the same moment.
    Allowance("open_files", 2),
    Allowance("entries", 0),
    Allowance("objects", 500, 0.02),
)


class Growth(NamedTuple):
    """One thing at the begin (after the warm-up) and at the end, and how much the end may have."""

    name: str
    begin: float
    end: float
    allowed: float

    @property
    def is_too_much(self) -> bool:
        return self.end > self.allowed


def growths(samples: Sequence[Sample]) -> Iterator[Growth]:
    """What each thing did from the second to the last quarter of the run, by medians."""
    quarter = len(samples) // 4
    if quarter < 2:
        raise ValueError(f"{len(samples)} samples are too few to judge by")
    after_warm_up = round(len(samples) * WARM_UP)
    early, late = samples[after_warm_up : after_warm_up + quarter], samples[-quarter:]
    for name, more, share in ALLOWANCES:
        begin = median(getattr(one, name) for one in early)
        end = median(getattr(one, name) for one in late)
        yield Growth(name, begin, end, begin + max(more, begin * share))
