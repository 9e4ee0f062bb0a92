"""Which secrets make room: at least as good as LRU, without a step on the hit path."""

from __future__ import annotations

import pytest

from benchmarks.eviction import lru_misses, misses, zipf
from keyturn.testing.parts import parts_of
from tests.world import World

GETS = 40_000


@pytest.mark.parametrize("gets_per_window", [100, pytest.param(2000, marks=pytest.mark.proof), 5000])
@pytest.mark.parametrize("exponent", [0.8, pytest.param(1.0, marks=pytest.mark.proof), 1.2])
def test_eviction_is_at_least_as_good_as_lru(exponent: float, gets_per_window: int) -> None:
    """Zipf over 5,000 secrets with room for 1,024, whatever the load between two windows."""
    gets = zipf(exponent, GETS)
    assert misses(gets, gets_per_window) <= lru_misses(gets)


def test_a_popular_secret_stays_while_many_others_pass(world: World) -> None:
    """A secret that is asked for in every window outlives a scan of ten times as many as fit."""
    for number in range(40):
        world.secrets.create(f"s{number}", "x")
    cache = world.cache(table=False, max_secrets=4)
    for number in range(40):
        cache.get("prod/db")
        cache.get(f"s{number}")
        world.clock.advance(5)
    assert 41 == world.reads
    assert 37 == cache.status().evictions
    assert 4 == len(parts_of(cache).caches[0].keys())


def test_more_secrets_than_fit_are_said_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Twelve secrets in turn, room for four: `status()` counts what went; one warning says what to do."""
    for number in range(12):
        world.secrets.create(f"s{number}", "x")
    cache = world.cache(table=False, max_secrets=4)
    for _ in range(3):
        for number in range(12):
            cache.get(f"s{number}")
    assert 32 == cache.status().evictions
    assert 1 == caplog.text.count("raise max_secrets (4)")
