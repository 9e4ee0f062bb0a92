"""A hit costs one look-up and one clock reading."""

from __future__ import annotations

import time
import timeit

from keyturn import Peers, SecretCache
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from keyturn.testing.parts import parts_of
from tests.world import NAME, World

HITS = 100_000


class CountedLock:
    """A lock that counts how often it is taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __enter__(self) -> None:
        self.taken += 1

    def __exit__(self, *_: object) -> None: ...

    def acquire(self, *, blocking: bool = True) -> bool:
        self.taken += 1
        return True

    def release(self) -> None: ...


class CountedClock(FakeClock):
    """A clock that counts its readings."""

    readings = 0

    def wall(self) -> float:
        self.readings += 1
        return super().wall()

    def monotonic(self) -> float:
        self.readings += 1
        return super().monotonic()


def test_a_hit_takes_no_lock_makes_no_call_and_reads_the_clock_once(world: World) -> None:
    """100,000 hits: no lock, no I/O, no copy, and one reading of the wall clock each."""
    clock = CountedClock()
    cache = SecretCache(
        peers=Peers(source=world.secrets, markers=world.table, clock=clock, random=lambda: 0.0)
    )
    first = cache.get(NAME)
    calls = world.reads, sum(world.table.calls.values())
    lock = CountedLock()
    parts = parts_of(cache)
    parts.caches[0].copies.lock = lock  # type: ignore[assignment] # counted
    clock.readings = 0
    for _ in range(HITS):
        assert cache.get(NAME) is first
    assert (0, HITS) == (lock.taken, clock.readings)
    assert calls == (world.reads, sum(world.table.calls.values()))


def test_a_hit_stays_near_its_floor() -> None:
    """A hit costs less than 4 times a dict look-up plus a clock reading (measured: about 1.4)."""
    secrets = FakeSecretsManager()
    secrets.create(NAME, "one")
    get = SecretCache(peers=Peers(source=secrets)).get
    get(NAME)
    entries, now = {NAME: object()}, time.time

    def floor(secret_id: str) -> tuple[object, float]:
        return entries.get(secret_id), now()

    def best(function: object) -> float:
        return min(timeit.repeat("f(n)", globals={"f": function, "n": NAME}, number=20_000, repeat=15))

    assert best(get) < 4 * best(floor)


def test_other_stages_hit_as_well(world: World) -> None:
    """AWSPREVIOUS is served from memory like AWSCURRENT."""
    world.rotate("v2", "two", mark=False)
    cache = world.cache()
    first = cache.get(NAME, stage="AWSPREVIOUS")
    assert "one" == first.string
    assert first is cache.get(NAME, stage="AWSPREVIOUS")
    assert 1 == world.reads


def test_a_peek_is_a_hit_or_nothing(world: World) -> None:
    """`peek` gives what `get` would give without asking anybody, and asks nobody itself."""
    cache = world.covered()
    calls = world.reads, sum(world.table.calls.values())
    assert cache.peek("prod/other") is None
    assert cache.peek(NAME, stage="AWSPREVIOUS") is None
    assert cache.peek(NAME) is cache.get(NAME)
    world.clock.advance(5)
    assert cache.peek(NAME) is None
    assert calls == (world.reads, sum(world.table.calls.values()))
