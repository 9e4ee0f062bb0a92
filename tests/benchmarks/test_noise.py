"""What explains a miss of the cold start, and what does not."""

from __future__ import annotations

from benchmarks.cold import noise


def test_a_limit_among_the_middle_half_of_the_pairs_is_within_the_noise() -> None:
    """The page shows the half of the pairs."""
    told = noise([-20, -4, 2, 8, 14, 30], 5, "ms")
    assert "within the noise of the machine: half of the pairs are between -8 and 18 ms" == told


def test_nothing_explains_a_miss_that_nearly_all_pairs_show() -> None:
    """Such a run ends with an error. So does one with too few pairs to tell."""
    assert noise([9, 10, 11, 12, 13, 30], 5, "ms") == ""
    assert noise([9, 1], 5, "ms") == ""
