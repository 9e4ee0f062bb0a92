"""What is promised of fleets, copies of the head and storms of rotations, by their benchmarks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks import fleet, scale, storm, sweep
from benchmarks.results import Parts, Size

pytestmark = pytest.mark.proof


@pytest.mark.parametrize(
    ("measure", "size"), [(scale.measure, "full"), (storm.measure, "quick"), (fleet.measure, "quick")]
)
def test_every_target_is_met(measure: Callable[[Size], Parts], size: Size) -> None:
    """Read units, dollars, lags, throttled calls: all but the CPU of a check are counted, not timed."""
    [part] = measure(size).values()
    assert [] == [f"{one.name}: {one.value:g}" for one in part.ratios if not one.met]


def test_a_sweep_of_a_large_account_fits_into_its_memory() -> None:
    """A process of its own corrects all secrets, twice; how long that takes is not said here."""
    one = sweep.in_a_process(1_000)
    assert 0 < one.peak_mib < sweep.MEMORY_MIB
    assert one.cpu_s > 0
