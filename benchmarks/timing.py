"""Timing that is fair on a busy machine: all subjects in turn, many short turns, medians."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from timeit import Timer
from typing import Final

Take = Callable[[], float]
"""Takes one sample of one subject."""

SAMPLE_S: Final = 0.003


def interleaved(subjects: Mapping[str, Take], rounds: int) -> dict[str, list[float]]:
    """Take `rounds` samples of each subject in turn. Each round begins with another subject."""
    names = list(subjects)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(subjects[name]())
    return samples


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios, round by round: a busy moment slows both sides of one round."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


def nanoseconds(statement: str, **names: object) -> Take:
    """Return a `Take` of the nanoseconds of a statement. A sample lasts some 3 ms; `names` are its locals.

    Garbage is collected as in a program.
    """
    setup = "; ".join(["import gc; gc.enable()", *(f"{name} = _{name}" for name in names)])
    timer = Timer(statement, setup, globals={f"_{name}": value for name, value in names.items()})
    number = 1
    while (seconds := timer.timeit(number)) < SAMPLE_S / 4:
        number *= 4
    number = max(1, round(number * SAMPLE_S / seconds))
    return lambda: timer.timeit(number) / number * 1e9
