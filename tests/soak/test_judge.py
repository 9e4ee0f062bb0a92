"""The judge of a long run: it lets a flat run pass and names what grows."""

from __future__ import annotations

import pytest

from tests.soak.judge import Sample, growths

FLAT = Sample(0, 0, 60_000, 8, 20, 5, 80_000)


def grown(**per_sample: int) -> list[str]:
    """What is said to grow in a minute in which these things grow by so much a second."""
    samples = [
        FLAT._replace(**{name: getattr(FLAT, name) + second * more for name, more in per_sample.items()})
        for second in range(60)
    ]
    return [one.name for one in growths(samples) if one.is_too_much]


def test_a_flat_run_passes() -> None:
    """Nothing grows, and a number that merely counts work may."""
    assert [] == grown(gets=1000, seconds=1)


@pytest.mark.parametrize(
    ("name", "per_second"),
    [("rss_kib", 100), ("threads", 1), ("open_files", 1), ("entries", 1), ("objects", 60)],
)
def test_what_grows_is_named(name: str, per_second: int) -> None:
    """A slow leak of each kind shows within a minute."""
    assert [name] == grown(**{name: per_second})


def test_a_leap_during_the_warm_up_is_no_growth() -> None:
    """Pools that fill in the first quarter are not held against the run."""
    samples = [FLAT._replace(rss_kib=FLAT.rss_kib + min(second, 14) * 5000) for second in range(60)]
    assert not any(one.is_too_much for one in growths(samples))


def test_too_few_samples_are_no_verdict() -> None:
    """A run of a moment cannot pass."""
    with pytest.raises(ValueError, match="too few"):
        list(growths([FLAT] * 7))
