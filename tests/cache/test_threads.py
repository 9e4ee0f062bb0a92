"""Many threads: one call, nobody waits who has a version, nothing deadlocks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from keyturn import Limits, Peers, SecretCache, SecretNotFoundError
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeClock
from keyturn.testing.parts import parts_of
from tests.world import NAME, World, held

THREADS = 32
PATIENCE_S = 20
"""Only a deadlock makes a test wait this long."""


class GatedSecrets:
    """Secrets Manager whose answer to a gated read is held back until the gate opens."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        return self.world.secrets.read(secret_id, stage=stage, version_id=version_id)


def gated(world: World) -> tuple[GatedSecrets, SecretCache]:
    """A cache whose reads can be held at a gate."""
    source = GatedSecrets(world)
    peers = Peers(source=source, clock=world.clock, random=lambda: 0.0)
    return source, SecretCache(limits=Limits(refresh_wait_s=PATIENCE_S), peers=peers)


def together(pool: ThreadPoolExecutor, call: Callable[[], str], threads: int = THREADS) -> list[str]:
    """What so many threads get, each from one call."""
    return [future.result(PATIENCE_S) for future in [pool.submit(call) for _ in range(threads)]]


def test_a_stale_entry_costs_one_call_and_nobody_waits(world: World) -> None:
    """32 threads on a stale entry: one refreshes, the others get the known version meanwhile."""
    source, cache = gated(world)
    cache.get(NAME)
    world.rotate("v2", "two", mark=False)
    world.clock.advance(300)
    source.gate.clear()
    with ThreadPoolExecutor(THREADS) as pool:
        leader = pool.submit(cache.get_secret_string, NAME)
        for _ in range(2):
            assert source.entered.acquire(timeout=PATIENCE_S)
        assert ["one"] * (THREADS - 1) == together(pool, lambda: cache.get_secret_string(NAME), THREADS - 1)
        source.gate.set()
        assert "two" == leader.result(PATIENCE_S)
    assert "two" == cache.get_secret_string(NAME)
    assert 2 == world.reads


def test_a_cold_stampede_costs_one_call(world: World) -> None:
    """32 threads that all need a version that nobody has yet wait for one call."""
    source, cache = gated(world)
    source.gate.clear()
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(cache.get_secret_string, NAME) for _ in range(THREADS)]
        assert source.entered.acquire(timeout=PATIENCE_S)
        source.gate.set()
        assert ["one"] * THREADS == [future.result(PATIENCE_S) for future in futures]
    assert 1 == world.reads


def test_a_cold_failure_is_told_to_all(world: World) -> None:
    """32 threads on a secret that does not exist: one call, 32 errors of their own."""
    source, cache = gated(world)
    source.gate.clear()

    def ask() -> SecretNotFoundError:
        with pytest.raises(SecretNotFoundError) as caught:
            cache.get("nope")
        return caught.value

    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(ask) for _ in range(THREADS)]
        assert source.entered.acquire(timeout=PATIENCE_S)
        source.gate.set()
        errors = [future.result(PATIENCE_S) for future in futures]
    assert THREADS == len(set(map(id, errors)))
    assert 1 == world.reads


def test_one_slow_secret_does_not_hold_up_another(world: World) -> None:
    """While one secret is being read, hits and cold reads of others go on."""
    world.secrets.create("other", "o")
    source, cache = gated(world)
    cache.get("other")
    source.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(cache.get_secret_string, NAME)
        for _ in range(2):
            assert source.entered.acquire(timeout=PATIENCE_S)
        assert "o" == pool.submit(cache.get_secret_string, "other").result(PATIENCE_S)
        source.gate.set()
        assert "one" == slow.result(PATIENCE_S)


def test_a_read_begun_before_an_invalidation_is_not_fresh_after_it(world: World) -> None:
    """The answer of such a read is served as known, and the next get reads again."""
    source, cache = gated(world)
    cache.get(NAME)
    source.entered.acquire()
    world.clock.advance(300)
    source.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        flying = pool.submit(cache.get_secret_string, NAME)
        assert source.entered.acquire(timeout=PATIENCE_S)
        cache.invalidate(NAME)
        source.gate.set()
        flying.result(PATIENCE_S)
    world.rotate("v2", "two", mark=False)
    assert "two" == cache.get_secret_string(NAME)


def test_two_reads_in_flight_do_not_take_the_label_back(world: World) -> None:
    """A cold read under another id that began before a rotation lands after it: it changes nothing."""
    source, cache = gated(world)
    past = world.secrets.read(NAME, stage="AWSCURRENT")
    cache.get(world.arn)
    world.rotate("v2", "two", mark=False)
    cache.invalidate(world.arn)
    assert "two" == cache.get_secret_string(world.arn)
    source.read = lambda secret_id, *, stage, version_id=None: past  # type: ignore[method-assign]
    assert "two" == cache.get_secret_string(NAME)
    assert "two" == cache.get_secret_string(world.arn)


def test_the_table_is_checked_by_one_thread(world: World) -> None:
    """32 threads when a check is due: one read of the head, and nobody waits for it."""
    cache = world.covered()
    world.clock.advance(5)
    gate, entered = threading.Event(), threading.Event()
    read_head = world.table.read_head

    def slow_head(*, consistent: bool = False, copy: int = 0) -> object:
        entered.set()
        assert gate.wait(PATIENCE_S)
        return read_head(consistent=consistent, copy=copy)

    world.table.read_head = slow_head  # type: ignore[assignment]
    world.table.calls.clear()
    with ThreadPoolExecutor(THREADS) as pool:
        checker = pool.submit(cache.get_secret_string, NAME)
        assert entered.wait(PATIENCE_S)
        assert ["one"] * (THREADS - 1) == together(pool, lambda: cache.get_secret_string(NAME), THREADS - 1)
        gate.set()
        checker.result(PATIENCE_S)
    assert 1 == world.table.calls["head"]


def test_a_check_that_another_thread_did_meanwhile_is_not_done_again(world: World) -> None:
    """Two threads find the window ended; the second to look again finds it open."""
    world.mark()
    clock = InterruptedClock(world.clock)
    cache = SecretCache(
        peers=Peers(source=world.secrets, markers=world.table, clock=clock, random=lambda: 0.0)
    )
    cache.get(NAME)
    world.clock.advance(5)
    world.table.calls.clear()
    with ThreadPoolExecutor(1) as pool:
        # The hit path reads the clock once, then the look at the window does.
        clock.interruptions = [nothing, lambda: pool.submit(cache.get, NAME).result(PATIENCE_S)]
        assert "one" == cache.get_secret_string(NAME)
    assert (1, []) == (world.table.calls["head"], clock.interruptions)


def nothing() -> None:
    """What happens between two readings of a clock, mostly."""


class InterruptedClock:
    """A clock between whose readings something happens."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.interruptions: list[Callable[[], object]] = []
        self.monotonic = clock.monotonic

    def wall(self) -> float:
        if self.interruptions:
            self.interruptions.pop(0)()
        return self._clock.wall()


def test_a_child_forked_by_its_own_read_ends_that_read(world: World) -> None:
    """What a credential provider or a hook forks in the middle of a read gets its answer, and so do we."""
    children: list[int] = []

    def forking(secret_id: str) -> None:
        world.secrets.fail = lambda _: None
        children.append(os.fork())

    world.secrets.fail = forking
    cache = world.cache()
    value = cache.get_secret_string(NAME)
    if children == [0]:
        os._exit(0 if [value, cache.get_secret_string(NAME)] == ["one", "one"] else 1)
    assert "one" == value
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1])


def test_a_forked_child_starts_with_nothing_fresh_and_no_lock_held(world: World) -> None:
    """Fork while a read is in flight and a lock is held: the child still gets the secret."""
    source, cache = gated(world)
    cache.get(NAME)
    source.entered.acquire()
    world.clock.advance(300)
    source.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        flying = pool.submit(cache.get_secret_string, NAME)
        assert source.entered.acquire(timeout=PATIENCE_S)
        with parts_of(cache).caches[0].copies.lock:  # as another thread of the parent might
            child = os.fork()
            if child == 0:
                source.gate = threading.Event()
                source.gate.set()
                world.secrets.put(NAME, "child", "v2")
                os._exit(0 if cache.get_secret_string(NAME) == "child" else 1)
        source.gate.set()
        flying.result(PATIENCE_S)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_forget_drops_everything(world: World) -> None:
    """Around a SnapStart snapshot: no value stays, and the next get is a cold one."""
    cache = world.covered()
    cache.forget()
    assert () == cache.status().secrets
    world.rotate("v2", "two", mark=False)
    assert "two" == cache.get_secret_string(NAME)


def test_threads_that_read_invalidate_and_evict_never_fail(world: World) -> None:
    """8 threads over more secrets than fit, invalidating and asking for status: right values, no error."""
    for number in range(20):
        world.secrets.create(f"s{number}", str(number))
    cache = world.cache(max_secrets=5)
    barrier = threading.Barrier(8)

    def work(seed: int) -> int:
        barrier.wait(PATIENCE_S)
        for turn in range(400):
            number = (seed * 7 + turn) % 20
            assert str(number) == cache.get_secret_string(f"s{number}")
            if turn % 5 == 0:
                cache.invalidate(f"s{number}")
            if turn % 50 == 0:
                cache.status()
        return seed

    with ThreadPoolExecutor(8) as pool:
        assert list(range(8)) == list(pool.map(work, range(8), timeout=PATIENCE_S))
    assert len(cache.status().secrets) <= 5
    assert len(parts_of(cache).caches[0].holdings.window.versions) <= 15  # no alias outlives its secret
    assert 0 == len(parts_of(cache).caches[0].flights)  # no flight is left


def test_a_poller_refreshes_so_that_no_caller_pays(world: World) -> None:
    """With background=True checks and refreshes happen in the poller; callers only ever hit."""
    world.mark()
    seen, before = threading.Event(), set(threading.enumerate())
    with SecretCache(
        check_interval_s=0.02, background=True, peers=Peers(source=world.secrets, markers=world.table)
    ) as cache:
        cache.get(NAME)
        world.rotate("v2", "two")
        ours = threading.get_ident()
        read, readers = world.secrets.read, []

        def noted(secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
            readers.append(threading.get_ident())
            seen.set()
            return read(secret_id, stage=stage, version_id=version_id)

        world.secrets.read = noted  # type: ignore[method-assign]
        assert seen.wait(PATIENCE_S)
        for _ in range(1000):
            if cache.get_secret_string(NAME) == "two":
                break
            seen.wait(0.001)
        assert "two" == cache.get_secret_string(NAME)
        assert ours not in readers
    begun = set(threading.enumerate()) - before
    assert [] == [thread for thread in begun if thread.name == "keyturn-poller"]
    assert "two" == cache.get_secret_string(NAME)
    assert held(cache).version_id == "v2"
