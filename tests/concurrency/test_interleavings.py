"""Two things at the same moment: each interleaving is made by gates, none by chance or by waiting."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

import keyturn.cache.flights
from keyturn import Limits, LoginRefusedError, Peers, SecretCache, UnavailableError
from keyturn.cache.flights import SingleFlight
from keyturn.model.markers import Head, MarkersRead
from keyturn.model.versions import SecretVersion
from keyturn.testing.parts import parts_of
from tests.world import NAME, World

PATIENCE_S = 10
"""Only a deadlock makes a test wait this long."""

EVICTED, KEPT, FORGOTTEN = "interleavings/evicted", "interleavings/kept", "interleavings/forgotten"


class RefusedError(Exception):
    """The server's 'wrong password'."""


def is_refused(error: Exception) -> bool:
    """Whether it is the server's 'wrong password'."""
    return isinstance(error, RefusedError)


@dataclass
class Gate:
    """A point that calls pass while it is open; while it is closed they say so and wait."""

    opened: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self.opened.set()

    def close(self) -> None:
        self.opened.clear()

    def open(self) -> None:
        self.opened.set()

    def somebody_waits(self) -> bool:
        return self.waiting.acquire(timeout=PATIENCE_S)

    def passed(self) -> None:
        if not self.opened.is_set():
            self.waiting.release()
            assert self.opened.wait(PATIENCE_S)


@dataclass
class Gated:
    """The world's Secrets Manager and table, each behind a gate; reads are counted by their stage."""

    world: World
    reading: Gate = field(default_factory=Gate)
    checking: Gate = field(default_factory=Gate)
    stages: Counter[str] = field(default_factory=Counter)

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.stages[stage] += 1
        self.reading.passed()
        return self.world.secrets.read(secret_id, stage=stage, version_id=version_id)

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        self.checking.passed()
        return self.world.table.read_head(consistent=consistent, copy=copy)

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        return self.world.table.read_markers(keys)

    def cache(self, **arguments: float) -> SecretCache:
        return SecretCache(
            limits=Limits(**{"refresh_wait_s": PATIENCE_S, **arguments}),  # type: ignore[arg-type] # numbers
            peers=Peers(
                source=self,
                markers=self,
                clock=self.world.clock,
                random=lambda: 0.0,
                sleep=self.world.clock.advance,
            ),
        )


@pytest.fixture
def gated(world: World) -> Gated:
    """The world behind gates, with a marker."""
    world.mark()
    return Gated(world)


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process at its limit of threads: each read is carried out by who wants it."""

    def none(_name: str, _run: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(keyturn.cache.flights, "start_thread", none)


def values_in_memory() -> set[str]:
    """The names, of those that only this file uses, of which this process still holds a value."""
    gc.collect()
    # Not by isinstance: it would set up other people's lazy objects.
    held = {one.name for one in gc.get_objects() if type(one) is SecretVersion}
    return held & {EVICTED, KEPT, FORGOTTEN}


def is_held(lock: threading.RLock) -> bool:
    """Whether another thread holds it."""
    is_free = lock.acquire(blocking=False)
    if is_free:
        lock.release()
    return not is_free


def test_no_lock_is_held_during_io(world: World) -> None:
    """Every call to Secrets Manager and to the table is made while the state's lock is free."""
    locks, calls = list[threading.RLock](), list[bool]()

    def noted() -> None:
        with ThreadPoolExecutor(1) as pool:
            calls.append(any(pool.submit(is_held, lock).result(PATIENCE_S) for lock in locks))

    class Watched(Gated):
        def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
            noted()
            return super().read(secret_id, stage=stage, version_id=version_id)

        def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
            noted()
            return super().read_head(consistent=consistent, copy=copy)

        def read_markers(self, keys: Collection[str]) -> MarkersRead:
            noted()
            return super().read_markers(keys)

    world.mark()
    cache = Watched(world).cache()
    locks.append(parts_of(cache).caches[0].copies.lock)
    for turn in range(6):
        cache.get(NAME)
        world.rotate(f"v{turn + 2}", "next")
        world.clock.advance(5)
        cache.invalidate(NAME)
    assert len(calls) >= 12
    assert not any(calls)


def test_no_lock_is_held_while_the_log_is_written(world: World) -> None:
    """A handler may need a secret of this cache, and another thread may hold the handler's own lock."""
    cache, held = world.cache(table=False, max_secrets=2), dict[str, bool]()
    lock = parts_of(cache).caches[0].copies.lock

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with ThreadPoolExecutor(1) as pool:
                held[record.getMessage()] = pool.submit(is_held, lock).result(PATIENCE_S)

    handler, log = Handler(), logging.getLogger("keyturn")
    log.addHandler(handler)
    try:
        for number in range(9):
            world.secrets.create(f"s{number}", "x")
            cache.get(f"s{number}")
        world.secrets.fail = lambda _id: UnavailableError(NAME, "throttled")
        cache.invalidate("s8")
        cache.get("s8")
    finally:
        log.removeHandler(handler)
    assert any("raise max_secrets (2)" in said for said in held)
    assert 2 == len(held)
    assert not any(held.values())


@pytest.mark.usefixtures("without_threads")
def test_where_no_thread_can_be_had_one_read_holds_up_no_other(gated: Gated) -> None:
    """Each caller reads for itself, outside of the lock, and nobody waits for a flight of another thread."""
    gated.world.secrets.create(KEPT, "x")
    flights = SingleFlight[str, int]("a test")

    def gated_job() -> int:
        gated.reading.passed()
        return 1

    gated.reading.close()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(flights.join_or_begin, "one", gated_job, PATIENCE_S)
        assert gated.reading.somebody_waits()
        other, is_mine = flights.join_or_begin("other", lambda: 2, PATIENCE_S)
        assert (2, True) == (other.outcome(), is_mine)
        again, is_mine = flights.join_or_begin("one", lambda: 3, PATIENCE_S)
        assert (3, True) == (again.outcome(), is_mine)
        gated.reading.open()
        assert 1 == slow.result(PATIENCE_S)[0].outcome()
    assert 0 == len(flights)


@pytest.mark.usefixtures("without_threads")
def test_an_interruption_where_no_thread_can_be_had_leaves_no_flight(world: World) -> None:
    """A handler of a signal that reads the same secret in the middle of its own thread's read is served."""
    cache, found = world.cache(table=False), list[str]()

    def handler(_secret_id: str) -> Exception | None:
        world.secrets.fail = lambda _id: None
        found.append(cache.get_secret_string(NAME))
        return None

    world.secrets.fail = handler
    assert "one" == cache.get_secret_string(NAME)
    assert ["one"] == found


@pytest.mark.usefixtures("without_threads")
def test_an_interruption_is_raised_although_all_was_forgotten_meanwhile(world: World) -> None:
    """Ctrl-C in a read that the caller carries out itself, while another thread forgets."""
    cache = world.cache(table=False)

    def interrupted(_secret_id: str) -> Exception | None:
        cache.forget()
        raise KeyboardInterrupt

    world.secrets.fail = interrupted
    with pytest.raises(KeyboardInterrupt):
        cache.get(NAME)
    assert 1 == world.reads


def test_a_secret_evicted_while_it_is_refreshed_leaves_nothing_behind(gated: Gated) -> None:
    """The refresh's caller gets the new version; what was forgotten meanwhile stays forgotten."""
    for name in (EVICTED, KEPT):
        gated.world.secrets.create(name, "one")
    cache = gated.cache(max_secrets=1)
    cache.get(EVICTED)
    gated.world.secrets.put(EVICTED, "two", "v2")
    cache.invalidate(EVICTED)
    gated.reading.close()
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(cache.get_secret_string, EVICTED)
        assert gated.reading.somebody_waits()
        held_back, gated.reading = gated.reading, Gate()
        assert "one" == cache.get_secret_string(KEPT)
        held_back.open()
        assert "two" == refreshing.result(PATIENCE_S)
    (kept,) = cache.status().secrets
    assert KEPT == kept.name
    assert {KEPT} == values_in_memory()
    assert ["two", "one"] == [cache.get_secret_string(name) for name in (EVICTED, KEPT)]


def test_a_name_that_another_answer_took_over_during_a_refresh_is_served(gated: Gated) -> None:
    """The secret was created again: its AWSPENDING comes first, and the AWSCURRENT under way is no error."""
    cache, secrets = gated.cache(), gated.world.secrets
    cache.get(NAME)
    secrets.purge(NAME)
    gated.world.clock.advance(1)
    secrets.create(NAME, "new", "n1")
    secrets.put(NAME, "next", "n2", "AWSPENDING")
    cache.invalidate(NAME)
    gated.reading.close()
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(cache.get_secret_string, NAME)
        assert gated.reading.somebody_waits()
        held_back, gated.reading = gated.reading, Gate()
        assert "next" == cache.get_secret_string(NAME, stage="AWSPENDING")
        held_back.open()
        assert "new" == refreshing.result(PATIENCE_S)
    assert "new" == cache.get_secret_string(NAME)


def test_an_invalidation_during_a_check_is_not_lost(gated: Gated) -> None:
    """A check that was begun before it ends after it, and opens no window for the old version."""
    cache = gated.cache()
    cache.get(NAME)
    gated.world.clock.advance(5)
    gated.checking.close()
    with ThreadPoolExecutor(1) as pool:
        checking = pool.submit(cache.get_secret_string, NAME)
        assert gated.checking.somebody_waits()
        gated.world.rotate("v2", "two", mark=False)
        cache.invalidate(NAME)
        gated.checking.open()
        assert "two" == checking.result(PATIENCE_S)
    assert "two" == cache.get_secret_string(NAME)


def test_a_check_during_a_refresh_waits_for_nobody(gated: Gated) -> None:
    """While one thread's GetSecretValue hangs, another checks the table and is served the known version."""
    cache = gated.cache()
    cache.get(NAME)
    cache.invalidate(NAME)
    gated.reading.close()
    with ThreadPoolExecutor(2) as pool:
        refreshing = pool.submit(cache.get_secret_string, NAME)
        assert gated.reading.somebody_waits()
        gated.world.clock.advance(5)
        heads = gated.world.table.calls["head"]
        assert "one" == pool.submit(cache.get_secret_string, NAME).result(PATIENCE_S)
        assert heads + 1 == gated.world.table.calls["head"]
        gated.reading.open()
        assert "one" == refreshing.result(PATIENCE_S)


def test_forgetting_during_a_refresh_brings_nothing_back(gated: Gated) -> None:
    """A refresh that was under way at `forget` is begun again: what is held then was read after it."""
    gated.world.secrets.create(FORGOTTEN, "one")
    cache = gated.cache()
    cache.get(FORGOTTEN)
    cache.invalidate(FORGOTTEN)
    gated.reading.close()
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(cache.get_secret_string, FORGOTTEN)
        assert gated.reading.somebody_waits()
        cache.forget()
        gated.reading.open()
        assert "one" == refreshing.result(PATIENCE_S)
    assert 3 == gated.stages["AWSCURRENT"]
    cache.forget()
    assert () == cache.status().secrets
    assert set() == values_in_memory()


def test_forgetting_during_a_check_leaves_nothing_known(gated: Gated) -> None:
    """A check that was under way at `forget` may be as old as a snapshot: the next one is the first."""
    cache = gated.cache()
    cache.get(NAME)
    gated.world.clock.advance(5)
    gated.checking.close()
    with ThreadPoolExecutor(1) as pool:
        checking = pool.submit(cache.get, NAME)
        assert gated.checking.somebody_waits()
        cache.forget()
        gated.checking.open()
        checking.result(PATIENCE_S)
    assert cache.status().table.checked_age_s is None
    gated.world.clock.advance(5)
    cache.get(NAME)
    assert 0 == cache.status().table.checked_age_s


def test_closing_waits_for_the_pollers_call_and_ends_it(world: World) -> None:
    """close() during a background refresh: it ends with that call, no thread is left, the cache works."""
    gated = Gated(world)
    cache = SecretCache(
        check_interval_s=0.01, background=True, limits=Limits(uncovered_ttl_s=0.01), peers=Peers(source=gated)
    )
    cache.get(NAME)
    gated.reading.close()
    assert gated.reading.somebody_waits()
    with ThreadPoolExecutor(1) as pool:
        closing: Future[None] = pool.submit(cache.close)
        assert not closing.done()
        gated.reading.open()
        closing.result(PATIENCE_S)
    assert [] == [one for one in threading.enumerate() if one.name == "keyturn-poller"]
    assert "one" == cache.get_secret_string(NAME)
    cache.close()


def test_many_refusals_at_once_cost_one_check_and_one_read(gated: Gated) -> None:
    """32 logins refused at the same moment: one read of the head, one of AWSCURRENT."""
    cache = gated.cache()
    cache.login(NAME, SecretVersion.text, is_refused=is_refused)
    gated.world.clock.advance(5)
    cache.get(NAME)
    gated.world.clock.advance(1)
    heads = gated.world.table.calls["head"]
    gated.stages.clear()
    barrier = threading.Barrier(32)

    def refused(version: SecretVersion) -> str:
        barrier.wait(PATIENCE_S)
        raise RefusedError(version.version_id)

    def login() -> None:
        with pytest.raises(LoginRefusedError):
            cache.login(NAME, refused, is_refused=is_refused, budget_s=0)

    with ThreadPoolExecutor(32) as pool:
        for future in [pool.submit(login) for _ in range(32)]:
            future.result(PATIENCE_S)
    assert heads + 1 == gated.world.table.calls["head"]
    assert 1 == gated.stages["AWSCURRENT"]


def test_a_child_forked_during_a_login_can_log_in(gated: Gated) -> None:
    """Fork while another thread tries an unproven password, alone: the child does not wait for it."""
    cache = gated.cache()
    connecting = Gate()
    connecting.close()

    def connect(version: SecretVersion) -> str:
        connecting.passed()
        return version.text()

    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(cache.login, NAME, connect, is_refused=is_refused)
        assert connecting.somebody_waits()
        child = os.fork()
        if child == 0:
            signal.alarm(PATIENCE_S)
            outcome = cache.login(NAME, SecretVersion.text, is_refused=is_refused)
            os._exit(0 if outcome == "one" else 1)
        connecting.open()
        assert "one" == trying.result(PATIENCE_S)
    assert 0 == ended(child)


def test_children_forked_under_load_all_work(gated: Gated) -> None:
    """Fork ten times while four threads get, invalidate and log in: every child gets the secret."""
    cache = gated.cache()
    stop = threading.Event()

    def load() -> int:
        turns = 0
        while not stop.is_set():
            turns += 1
            cache.get(NAME)
            cache.invalidate(NAME)
            cache.login(NAME, SecretVersion.text, is_refused=is_refused)
            cache.status()
        return turns

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for _ in range(4)]
        children = [forked(cache) for _ in range(10)]
        outcomes = [ended(child) for child in children]
        stop.set()
        assert all(one.result(PATIENCE_S) for one in loads)
    assert [0] * 10 == outcomes


def forked(cache: SecretCache) -> int:
    """The process id of a child that reads the secret, and logs in with it, and ends."""
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE_S)
        right = cache.get_secret_string(NAME) == cache.login(NAME, SecretVersion.text, is_refused=is_refused)
        os._exit(0 if right else 1)
    return child


def ended(child: int) -> int:
    """How a child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
