"""The longest `get` while something hangs, on real sockets. `benchmarks.hanging` prints tables of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from benchmarks.hanging import DURING, SECRETS, WITHOUT, Longest, each_measured, quantiles
from benchmarks.outages import TIMEOUT_S, survived
from benchmarks.results import Part, Parts, Row, Size, counted, ratio

WARM_MAX_S: Final = 1.2
BACKGROUND_MAX_S: Final = 0.2
"""A caller beside a background thread waits for nothing but its turn on the processor."""

COLD_MORE_S: Final = 0.5
"""So much longer than `cold_wait_s` the first read may take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """For how many seconds each warm cache is read, a cold one waits, and the function's outage lasts."""

    seconds: float
    cold_wait_s: float
    outage_s: float


PLANS: Final[Mapping[Size, Plan]] = {
    "full": Plan(seconds=8.0, cold_wait_s=10.0, outage_s=20.0),
    "quick": Plan(seconds=4.0, cold_wait_s=2.0, outage_s=4.0),
}


def measure(size: Size) -> Parts:
    """Return the only part."""
    plan = PLANS[size]
    with ThreadPoolExecutor(1) as pool:
        outage = pool.submit(survived, plan.outage_s, is_warm=True, cold_wait_s=plan.cold_wait_s)
        longest = each_measured(plan.seconds, plan.cold_wait_s)
        gets = quantiles(plan.seconds / 2, rounds=6)
        function = outage.result()
    inline_s = max(one.inline_s for one in longest.values())
    background_s = max(one.background_s for one in longest.values())
    cold_s = max(one.cold_s for one in longest.values() if one.cold_s is not None)
    slowed = gets[DURING].p99_s / gets[WITHOUT].p99_s
    part = Part(
        "While something hangs",
        "Clients of botocore, with the time-outs that keyturn gives them, ask servers on this machine that "
        f"hang. A warm cache has {SECRETS} copies, all of which are due to be read again when the hang "
        f"begins, and is asked for {plan.seconds:g} s. A cold cache has `cold_wait_s={plan.cold_wait_s:g}`. "
        "The figures are the longest `get` of each. The three services hang side by side. A "
        f"Lambda function with a time-out of {TIMEOUT_S:g} s is invoked once a second through an outage.",
        tuple(_rows(longest))
        + tuple(
            counted(f"p99 of `get`, `background=True`, {what}", "µs", one.p99_s * 1e6, f"{one.gets:,} gets")
            for what, one in gets.items()
        )
        + (
            counted("invocations answered in the outage", "", function.answered),
            counted("invocations that the time-out killed", "", function.killed),
        ),
        (
            ratio("longest warm get", inline_s, "at most", WARM_MAX_S, "s"),
            ratio("longest get with `background=True`", background_s, "at most", BACKGROUND_MAX_S, "s"),
            ratio("longest cold get", cold_s, "at most", plan.cold_wait_s + COLD_MORE_S, "s"),
            ratio("p99 of get in the outage / without", slowed, "at most", 3),
            ratio("warm invocations that were killed", function.killed, "at most", 0, ""),
        ),
    )
    return {"hang": part}


def _rows(longest: Mapping[str, Longest]) -> Iterator[Row]:
    for what, one in longest.items():
        yield counted(f"{what}: warm, inline", "s", one.inline_s)
        yield counted(f"{what}: warm, `background=True`", "s", one.background_s)
        if one.cold_s is not None:
            yield counted(f"{what}: cold", "s", one.cold_s)
