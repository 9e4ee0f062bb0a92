"""Which reads an eviction costs: second chance beside LRU, on Zipf loads.

A window of the hit path begins empty, and only the first get of a secret in a window is seen; so the load
between two windows matters. `python -m benchmarks.eviction` prints a Markdown table of misses.
"""

from __future__ import annotations

import argparse
from bisect import bisect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import Final

from benchmarks.results import Part, Parts, Size, counted, ratio
from keyturn.cache.copies import Copies
from keyturn.cache.held import HeldStage
from keyturn.cache.limits import Limits
from keyturn.cache.service import Service, Services
from keyturn.cache.tables import Tables
from keyturn.metrics.hook import SILENT
from keyturn.model.names import secret_key
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.testing.fakes import FakeClock

SECRETS: Final = 5000
ROOM: Final = 1024
WINDOW_S: Final = 5.0
"""The check interval, by default."""

EXPONENTS: Final = (0.8, 1.0, 1.2)
RATES: Final = (10, 100, 400, 1000, 2000)
"""Gets a second."""

GETS: Final = 40_000
SPARSE: Final = 1000
"""Up to so many gets a second a window has fewer gets than five times its room."""


def measure(_: Size) -> Parts:
    """Return the only part. It is counted, so that there is no smaller sample of it."""
    loads = {exponent: zipf(exponent, GETS) for exponent in EXPONENTS}
    lru = {exponent: lru_misses(load) for exponent, load in loads.items()}
    found = {
        (rate, exponent): misses(load, int(rate * WINDOW_S))
        for rate in RATES
        for exponent, load in loads.items()
    }
    beside = {rate: max(found[rate, one] / lru[one] for one in EXPONENTS) for rate in RATES}
    part = Part(
        "Misses after evictions",
        f"A cache with `max_secrets={ROOM}` and a window of {WINDOW_S:g} s is asked {GETS:,} times for "
        f"{SECRETS:,} secrets. How often each is asked for follows Zipf's law, with three exponents. Its "
        "misses are counted beside those of an LRU cache of the same size.",
        (
            *(counted(f"LRU, Zipf {one:g}", "misses", number) for one, number in lru.items()),
            *(
                counted(f"keyturn, Zipf {one:g}, {rate:,} gets/s", "misses", number)
                for (rate, one), number in found.items()
            ),
        ),
        (
            ratio(
                f"misses beside LRU, up to {SPARSE:,} gets/s, worst exponent",
                max(share for rate, share in beside.items() if rate <= SPARSE),
                "at most",
                1.0,
            ),
            ratio(
                f"misses beside LRU, at {max(RATES):,} gets/s, worst exponent",
                beside[max(RATES)],
                "at most",
                1.05,
            ),
        ),
    )
    return {"eviction": part}


def zipf(exponent: float, gets: int) -> list[int]:
    """Return so many gets of secrets, of which the first is the most popular."""
    weights = list(accumulate(1 / rank**exponent for rank in range(1, SECRETS + 1)))
    random = Random(7)
    return [bisect(weights, random.random() * weights[-1]) for _ in range(gets)]


def lru_misses(gets: Sequence[int]) -> int:
    """Return how many of these gets an LRU cache with that room would have to read."""
    held, misses = OrderedDict[int, None](), 0
    for one in gets:
        if one in held:
            held.move_to_end(one)
            continue
        misses += 1
        held[one] = None
        if len(held) > ROOM:
            held.popitem(last=False)
    return misses


def misses(gets: Sequence[int], gets_per_window: int) -> int:
    """Return how many of these gets keyturn's cache has to read."""
    clock, missed, limits = FakeClock(), 0, Limits(max_secrets=ROOM)
    copies = Copies(
        Tables(),
        limits=limits,
        clock=clock,
        random=lambda: 0.0,
        key_of=secret_key,
        services=Services(Service("Secrets Manager", limits=limits, clock=clock, random=lambda: 0.0)),
        metrics=SILENT,
    )
    for at, number in enumerate(gets):
        if at % gets_per_window == 0:
            copies.holdings.open(clock.wall(), clock.wall() + 10)
        name = f"s{number}"
        if copies.holdings.window.hit(name, AWSCURRENT, clock.wall()) is not None:
            continue
        if copies.look(name, AWSCURRENT).version is None:
            missed += 1
            copies.land_first(name, HeldStage(AWSCURRENT, _version(name), copies.now()))
    return missed


def _version(name: str) -> SecretVersion:
    arn = f"arn:aws:secretsmanager:eu-west-1:111122223333:secret:{name}-AbCdEf"
    return SecretVersion(name, arn, name, "v1", frozenset({AWSCURRENT}), string="x")


def table(gets: int) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield f"| gets/s | {' | '.join(f'Zipf {one:g}: misses, LRU' for one in EXPONENTS)} |"
    yield f"|---|{'---|' * len(EXPONENTS)}"
    loads = {exponent: zipf(exponent, gets) for exponent in EXPONENTS}
    lru = {exponent: lru_misses(load) for exponent, load in loads.items()}
    for rate in RATES:
        found = {one: misses(load, int(rate * WINDOW_S)) for one, load in loads.items()}
        yield f"| {rate:,} | {' | '.join(f'{found[one]:,}, {lru[one]:,}' for one in EXPONENTS)} |"
    yield ""
    yield f"Of {gets:,} gets of {SECRETS:,} secrets with `max_secrets={ROOM}` and a window of {WINDOW_S:g} s."


def main() -> None:
    """Count, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eviction", description=__doc__)
    parser.add_argument("--gets", type=int, default=GETS, help="how many gets")
    print("\n".join(table(parser.parse_args().gets)), flush=True)


if __name__ == "__main__":
    main()
