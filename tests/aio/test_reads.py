"""Reads by tasks: a hit never leaves the loop, and one read is made for any number of tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar

import anyio
import pytest

from keyturn import (
    AsyncSecretCache,
    ConfigurationError,
    InvalidSecretIdError,
    Limits,
    Metric,
    ParameterNotFoundError,
    Peers,
    SecretCache,
    SecretNotFoundError,
    SecretVersion,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.testing.fakes import FakeClock, FakeParameterStore, FakeReports
from keyturn.testing.parts import parts_of
from tests.aio.loops import (
    PATIENCE_S,
    Gate,
    counted_threads,
    keyturns_threads,
    reached,
    run,
    so,
    together,
)
from tests.testing.processes import eventually
from tests.world import NAME, AtWork, World

TASKS = 1000

FEW = 6
"""Two threads are enough; but a task may find an errand just ended, and begin another."""

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def at_the_first_step(awaited: Coroutine[object, object, object]) -> object:
    """What a coroutine returns without ever giving way to a loop; there need not be one."""
    with pytest.raises(StopIteration) as end:
        awaited.send(None)
    return end.value.value


def test_a_hit_never_leaves_the_loop(world: World) -> None:
    """A hit is returned at the coroutine's first step, with no thread, no request and no loop at all."""
    cache = AsyncSecretCache(world.cache())
    held = cache.sync.get(NAME)
    with counted_threads() as started:
        found = [at_the_first_step(cache.get(NAME)) for _ in range(100)]
    assert all(one is held for one in found)
    assert "one" == at_the_first_step(cache.get_secret_string(NAME))
    assert [] == started
    assert 1 == world.reads


def test_a_hit_of_a_parameter_never_leaves_the_loop(world: World) -> None:
    """The same for parameters, one or many."""
    store = FakeParameterStore(world.clock)
    store.put("/a", "1")
    store.put("/b", "2")
    cache = AsyncSecretCache(peers=Peers(parameter_source=store.source, clock=world.clock))
    held = cache.sync.get_parameters(["/a", "/b"])
    with counted_threads() as started:
        assert held["/a"] is at_the_first_step(cache.get_parameter("/a"))
        assert held == at_the_first_step(cache.get_parameters(["/a", "/b"]))
    assert [] == started


def test_a_look_that_needs_no_wait_needs_no_thread(world: World) -> None:
    """A window that has ended, with nothing to check, is opened on the loop: also for hundreds of secrets."""
    names = [f"app/{number}" for number in range(300)]
    for name in names:
        world.secrets.create(name, name, "v1")
    cache = AsyncSecretCache(world.cache(table=False))
    cache.sync.preload(names)
    world.clock.advance(5)
    with counted_threads() as started:
        found = [at_the_first_step(cache.get(name)) for name in names]
    assert names == [one.text() for one in found if isinstance(one, SecretVersion)]
    assert [] == started


@pytest.mark.parametrize("what", ["secret", "parameter"])
def test_who_comes_back_after_long_is_given_no_copy_that_nobody_tended(
    world: World, loop: str, what: str
) -> None:
    """The background thread leaves out a copy that nobody asks for, so its next task waits for a read."""
    store = FakeParameterStore(world.clock)
    store.put("/a", "one")
    peers = Peers(source=world.secrets, parameter_source=store.source, clock=world.clock, random=lambda: 0.0)
    limits = Limits(max_unused_s=250, refresh_wait_s=20)
    cache = AsyncSecretCache(marker_table=False, peers=peers, limits=limits)
    parts = parts_of(cache.sync)
    for one in parts.caches:
        one.background = AtWork()

    def read() -> str:
        if what == "secret":
            return str(run(loop, lambda: cache.get_secret_string(NAME)))
        return run(loop, lambda: cache.get_parameter("/a")).value

    def turn(times: int) -> None:
        for _ in range(times):
            world.clock.advance(5)
            parts.checker.check_ahead()

    assert "one" == read()
    turn(53)
    store.put("/a", "two")
    world.rotate("v2", "two", mark=False)
    turn(9)
    assert "two" == read()


def test_a_thousand_tasks_on_a_cold_secret(world: World, loop: str) -> None:
    """One GetSecretValue for all of them, and a handful of threads."""
    cache = AsyncSecretCache(world.cache(table=False))
    with counted_threads() as started:
        found = run(loop, lambda: together([lambda: cache.get(NAME)] * TASKS))
    assert {"one"} == {one.text() for one in found}
    assert TASKS == len(found)
    assert 1 == world.reads
    assert len(started) <= FEW


def test_a_thousand_tasks_on_a_stale_secret(world: World, loop: str) -> None:
    """One GetSecretValue for all of them; a task that finds it under way takes the copy at once."""
    cache = AsyncSecretCache(world.cache(table=False))
    cache.sync.get(NAME)
    world.secrets.put(NAME, "two", "v2")
    world.clock.advance(301)
    with counted_threads() as started:
        found = run(loop, lambda: together([lambda: cache.get(NAME)] * TASKS))
    assert "two" in [one.text() for one in found]
    assert {"one", "two"} >= {one.text() for one in found}
    assert 2 == world.reads
    assert len(started) <= FEW
    assert "two" == run(loop, lambda: cache.get(NAME)).text()


def test_a_check_is_made_once_for_hundreds_of_secrets(world: World, loop: str) -> None:
    """The task that finds it due waits for it, the others go on with what they know: a few threads in all."""
    names = [f"app/{number}" for number in range(300)]
    for name in names:
        world.secrets.create(name, name, "v1")
    cache = AsyncSecretCache(world.cache())
    cache.sync.preload([NAME, *names])
    world.mark()
    world.clock.advance(5)
    before = world.table.calls["head"]
    with counted_threads() as started:
        found = run(loop, lambda: together([lambda name=name: cache.get(name) for name in names]))  # type: ignore[misc] # bound at once
    assert names == [one.text() for one in found]
    assert before + 1 == world.table.calls["head"]
    assert len(started) <= FEW


def test_a_rotation_is_noticed_by_its_marker(world: World, loop: str) -> None:
    """The first get after the interval has the new version, for one check and one read."""
    cache = AsyncSecretCache(world.covered())
    world.rotate("v2", "two")
    world.clock.advance(5)
    reads = world.reads
    assert "two" == run(loop, lambda: cache.get(NAME)).text()
    assert reads + 1 == world.reads


def test_a_secrets_manager_that_hangs_holds_up_nobody(world: World, loop: str) -> None:
    """A stale copy is served after `refresh_wait_s` to the one task that waits, and at once to all others."""
    cache = AsyncSecretCache(world.cache(table=False, refresh_wait_s=0.05))
    cache.sync.get(NAME)
    gate = Gate(world.secrets)
    world.clock.advance(290)

    async def main() -> list[SecretVersion]:
        found = await together([lambda: cache.get(NAME)] * 50)
        with counted_threads() as started:
            found += await together([lambda: cache.get(NAME)] * 50)
        assert [] == started
        return found

    try:
        assert {"one"} == {one.text() for one in run(loop, main)}
    finally:
        gate.opened.set()
    assert eventually(lambda: not keyturns_threads())


def test_every_task_has_an_error_of_its_own(world: World, loop: str) -> None:
    """Tasks that wait for one failing read each get the error, with its cause, and no common traceback."""
    cause = OSError("no route")
    error = UnavailableError(NAME, "no network")
    error.__cause__ = cause
    world.secrets.fail = lambda _: error
    cache = AsyncSecretCache(world.cache(table=False))

    async def failed() -> UnavailableError:
        with pytest.raises(UnavailableError) as raised:
            await cache.get(NAME)
        return raised.value

    errors = run(loop, lambda: together([failed] * 20))
    assert 20 == len({id(one) for one in errors})
    assert {id(cause)} == {id(_root(one)) for one in errors}
    assert 1 == world.reads


def _root(error: BaseException) -> BaseException:
    return _root(error.__cause__) if error.__cause__ is not None else error


def test_wrong_arguments_are_refused_at_once(world: World, loop: str) -> None:
    """As by the threads' cache: an id or a stage that cannot be, and a name that is not there."""
    cache = AsyncSecretCache(world.cache())

    async def main() -> None:
        with pytest.raises(InvalidSecretIdError):
            await cache.get("")
        with pytest.raises(ConfigurationError, match="stage"):
            await cache.get(NAME, stage="")
        with pytest.raises(SecretNotFoundError):
            await cache.get("nope")
        with pytest.raises(StageNotFoundError):
            await cache.get(NAME, stage="AWSPENDING")
        with pytest.raises(ConfigurationError, match="version or a label"):
            await cache.get_parameter("/a", version=1, label="good")

    run(loop, main)


def test_parameters_are_read_for_all_tasks_at_once(world: World, loop: str) -> None:
    """One by one, many, a path and a reference to a secret: the values and errors of the threads' cache."""
    store = FakeParameterStore(world.clock)
    store.put("/app/a", "1")
    store.put("/app/b", "2")
    peers = Peers(source=world.secrets, parameter_source=store.source, clock=world.clock)
    cache = AsyncSecretCache(peers=peers)

    async def main() -> None:
        found = await together([lambda: cache.get_parameter("/app/a")] * 100)
        assert {"1"} == {one.value for one in found}
        many = await together([lambda: cache.get_parameters(["/app/a", "/app/b"])] * 100)
        assert ["1", "2"] == [one.value for one in many[0].values()]
        many[0].clear()
        assert all(many[1:])
        paths = await together([lambda: cache.get_parameters_by_path("/app", recursive=True)] * 100)
        assert ["/app/a", "/app/b"] == list(paths[99])
        assert "1" == (await cache.get_parameter("/app/a", version=1, decrypt=False)).value
        reference = f"/aws/reference/secretsmanager/{NAME}"
        assert "one" == (await cache.get_parameter(reference)).value
        with pytest.raises(ParameterNotFoundError):
            await cache.get_parameters(["/app/a", "/nope"])

    run(loop, main)
    assert 2 == store.calls["GetParameter"]
    assert 2 == store.calls["GetParameters"]
    assert 1 == store.calls["GetParametersByPath"]
    assert 1 == world.reads


def test_reads_run_in_the_context_of_the_task(world: World, loop: str) -> None:
    """Context variables of the task that begins a read are there in the source."""
    seen = list[str]()
    world.secrets.fail = lambda _: seen.append(WHO.get())
    cache = AsyncSecretCache(world.cache())

    async def main() -> None:
        WHO.set("caller")
        await cache.get(NAME)

    run(loop, main)
    assert ["caller"] == seen


def test_the_metrics_hook_is_called_in_threads(world: World, loop: str) -> None:
    """A hook that takes its time does not stop the loop, neither after a read nor after `invalidate`."""
    tellers = list[tuple[Metric, int]]()

    class Hook:
        def record(
            self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
        ) -> None:
            tellers.append((metric, threading.get_ident()))

    cache = AsyncSecretCache(metrics=Hook(), peers=Peers(source=world.secrets, clock=world.clock))

    async def main() -> None:
        await cache.get(NAME)
        assert await cache.invalidate(NAME)
        assert not await cache.invalidate("other")
        await so(lambda: len(tellers) >= 2)

    run(loop, main)
    assert [Metric.READ_S, Metric.INVALIDATIONS] == [metric for metric, _ in tellers]
    assert threading.get_ident() not in [ident for _, ident in tellers]


def test_the_convergence_table_is_told(world: World, loop: str) -> None:
    """What a task reads is reported, and `aclose` says that the environment is over."""
    reports = FakeReports(world.clock)
    peers = Peers(source=world.secrets, markers=world.table, reports=reports, clock=world.clock)
    cache = AsyncSecretCache(peers=peers)
    world.mark()

    async def main() -> None:
        async with cache:
            await cache.get(NAME)
            world.clock.advance(5)
            await cache.get(NAME)
            assert 1 == reports.calls["write"]
            world.rotate("v2", "two")
            world.clock.advance(5)
            await cache.check()
            await cache.get(NAME)

    run(loop, main)
    assert 3 == reports.calls["write"]


@pytest.mark.parametrize("at", ["check", "cold", "stale", "parameters"])
def test_a_cancelled_task_leaves_nothing(world: World, loop: str, at: str) -> None:
    """A task that is cancelled while it waits for a thread ends at once; the thread ends by itself."""
    store = FakeParameterStore(world.clock)
    store.put("/a", "1")
    opened, begun = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        begun.set()
        assert opened.wait(PATIENCE_S)

    peers = Peers(source=world.secrets, markers=world.table, parameter_source=store.source, clock=world.clock)
    limits = Limits(refresh_wait_s=PATIENCE_S, cold_wait_s=PATIENCE_S)
    cache = AsyncSecretCache(SecretCache(peers=peers, limits=limits))
    if at in ("check", "stale"):
        cache.sync.get(NAME)
        world.clock.advance(5 if at == "check" else 301)
    world.table.fail = hang if at == "check" else lambda: None
    world.secrets.fail = hang if at in ("cold", "stale") else lambda _: None
    store.fail = hang
    call: Callable[[], Coroutine[object, object, object]] = (
        (lambda: cache.get_parameters(["/a"])) if at == "parameters" else lambda: cache.get(NAME)
    )

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await reached(begun)
            group.cancel_scope.cancel()
        assert keyturns_threads()
        opened.set()
        await call()

    run(loop, main)
    assert eventually(lambda: not keyturns_threads())


def test_loops_and_threads_share_a_cache(world: World) -> None:
    """Loops of both kinds in several threads, beside plain threads: one read serves them all."""
    cache, found = AsyncSecretCache(world.cache(table=False)), list[str]()
    gate = Gate(world.secrets)

    def on_a_loop(kind: str) -> None:
        found.extend(one.text() for one in run(kind, lambda: together([lambda: cache.get(NAME)] * 20)))

    def on_a_thread() -> None:
        found.append(cache.sync.get(NAME).text())

    works: list[Callable[[], None]] = [lambda: on_a_loop("asyncio"), lambda: on_a_loop("trio"), on_a_thread]
    threads = [threading.Thread(target=work) for work in works * 2]
    for thread in threads:
        thread.start()
    gate.opened.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert ["one"] * 82 == found
    assert 1 == world.reads


def test_a_loop_that_ends_before_its_read(world: World, loop: str) -> None:
    """A loop that is closed while a thread reads for it: the thread ends, and the next loop is served."""
    cache = AsyncSecretCache(world.cache(table=False, cold_wait_s=PATIENCE_S))
    gate = Gate(world.secrets)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(cache.get, NAME)
            await reached(gate.reached)
            group.cancel_scope.cancel()

    run(loop, main)
    gate.opened.set()
    assert eventually(lambda: not keyturns_threads())
    assert "one" == run(loop, lambda: cache.get(NAME)).text()
    assert 1 == world.reads


def test_a_clock_of_its_own() -> None:
    """Built from the same arguments as the threads' cache, it makes one: with the same limits and peers."""
    clock = FakeClock()
    world = World(clock)
    cache = AsyncSecretCache(check_interval_s=7, peers=Peers(source=world.secrets, clock=clock))
    assert isinstance(cache.sync, SecretCache)
    cache.sync.get(NAME)
    clock.advance(6.9)
    assert cache.peek(NAME) is not None
    clock.advance(0.2)
    assert cache.peek(NAME) is None
