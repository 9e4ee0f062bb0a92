"""Which secrets make room: at least as good as LRU, without a step on the hit path."""

from __future__ import annotations

from bisect import bisect
from collections import OrderedDict
from itertools import accumulate
from random import Random

import pytest

from keyturn.cache.copies import Copies
from keyturn.cache.held import HeldStage
from keyturn.cache.limits import Limits
from keyturn.cache.service import Service
from keyturn.metrics.hook import SILENT
from keyturn.model.names import secret_key
from keyturn.model.versions import AWSCURRENT, SecretVersion
from keyturn.testing.fakes import FakeClock
from keyturn.testing.parts import parts_of
from tests.world import World

SECRETS, ROOM, GETS = 5000, 1024, 40_000


def zipf(exponent: float) -> list[int]:
    """So many gets of secrets, of which the first is the most popular."""
    weights = list(accumulate(1 / rank**exponent for rank in range(1, SECRETS + 1)))
    random = Random(7)
    return [bisect(weights, random.random() * weights[-1]) for _ in range(GETS)]


def lru_misses(gets: list[int]) -> int:
    """How many of these gets an LRU cache with that room would have to read."""
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


def version(name: str) -> SecretVersion:
    """The one version of that secret."""
    arn = f"arn:aws:secretsmanager:eu-west-1:111122223333:secret:{name}-AbCdEf"
    return SecretVersion(name, arn, name, "v1", frozenset({AWSCURRENT}), string="x")


@pytest.mark.parametrize("gets_per_window", [100, 2000, 5000])
@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.2])
def test_eviction_is_at_least_as_good_as_lru(exponent: float, gets_per_window: int) -> None:
    """Zipf over 5,000 secrets with room for 1,024, whatever the load between two windows."""
    clock, gets, misses = FakeClock(), zipf(exponent), 0
    copies = Copies(
        None,
        limits=Limits(max_secrets=ROOM),
        clock=clock,
        random=lambda: 0.0,
        key_of=secret_key,
        service=Service("Secrets Manager", limits=Limits(), clock=clock, random=lambda: 0.0),
        metrics=SILENT,
    )
    for at, number in enumerate(gets):
        if at % gets_per_window == 0:
            copies.holdings.open(clock.wall(), clock.wall() + 10)
        name = f"s{number}"
        if copies.holdings.window.hit(name, AWSCURRENT, clock.wall()) is not None:
            continue
        if copies.look(name, AWSCURRENT).version is None:
            misses += 1
            copies.land_first(name, HeldStage(AWSCURRENT, version(name), copies.now()))
    assert misses <= lru_misses(gets)
    assert ROOM == len(copies.holdings.keys())


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
