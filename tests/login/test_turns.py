"""Which thread may try which version: nobody waits past a deadline, and no turn outlives its attempt."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from keyturn import LoginRefusedError, SecretCache
from keyturn.model.versions import SecretVersion
from tests.login.client import Client, RefusedError, Server, is_refused
from tests.world import NAME, World

PATIENCE_S = 20
"""Only a deadlock makes a test wait this long."""


@dataclass
class Hanging:
    """A server that answers the first attempt when it is told to, and all others at once."""

    server: Server = field(default_factory=Server)
    answer: Callable[[SecretVersion], str] | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    answers: threading.Event = field(default_factory=threading.Event)

    def connect(self, version: SecretVersion) -> str:
        if self.begun.is_set():
            return self.server.connect(version)
        self.begun.set()
        assert self.answers.wait(PATIENCE_S)
        return (self.answer or self.server.connect)(version)


@contextmanager
def hanging(one: Client, answer: Callable[[SecretVersion], str] | None = None) -> Iterator[Hanging]:
    """While another thread's first attempt hangs; `answer` says how that one ends."""
    server = Hanging(one.server, answer)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(log_in, one.cache, server.connect)
        assert server.begun.wait(PATIENCE_S)
        try:
            yield server
        finally:
            server.answers.set()
            first.exception(PATIENCE_S)


def log_in(cache: SecretCache, connect: Callable[[SecretVersion], str], **options: float) -> str:
    """Log in with the refusals of this server."""
    return cache.login(NAME, connect, is_refused=is_refused, **options)  # type: ignore[arg-type] # numbers


@contextmanager
def promptly() -> Iterator[None]:
    """What is done in here takes no time that anybody would wait for: less than the 5 s of a turn."""
    begun_s = time.monotonic()
    yield
    assert time.monotonic() - begun_s < 4


def time_out(version: SecretVersion) -> str:
    """What a server does that does not answer."""
    raise TimeoutError("no route")


def test_after_a_time_out_nobody_queues(world: World) -> None:
    """20 threads, the first attempt times out: the other 19 then try side by side, and not one by one."""
    one, together = Client(world), threading.Barrier(19)

    def refuse_to_answer(version: SecretVersion) -> str:
        together.wait(PATIENCE_S)
        raise TimeoutError("no route")

    with hanging(one, time_out) as server, ThreadPoolExecutor(19) as pool:
        server.server.connect = refuse_to_answer  # type: ignore[method-assign]
        waiting = [pool.submit(log_in, one.cache, server.connect) for _ in range(19)]
        server.answers.set()
        assert {TimeoutError} == {type(each.exception(PATIENCE_S)) for each in waiting}


def test_a_wait_for_another_thread_ends_with_the_budget(world: World) -> None:
    """The other attempt hangs: after `budget_s` this login tries by itself, beside it."""
    one = Client(world)
    with hanging(one) as server, promptly():
        assert "connected with v1" == log_in(one.cache, server.connect, budget_s=0.05)


def test_a_wait_for_another_thread_ends_with_the_callers_own_time(world: World) -> None:
    """Without time for an attempt of its own the login fails, and the error says what it waited for."""
    one, left_s = Client(world), iter([0.05, 0.05] + 50 * [0.0])
    with hanging(one) as server, promptly():
        with pytest.raises(LoginRefusedError, match="not tried, since another thread's attempt") as caught:
            one.cache.login(NAME, server.connect, is_refused=is_refused, remaining_s=lambda: next(left_s))
        assert caught.value.__cause__ is None


def test_an_attempt_that_hangs_holds_nobody_for_longer_than_a_turn(world: World) -> None:
    """5 s after it began nobody waits for it any more, whatever the budget is."""
    one = Client(world)
    with hanging(one) as server:
        world.clock.advance(5)
        with promptly():
            assert "connected with v1" == log_in(one.cache, server.connect)


def test_an_attempt_that_was_dropped_holds_nobody(world: World) -> None:
    """The iterator is kept, the attempt is not: with the attempt its turn is gone."""
    one = Client(world)
    kept = one.cache.login_attempts(NAME, is_refused=is_refused)
    next(kept)
    with ThreadPoolExecutor(1) as pool, promptly():
        assert "connected with v1" == pool.submit(one.login, budget_s=3600).result(PATIENCE_S)


def test_an_attempt_that_is_never_entered_holds_nobody_for_ever(world: World) -> None:
    """Attempt and iterator are both kept: the turn is over after 5 s."""
    one = Client(world)
    kept = one.cache.login_attempts(NAME, is_refused=is_refused)
    attempt = next(kept)
    world.clock.advance(5)
    with ThreadPoolExecutor(1) as pool, promptly():
        assert "connected with v1" == pool.submit(one.login).result(PATIENCE_S)
    assert "v1" == attempt.version.version_id


def test_an_attempt_that_was_interrupted_holds_nobody(world: World) -> None:
    """KeyboardInterrupt in the block, with its traceback kept, as a debugger does."""
    one, kept = Client(world), list[BaseException]()

    def interrupted(version: SecretVersion) -> str:
        raise KeyboardInterrupt

    try:
        log_in(one.cache, interrupted)
    except KeyboardInterrupt as error:
        kept.append(error)
    with ThreadPoolExecutor(1) as pool:
        assert "connected with v1" == pool.submit(one.login).result(PATIENCE_S)
    assert kept


def test_no_lock_is_held_while_the_callers_code_runs(world: World) -> None:
    """In connect, is_refused, accept and remaining_s another thread can log in to the same secret."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    one, others = Client(world, server=Server(accepts={"two"})), list[str]()
    with ThreadPoolExecutor(1) as pool:

        def other() -> None:
            # It times out, so the version stays unproven.
            error = pool.submit(log_in, one.cache, time_out, budget_s=0).exception(PATIENCE_S)
            others.append(type(error).__name__)

        def connect(version: SecretVersion) -> str:
            other()
            return one.server.connect(version)

        def judge(error: Exception) -> bool:
            other()
            return isinstance(error, RefusedError)

        def accept(current: SecretVersion, candidate: SecretVersion) -> bool:
            other()
            return True

        def remaining_s() -> float:
            other()
            return 3600.0

        assert "connected with v2" == one.cache.login(
            NAME, connect, is_refused=judge, accept=accept, remaining_s=remaining_s
        )
    assert len(others) >= 5
    assert {"TimeoutError"} == set(others)


def test_threads_that_wait_for_a_wrong_password_do_not_try_it(world: World) -> None:
    """32 threads at the same moment, a password that was never right: two attempts, as before."""
    one = Client(world, server=Server(accepts=set()))
    with hanging(one) as server, ThreadPoolExecutor(31) as pool:
        waiting = [pool.submit(log_in, one.cache, server.connect) for _ in range(31)]
        server.answers.set()
        assert {LoginRefusedError} == {type(each.exception(PATIENCE_S)) for each in waiting}
    assert ["v1"] == one.server.tried()


def test_the_thread_of_a_loop_does_not_wait_for_its_own_task(world: World) -> None:
    """`cache.login` on the loop's thread, while a task of that loop tries the same version: no deadlock."""
    from keyturn.integrations.login import Login

    one = Client(world)
    login = Login(one.cache, NAME, budget_s=3600)

    async def run() -> tuple[str, str]:
        begun, goes_on = asyncio.Event(), asyncio.Event()

        async def connect(version: SecretVersion) -> str:
            begun.set()
            await goes_on.wait()
            return version.version_id

        task = asyncio.create_task(login.awaiting(connect))
        await begun.wait()
        blocking = one.login(budget_s=3600)
        goes_on.set()
        return blocking, await task

    with ThreadPoolExecutor(1) as pool:
        assert ("connected with v1", "v1") == pool.submit(asyncio.run, run()).result(PATIENCE_S)


def test_a_nested_login_with_the_same_version_ends(world: World) -> None:
    """A second attempt in the same thread does not wait for the one around it, nor does a refused version."""
    one = Client(world, server=Server(accepts=set()))
    with pytest.raises(LoginRefusedError):
        one.login(budget_s=0)
    world.clock.advance(7)

    def connect(version: SecretVersion) -> str:
        with pytest.raises(LoginRefusedError, match="refused moments ago"):
            one.login(budget_s=0)
        return one.server.connect(version)

    with pytest.raises(LoginRefusedError):
        log_in(one.cache, connect, budget_s=0)
    assert ["v1", "v1"] == one.server.tried()
