"""A hit stays near its floor and far below its peers: ratios of one run, with generous margins."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks import hit
from benchmarks.aws import NAME
from benchmarks.results import ratio
from benchmarks.timing import interleaved, nanoseconds, paired

pytestmark = pytest.mark.proof

ROUNDS = 40


@cache
def samples() -> dict[str, list[float]]:
    """Nanoseconds per hit of every subject but the uncached one, in turn."""
    found = hit.subjects()
    del found[hit.BOTO3]
    takes = {name: nanoseconds(one.statement, subject=one.subject, name=NAME) for name, one in found.items()}
    return interleaved(takes, ROUNDS)


def times(slower: str, faster: str) -> float:
    """How many times slower one subject is than another, each at its best: a busy machine changes nothing."""
    return min(samples()[slower]) / min(samples()[faster])


def test_a_hit_is_near_its_floor() -> None:
    """A get costs at most 2.5 times one dict look-up and one clock reading (measured: 1.3)."""
    assert times(hit.GET, hit.FLOOR) < 2.5


@pytest.mark.parametrize(("peer", "least"), [(hit.UPSTREAM, 40), (hit.POWERTOOLS, 3), (hit.CACHETOOLS, 2)])
def test_a_hit_is_far_below_its_peers(peer: str, least: float) -> None:
    """A get is many times cheaper than a peer's hit on the same full answer (measured: 340, 11 and 6)."""
    assert times(peer, hit.GET) > least


def test_a_hit_is_near_a_plain_dict_cache() -> None:
    """A get costs at most twice the least that a cache with its arguments does (measured: 1.13)."""
    assert times(hit.GET, hit.PLAIN) < 2


def test_the_drop_in_costs_a_hit() -> None:
    """`keyturn.compat` is little more than a get, and far below what it replaces (measured: 200 times)."""
    assert times(hit.COMPAT, hit.GET) < 4
    assert times(hit.UPSTREAM, hit.COMPAT) > 25


def test_a_live_field_costs_a_hit() -> None:
    """Reading a field of live settings costs at most twelve gets (measured: 5)."""
    assert times(hit.LIVE, hit.GET) < 12


def test_a_missed_target_is_told() -> None:
    """A comparison knows whether it meets its target, from either side."""
    assert ratio("", 1.5, "at most", 1.5).met
    assert not ratio("", 1.51, "at most", 1.5).met
    assert ratio("", 100, "at least", 100).met
    assert not ratio("", 99, "at least", 100).met


def test_pairs_forgive_a_busy_moment() -> None:
    """A moment in which everything is ten times slower does not move a ratio."""
    assert paired([2, 20, 2, 2], [1, 10, 1, 1]) == 2


def test_threads_keep_their_throughput() -> None:
    """Eight threads that hit together reach at least half of what one reaches alone (no lock is shared)."""
    found = {name: one for name, one in hit.subjects().items() if name in (hit.GET, hit.FLOOR)}
    part = hit.threads(hit.Plan(rounds=1, thread_rounds=7, hits=5000), found)
    assert {row.name: row.median > 0.5 for row in part.rows} == {hit.GET: True, hit.FLOOR: True}
