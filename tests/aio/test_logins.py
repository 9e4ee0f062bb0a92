"""Logins by tasks: no thread for a proven version, one attempt at a time with an unproven one."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from unittest.mock import Mock

import anyio
import pytest

from keyturn import (
    AsyncSecretCache,
    ConfigurationError,
    Limits,
    LoginRefusedError,
    Metric,
    Peers,
    SecretCache,
    SecretVersion,
    UnavailableError,
)
from keyturn.aio.logins import AsyncAttempt, are_alike
from keyturn.integrations.login import Login
from keyturn.login.policy import LoginOptions
from tests.aio.loops import PATIENCE_S, Gate, counted_threads, keyturns_threads, reached, run, together
from tests.testing.processes import eventually
from tests.world import NAME, World

TASKS = 500

WHO: ContextVar[str] = ContextVar("who", default="nobody")


class RefusedError(Exception):
    """Known to the table by its status."""

    status = 401


class Server:
    """Takes one password, and counts what it was asked; `connect` gives way to the loop."""

    def __init__(self, password: str, pause_s: float = 0.0) -> None:
        self.password = password
        self.pause_s = pause_s
        self.asked: Counter[str] = Counter()
        self.open = self.open_max = 0

    async def connect(self, version: SecretVersion) -> str:
        self.asked[version.text()] += 1
        self.open += 1
        self.open_max = max(self.open, self.open_max)
        try:
            await anyio.sleep(self.pause_s)
        finally:
            self.open -= 1
        if version.text() != self.password:
            raise RefusedError
        return version.version_id


def cache_of(world: World, **limits: float) -> AsyncSecretCache:
    """A cache whose pauses move the clock of the world."""
    peers = Peers(source=world.secrets, markers=world.table, clock=world.clock, sleep=world.clock.advance)
    return AsyncSecretCache(peers=peers, limits=Limits(**{"refresh_wait_s": 20, **limits}))  # type: ignore[arg-type] # numbers


def logged_in_by_a_thread(cache: AsyncSecretCache) -> str:
    """A login by a thread, after whatever was before: it must not wait."""
    found = list[str]()
    thread = threading.Thread(
        target=lambda: found.append(cache.sync.login(NAME, lambda one: one.version_id)), daemon=True
    )
    thread.start()
    thread.join(2)
    return found[0] if found else "it waits"


def test_five_hundred_logins_with_a_proven_version(world: World, loop: str) -> None:
    """They start no thread at all, and are all under way at once."""
    cache, server = cache_of(world), Server("one", 0.05)
    assert "v1" == run(loop, lambda: cache.login(NAME, server.connect))
    with counted_threads() as started:
        found = run(loop, lambda: together([lambda: cache.login(NAME, server.connect)] * TASKS))
    assert ["v1"] * TASKS == found
    assert [] == started
    assert TASKS == server.open_max


def test_five_hundred_first_logins(world: World, loop: str) -> None:
    """From cold: one read by a thread, one login that proves the version, then all others at once."""
    cache, server = cache_of(world), Server("one", 0.01)
    with counted_threads() as started:
        found = run(loop, lambda: together([lambda: cache.login(NAME, server.connect)] * TASKS))
    assert ["v1"] * TASKS == found
    assert len(started) <= 6
    assert 1 == world.reads
    assert {"one": TASKS} == server.asked


def test_five_hundred_logins_with_a_wrong_password(world: World, loop: str) -> None:
    """The server is asked once or twice in all, and few threads are there at the same time."""
    cache, server, most = cache_of(world), Server("another", 0.01), list[int]()

    async def refused() -> bool:
        with pytest.raises(LoginRefusedError):
            await cache.login(NAME, server.connect, budget_s=5)
        most.append(len(keyturns_threads()))
        return True

    assert all(run(loop, lambda: together([refused] * TASKS)))
    assert server.asked["one"] <= 2
    assert max(most) <= TASKS / 10


def test_five_hundred_logins_that_run_out_of_time(world: World, loop: str) -> None:
    """A rotation seems to be under way, and no version is right: one task looks again for all of them."""
    cache, server, most = cache_of(world), Server("another", 0.001), list[int]()
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    async def refused() -> str:
        with pytest.raises(LoginRefusedError) as raised:
            await cache.login(NAME, server.connect, budget_s=8)
        most.append(len(keyturns_threads()))
        return str(raised.value)

    said = run(loop, lambda: together([refused] * TASKS))
    assert all("v1" in one and "v2" in one for one in said)
    assert server.asked.total() <= 6
    assert max(most) <= TASKS / 10


def test_tasks_that_judge_otherwise_try_by_themselves(world: World, loop: str) -> None:
    """What one task calls refused, or leaves out, says nothing about a task with other options."""
    cache, server = cache_of(world), Server("zero", 0.01)
    world.secrets.put(NAME, "zero", "v0", "AWSPREVIOUS")

    async def refused() -> str:
        with pytest.raises(LoginRefusedError):
            await cache.login(NAME, server.connect, accept=lambda current, one: one.version_id != "v0")
        return "refused"

    calls = [refused, lambda: cache.login(NAME, server.connect, previous=True)]
    assert ["refused", "v0"] * 5 == run(loop, lambda: together(calls * 5))


def test_five_hundred_logins_in_the_window_of_a_rotation(world: World, loop: str) -> None:
    """The server takes AWSPENDING already: one task finds that by a thread, the others log in after it."""
    cache, server = cache_of(world), Server("one", 0.01)
    run(loop, lambda: cache.login(NAME, server.connect))
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    server.password = "two"
    with counted_threads() as started:
        found = run(loop, lambda: together([lambda: cache.login(NAME, server.connect)] * TASKS))
    assert ["v2"] * TASKS == found
    assert server.asked["one"] <= 1 + TASKS
    assert len(started) <= 12


def test_the_attempts_of_a_loop(world: World, loop: str) -> None:
    """`async for` and `async with` give the versions in their order, keep refusals, end with the success."""
    cache, seen = cache_of(world), list[tuple[str, bool, bool]]()
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    kept = list[AsyncAttempt]()

    async def main() -> None:
        async for attempt in cache.login_attempts(NAME, budget_s=0):
            kept.append(attempt)
            async with attempt as version:
                assert version is attempt.version
                assert "v1" == attempt.current.version_id
                if version.version_id == "v1":
                    raise RefusedError
            seen.append((version.version_id, attempt.refusal is None, attempt.has_succeeded))

    run(loop, main)
    assert [("v1", False, False), ("v2", True, True)] == seen
    assert isinstance(kept[0].refusal, RefusedError)


def lambdas(kind: type[Exception]) -> LoginOptions:
    """A lambda that refers to what is given."""
    return {"is_refused": lambda error: isinstance(error, kind)}


def inner_functions_with_a_default(kind: type[Exception]) -> LoginOptions:
    """A function that has it as a default."""

    def accept(_current: SecretVersion, _version: SecretVersion, allowed: object = kind) -> bool:
        return allowed is kind

    return {"accept": accept}


def partials(kind: type[Exception]) -> LoginOptions:
    """A partial of a lambda."""
    return {"is_refused": partial(lambda kind, error: isinstance(error, kind), kind)}


@pytest.mark.parametrize("made", [lambdas, inner_functions_with_a_default, partials])
def test_functions_that_are_made_for_each_login_judge_alike(
    world: World, loop: str, made: Callable[[type[Exception]], LoginOptions]
) -> None:
    """A hundred logins with a wrong password are a few steps in threads, as with one function for all."""
    cache, server = cache_of(world), Server("another")

    async def one() -> None:
        with pytest.raises(LoginRefusedError):
            await cache.login(NAME, server.connect, **made(RefusedError))

    with counted_threads() as started:
        run(loop, lambda: together([one] * 100))
    assert len(started) <= 8


def test_functions_that_judge_otherwise_are_not_alike() -> None:
    """By their code, or by the values that they refer to; a value that is gone is like no other."""

    def made(kind: object) -> Callable[[Exception], bool]:
        return lambda error: error is kind

    def gone() -> Callable[[], object]:
        value: object = object()

        def judge() -> object:
            return value  # noqa: F821 # that is the point

        del value
        return judge

    assert are_alike(made(TASKS), made(TASKS))
    assert not are_alike(made(TASKS), made(PATIENCE_S))
    assert not are_alike(made(TASKS), lambda error: error is TASKS)
    assert not are_alike(partial(made, 1), partial(made, "1"))
    assert not are_alike(gone(), gone())
    assert are_alike(world_of := World(), world_of)
    assert not are_alike(World(), World())


def test_all_refused(world: World, loop: str) -> None:
    """The error is that of the threads' cache: it names what was tried, and its cause is the last refusal."""
    cache, server = cache_of(world), Server("another")
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    async def main() -> None:
        with pytest.raises(LoginRefusedError, match=r"v1 .*v2 ") as raised:
            await cache.login(NAME, server.connect, budget_s=0)
        assert isinstance(raised.value.__cause__, RefusedError)

    run(loop, main)


def test_another_error_is_raised_as_it_is(world: World, loop: str) -> None:
    """A time-out moves on to no other version; the next login needs no turn."""
    cache = cache_of(world)

    async def connect(version: SecretVersion) -> str:
        raise TimeoutError(version.version_id)

    async def main() -> None:
        with pytest.raises(TimeoutError, match="v1"):
            await cache.login(NAME, connect)

    run(loop, main)
    assert "v1" == logged_in_by_a_thread(cache)


def test_a_plain_connect_is_told(world: World, loop: str) -> None:
    """Each connection that it opens is closed, and the version does not count as right."""
    cache, opened = cache_of(world), list[Mock]()

    def connect(_version: SecretVersion) -> Awaitable[None]:
        opened.append(Mock(spec_set=["close"]))
        return opened[-1]

    def text(_version: SecretVersion) -> Awaitable[None]:
        return "nothing to close"  # type: ignore[return-value] # the mistake

    logins: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: cache.login(NAME, connect),
        cache.logs_in(NAME)(connect),
        lambda: Login(cache, NAME).awaiting(connect),
        lambda: cache.login(NAME, text),
    )
    for login in logins:
        with pytest.raises(ConfigurationError, match=r"connect is not async: use SecretCache\.login"):
            run(loop, login)
    assert [1] * 3 == [one.close.call_count for one in opened]


def test_a_plain_handler_is_told(world: World, loop: str) -> None:
    """Its result cannot be awaited; what a plain function returns from an async one can."""
    cache = cache_of(world)

    async def later() -> str:
        return "done"

    def handler() -> Awaitable[str]:
        return later()

    def plain() -> Awaitable[str]:
        return "done"  # type: ignore[return-value] # the mistake

    assert "done" == run(loop, cache.checks_first(handler))
    with pytest.raises(ConfigurationError, match="the handler is not async"):
        run(loop, cache.checks_first(plain))


def test_attempts_run_in_the_task(world: World, loop: str) -> None:
    """Every connect runs on the loop's thread with the task's context variables, and what it sets stays."""
    cache, seen = cache_of(world), list[tuple[str, int]]()
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    async def connect(version: SecretVersion) -> str:
        seen.append((WHO.get(), threading.get_ident()))
        WHO.set(version.version_id)
        if version.version_id == "v1":
            raise RefusedError
        return version.version_id

    async def main() -> str:
        WHO.set("caller")
        await cache.login(NAME, connect)
        return WHO.get()

    assert "v2" == run(loop, main)
    assert [("caller", threading.get_ident()), ("v1", threading.get_ident())] == seen


def test_decorated(world: World, loop: str) -> None:
    """`logs_in` passes the version and the caller's arguments; `checks_first` checks before the handler."""
    cache = cache_of(world)
    world.mark()

    @cache.logs_in(NAME)
    async def connect(version: SecretVersion, name: str, *, port: int) -> str:
        return f"{version.text()}@{name}:{port}"

    @cache.checks_first
    async def handler(event: str, _context: object = None) -> str:
        return await connect(event, port=1)

    async def main() -> str:
        await handler("a")
        world.clock.advance(5)
        return await handler("b")

    assert "one@b:1" == run(loop, main)
    assert 1 == world.table.calls["head"]
    assert "connect" == connect.__name__


def test_refusals_are_measured_off_the_loop(world: World, loop: str) -> None:
    """The hook is called in a thread; many logins at once share it."""
    tellers = list[tuple[Metric, int]]()

    class Hook:
        def record(
            self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
        ) -> None:
            tellers.append((metric, threading.get_ident()))

    peers = Peers(source=world.secrets, clock=world.clock, sleep=world.clock.advance)
    cache, server = AsyncSecretCache(metrics=Hook(), peers=peers), Server("two")
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    run(loop, lambda: cache.login(NAME, server.connect))
    assert eventually(lambda: Metric.BRIDGES in [metric for metric, _ in tellers])
    assert threading.get_ident() not in [ident for _, ident in tellers]
    with counted_threads() as started:
        run(loop, lambda: together([lambda: cache.login(NAME, server.connect)] * 20))
    assert len(started) <= 6


def test_an_attempt_that_hangs_holds_nobody_up_for_long(world: World, loop: str) -> None:
    """Whoever has the first turn hangs: with no budget to wait, others try beside it."""
    cache, server = cache_of(world), Server("one")
    hung = anyio.Event()

    async def hang(_: SecretVersion) -> None:
        hung.set()
        await anyio.sleep_forever()

    async def main() -> list[str]:
        async with anyio.create_task_group() as group:
            group.start_soon(cache.login, NAME, hang)
            await hung.wait()
            found = await together([lambda: cache.login(NAME, server.connect, budget_s=0.3)] * 20)
            group.cancel_scope.cancel()
        return found

    assert ["v1"] * 20 == run(loop, main)


def test_a_thread_and_a_task_take_turns(world: World, loop: str) -> None:
    """A thread proves the version; the task that waits for that on its loop goes on when it has."""
    cache, server = cache_of(world), Server("one")
    begun, opened = threading.Event(), threading.Event()

    def connect(version: SecretVersion) -> str:
        begun.set()
        assert opened.wait(PATIENCE_S)
        return version.version_id

    async def main() -> str:
        await reached(begun)
        async with anyio.create_task_group() as group:
            found = list[str]()

            async def log_in() -> None:
                found.append(await cache.login(NAME, server.connect))

            group.start_soon(log_in)
            await anyio.sleep(0.05)
            assert not server.asked
            opened.set()
        return found[0]

    thread = threading.Thread(target=lambda: cache.sync.login(NAME, connect))
    thread.start()
    try:
        assert "v1" == run(loop, main)
    finally:
        opened.set()
        thread.join()


def at_the_read(world: World, _cache: AsyncSecretCache) -> tuple[threading.Event, threading.Event]:
    """The read of AWSCURRENT hangs."""
    return hanging_read(world, "AWSCURRENT")


def at_a_slow_step(world: World, cache: AsyncSecretCache) -> tuple[threading.Event, threading.Event]:
    """AWSCURRENT was refused, and the read of AWSPENDING hangs."""
    cache.sync.login(NAME, lambda one: one.version_id)
    return hanging_read(world, "AWSPENDING")


def hanging_read(world: World, at: str) -> tuple[threading.Event, threading.Event]:
    """Let the reads of one stage hang until the second event; the first says that one has begun."""
    begun, opened = threading.Event(), threading.Event()
    read = world.secrets.read

    def hang(secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        if stage == at:
            begun.set()
            assert opened.wait(PATIENCE_S)
        return read(secret_id, stage=stage, version_id=version_id)

    world.secrets.read = hang  # type: ignore[method-assign]
    return begun, opened


@pytest.mark.parametrize("hangs", [at_the_read, at_a_slow_step])
@pytest.mark.parametrize("tasks", [1, 5])
def test_cancelled_while_a_thread_reads(
    world: World,
    loop: str,
    hangs: Callable[[World, AsyncSecretCache], tuple[threading.Event, threading.Event]],
    tasks: int,
) -> None:
    """All tasks end at once; their threads end with the read, make no attempt, and the turn is free."""
    cache, server = cache_of(world, cold_wait_s=PATIENCE_S), Server("none")
    begun, opened = hangs(world, cache)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(cache.login, NAME, server.connect)
            await reached(begun)
            group.cancel_scope.cancel()

    run(loop, main)
    asked = server.asked.total()
    opened.set()
    assert eventually(lambda: not keyturns_threads())
    assert "v1" == logged_in_by_a_thread(cache)
    assert asked == server.asked.total()


def test_cancelled_in_an_attempt(world: World, loop: str) -> None:
    """connect is cancelled with its task; those that queue behind it go on at once."""
    cache, server = cache_of(world), Server("one")

    async def main() -> list[str]:
        hung = anyio.Event()

        async def hang(_: SecretVersion) -> None:
            hung.set()
            await anyio.sleep_forever()

        scope, found = anyio.CancelScope(), list[str]()

        async def log_in_and_hang() -> None:
            with scope:
                await cache.login(NAME, hang)

        async def log_in() -> None:
            found.append(await cache.login(NAME, server.connect, budget_s=3600))

        async with anyio.create_task_group() as group:
            group.start_soon(log_in_and_hang)
            await hung.wait()
            group.start_soon(log_in)
            group.start_soon(log_in)
            await anyio.sleep(0.05)
            assert not server.asked
            scope.cancel()
        return found

    assert ["v1", "v1"] == run(loop, main)


def test_cancelled_in_the_queue(world: World, loop: str) -> None:
    """A task that waits for another's turn is cancelled: the others are served."""
    cache = cache_of(world)
    release = list[anyio.Event]()

    async def slow(version: SecretVersion) -> str:
        await release[0].wait()
        return version.version_id

    async def main() -> list[str]:
        release.append(anyio.Event())
        found = list[str]()

        async def log_in() -> None:
            found.append(await cache.login(NAME, slow))

        async with anyio.create_task_group() as group:
            group.start_soon(log_in)
            await anyio.sleep(0.05)
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(log_in)
                waiting.start_soon(log_in)
                await anyio.sleep(0.05)
                waiting.cancel_scope.cancel()
            group.start_soon(log_in)
            release[0].set()
        return found

    assert ["v1", "v1"] == run(loop, main)


@pytest.mark.parametrize("step", range(24))
def test_cancelled_after_any_number_of_steps(world: World, loop: str, step: int) -> None:
    """A login in the window of a rotation, cancelled a little later each time, leaves nothing."""
    cache, server = cache_of(world), Server("two", 0.001)
    cache.sync.login(NAME, lambda one: one.version_id)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    async def main() -> str:
        async with anyio.create_task_group() as group:
            group.start_soon(cache.login, NAME, server.connect)
            for _ in range(step):
                await anyio.sleep(0.0003)
            group.cancel_scope.cancel()
        with anyio.fail_after(2):
            return await cache.login(NAME, server.connect)

    assert "v2" == run(loop, main)
    assert eventually(lambda: not keyturns_threads())


@pytest.mark.parametrize("inside", [False, True])
def test_dropped_attempts_free_their_turn(world: World, loop: str, inside: bool) -> None:  # noqa: FBT001
    """A loop that is left before the block, or in it: the next login waits for nobody."""
    cache = cache_of(world)

    async def main() -> None:
        async for attempt in cache.login_attempts(NAME):
            if inside:
                async with attempt:
                    break
            break

    run(loop, main)
    gc.collect()
    assert "v1" == logged_in_by_a_thread(cache)
    assert "v1" == run(loop, lambda: cache.login(NAME, Server("one").connect, budget_s=0))


def test_a_lead_that_is_dropped_frees_the_others(world: World, loop: str) -> None:
    """A task takes slow steps and then forgets its attempts: the others do not wait for it for ever."""
    cache, server = cache_of(world), Server("two", 0.001)
    cache.sync.login(NAME, lambda one: one.version_id)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    async def main() -> str:
        async for attempt in cache.login_attempts(NAME):
            if attempt.version.version_id == "v2":
                break
            async with attempt:
                raise RefusedError
        del attempt
        gc.collect()
        with anyio.fail_after(2):
            return await cache.login(NAME, server.connect)

    assert "v2" == run(loop, main)


def test_a_login_of_a_cache_for_threads_still_works_on_the_loop(world: World, loop: str) -> None:
    """`cache.sync.login` on the loop's thread blocks the loop, and does not deadlock with its tasks."""
    cache = cache_of(world)

    async def connect(version: SecretVersion) -> str:
        return cache.sync.login(NAME, lambda one: one.version_id) + version.version_id

    assert "v1v1" == run(loop, lambda: cache.login(NAME, connect))


def test_a_login_inside_of_an_attempt(world: World, loop: str) -> None:
    """`connect` logs in with the same secret, in its own task or in one that it waits for: nobody waits."""
    cache, server = cache_of(world), Server("one")

    async def connect(version: SecretVersion) -> str:
        inner = await cache.login(NAME, server.connect)
        (child,) = await together([lambda: cache.login(NAME, server.connect)])
        return inner + child + version.version_id

    async def main() -> str:
        with anyio.fail_after(2):
            return await cache.login(NAME, connect)

    assert "v1v1v1" == run(loop, main)


def test_tasks_that_outlive_the_attempt_in_which_they_were_made(world: World, loop: str) -> None:
    """They queue like any others: all of them together try a wrong password once or twice."""
    cache, server = cache_of(world), Server("one", 0.01)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            has_changed = anyio.Event()

            async def reconnect() -> None:
                await has_changed.wait()
                with pytest.raises(LoginRefusedError):
                    await cache.login(NAME, server.connect, budget_s=5)

            async def connect(version: SecretVersion) -> None:
                await server.connect(version)
                for _ in range(50):
                    group.start_soon(reconnect)

            await cache.login(NAME, connect)
            world.rotate("v2", "two", mark=False)
            server.password = "three"
            await cache.invalidate(NAME)
            await cache.get(NAME)
            has_changed.set()

    run(loop, main)
    assert server.asked["two"] <= 2


@pytest.mark.parametrize("first", ["hasty", "patient"])
def test_a_login_with_a_moment_left_spoils_nothing_for_others(world: World, loop: str, first: str) -> None:
    """It ends with its own time, and a task that waits for the same read with more time gets the answer."""
    cache, gate = cache_of(world), Gate(world.secrets)

    async def hasty() -> None:
        with pytest.raises(UnavailableError, match=r"that the login had left.*remaining_s"):
            await cache.login(NAME, Server("one").connect, remaining_s=lambda: 0.1)
        gate.opened.set()

    async def patient() -> None:
        assert "one" == await cache.get_secret_string(NAME)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(hasty if first == "hasty" else patient)
            await reached(gate.reached)
            group.start_soon(patient if first == "hasty" else hasty)

    run(loop, main)
    assert 1 == world.reads


def test_several_servers(world: World, loop: str) -> None:
    """What one server refuses is not held against another one, and neither waits for the other's lead."""
    cache, good, bad = cache_of(world), Server("one", 0.01), Server("another", 0.01)

    async def refused() -> str:
        with pytest.raises(LoginRefusedError):
            await cache.login(NAME, bad.connect, server="bad", budget_s=0)
        return "refused"

    calls = [lambda: cache.login(NAME, good.connect, server="good"), refused]
    assert ["v1", "refused"] * 10 == run(loop, lambda: together(calls * 10))


class Hanging(Server):
    """Refuses the version of `one`, and hangs with any other."""

    def __init__(self) -> None:
        super().__init__("none")
        self.hangs = anyio.Event()

    async def connect(self, version: SecretVersion) -> str:
        if version.text() == "one":
            raise RefusedError
        self.hangs.set()
        await anyio.sleep_forever()
        raise AssertionError


async def beside_a_lead_that_hangs(cache: AsyncSecretCache, server: str) -> str:
    """What a login with AWSPENDING gives while another task's attempt with that hangs, on `db-1`."""
    hanging, right = Hanging(), Server("two")
    async with anyio.create_task_group() as group:
        group.start_soon(partial(cache.login, NAME, hanging.connect, server="db-1"))
        await hanging.hangs.wait()
        found = await cache.login(NAME, right.connect, server=server)
        group.cancel_scope.cancel()
    return found


def test_a_lead_of_another_server_holds_nobody_up(world: World, loop: str) -> None:
    """A task takes slow steps for one server, and hangs there: logins on another server go on at once."""
    cache = cache_of(world)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    async def main() -> str:
        with anyio.fail_after(3):
            return await beside_a_lead_that_hangs(cache, "db-2")

    assert "v2" == run(loop, main)


@pytest.mark.proof
def test_a_lead_that_hangs_holds_the_others_up_for_five_seconds(world: World, loop: str) -> None:
    """As for threads: after 5 s of one attempt the others try beside it, long before their budget is over."""
    cache = cache_of(world)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    async def main() -> str:
        with anyio.fail_after(15):
            return await beside_a_lead_that_hangs(cache, "db-1")

    assert "v2" == run(loop, main)


def test_a_task_with_more_time_looks_on(world: World, loop: str) -> None:
    """A task gave up because its own time was over: one with more time goes on, and logs in later."""
    cache, server = cache_of(world), Server("another", 0.001)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    async def main() -> str:
        async with anyio.create_task_group() as group:
            found = list[str]()

            async def patient() -> None:
                found.append(await cache.login(NAME, server.connect, budget_s=3600))

            async def hasty() -> None:
                group.start_soon(patient)
                with pytest.raises(LoginRefusedError):
                    await cache.login(NAME, server.connect, budget_s=0.5)
                server.password = "two"

            group.start_soon(hasty)
        return found[0]

    assert "v2" == run(loop, main)


def test_it_is_the_same_memory(world: World, loop: str) -> None:
    """A version that a task was refused with counts as refused for threads, and the other way round."""
    cache, server = cache_of(world), Server("two")
    run(loop, lambda: cache.login(NAME, Server("one").connect))
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    run(loop, lambda: cache.login(NAME, server.connect))
    assert isinstance(cache.sync, SecretCache)
    asked = list[str]()

    def connect(version: SecretVersion) -> None:
        asked.append(version.version_id)

    cache.sync.login(NAME, connect)
    assert ["v2"] == asked


def test_a_slow_read_costs_no_second_try(world: World, loop: str) -> None:
    """A replica that is behind takes over: the login tries AWSPREVIOUS, and AWSCURRENT not twice before it.

    Nothing would take AWSCURRENT for half a minute then, also not once the replica has caught up.
    """
    cache, server = cache_of(world), Server("one")

    async def log_in() -> str:
        return await cache.login(NAME, server.connect, previous=True)

    run(loop, log_in)
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    server.password = "two"
    run(loop, log_in)
    world.secrets.move(NAME, "AWSCURRENT", "v2")
    world.clock.advance(7)
    cache.sync.invalidate(NAME)
    world.clock.advance(7)
    run(loop, log_in)
    server.password, server.asked = "one", Counter()
    world.secrets.fail = lambda _: world.clock.advance(7)
    assert "v1" == run(loop, log_in)
    world.secrets.fail = lambda _: None
    assert {"two": 1, "one": 1} == server.asked
    server.password = "two"
    assert "v2" == run(loop, log_in)
