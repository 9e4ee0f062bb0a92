"""A cache through the life of an execution environment: frozen, forked, in a snapshot, one of many clones."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from keyturn import AsyncSecretCache, ConfigurationError, Peers, SecretCache, SecretError, UnavailableError
from keyturn.model.markers import Head
from keyturn.model.versions import SecretVersion
from keyturn.runtime.host import system_random
from tests.world import NAME, World, held

PATIENCE_S = 20
"""Only a deadlock makes a test wait this long."""


# Frozen and thawed; clocks that are set


@pytest.mark.parametrize("table", [True, False])
def test_what_was_read_at_import_is_asked_again_after_a_long_freeze(world: World, *, table: bool) -> None:
    """Provisioned hours before its first invocation, the monotonic clock standing still: a new value."""
    world.mark()
    cache = world.cache(table=table)
    cache.get(NAME)
    world.clock.freeze(3600)
    world.secrets.put(NAME, "two", "v2")
    world.clock.freeze(3600)
    assert "two" == cache.get_secret_string(NAME)


def test_many_short_freezes_add_up(world: World) -> None:
    """An environment that runs for 10 ms a minute: the TTL is counted in time, not in run time."""
    cache = world.cache(table=False)
    cache.get(NAME)
    world.secrets.put(NAME, "two", "v2")
    for _ in range(5):
        world.clock.freeze(60)
        world.clock.advance(0.01)
        cache.get(NAME)
    assert "two" == cache.get_secret_string(NAME)


def test_a_clock_that_is_set_back_does_not_stop_the_ttl(world: World) -> None:
    """An hour back, and then the TTL by the monotonic clock: asked again, and not an hour later."""
    cache = world.cache(table=False)
    cache.get(NAME)
    world.clock.step(-3600)
    cache.get(NAME)
    world.secrets.put(NAME, "two", "v2")
    world.clock.advance(300)
    assert "two" == cache.get_secret_string(NAME)


def test_a_clock_that_is_set_forward_makes_nothing_fresh(world: World) -> None:
    """As when the clock of a restored environment is set right: the copy is as old as the clock says."""
    cache = world.covered()
    reads = world.reads
    world.clock.step(86_400)
    cache.get(NAME)
    assert reads + 1 == world.reads


# Forked: workers of a server, and the processes of a Lambda Managed Instance


def test_a_child_forked_in_the_middle_of_a_check_checks_for_itself(world: World) -> None:
    """The thread that was checking is not in the child: what it held there does not keep others out."""
    cache = world.covered()
    world.rotate("v2", "two")
    world.clock.advance(5)
    gate, entered = threading.Event(), threading.Event()
    read_head = world.table.read_head

    def slow_head(*, consistent: bool = False, copy: int = 0) -> Head | None:
        entered.set()
        assert gate.wait(PATIENCE_S)
        return read_head(consistent=consistent, copy=copy)

    world.table.read_head = slow_head  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        checking = pool.submit(cache.get_secret_string, NAME)
        assert entered.wait(PATIENCE_S)
        child = os.fork()
        if child == 0:
            world.table.read_head = read_head  # type: ignore[method-assign]
            os._exit(0 if cache.get_secret_string(NAME) == "two" else 1)
        gate.set()
        checking.result(PATIENCE_S)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_each_process_checks_for_itself(world: World) -> None:
    """Processes forked from one that is warm: each notices a rotation by a check of its own."""
    cache = world.covered()
    world.rotate("v2", "two")
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            heads = world.table.calls["head"]
            value = cache.get_secret_string(NAME)
            os._exit(0 if (value, world.table.calls["head"]) == ("two", heads + 1) else 1)
        children.append(child)
    assert [0, 0, 0] == [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert "one" == cache.get_secret_string(NAME)


# Lambda Managed Instances: several processes, none of them ever frozen


@pytest.mark.parametrize(
    ("kind", "given", "has_thread"),
    [
        ("lambda-managed-instances", None, True),
        ("lambda-managed-instances", False, False),
        ("on-demand", None, False),
        ("provisioned-concurrency", None, False),
        ("snap-start", None, False),
        ("on-demand", True, True),
        (None, None, False),
    ],
)
def test_a_managed_instance_has_a_background_thread_by_itself(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    *,
    kind: str | None,
    given: bool | None,
    has_thread: bool,
) -> None:
    """It starts with the first read; what the caller says wins. Elsewhere in Lambda a thread is frozen."""
    monkeypatch.delenv("AWS_LAMBDA_INITIALIZATION_TYPE", raising=False)
    if kind is not None:
        monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
    before = pollers()
    cache = SecretCache(background=given, peers=Peers(source=world.secrets, markers=world.table))
    assert set() == pollers() - before
    with cache:
        cache.get(NAME)
        assert has_thread == bool(pollers() - before)
    assert set() == pollers() - before


def pollers() -> set[threading.Thread]:
    """The background threads of this process."""
    return {one for one in threading.enumerate() if one.name == "keyturn-poller"}


# In a snapshot, and restored from it


class SlowSecrets:
    """Secrets Manager whose answers are under way until the gate opens: made, and not yet here."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gate, self.asked = threading.Event(), threading.Semaphore(0)

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        try:
            answer: SecretVersion | SecretError = self.world.secrets.read(
                secret_id, stage=stage, version_id=version_id
            )
        except SecretError as error:
            answer = error
        self.asked.release()
        assert self.gate.wait(PATIENCE_S)
        if isinstance(answer, SecretError):
            raise answer
        return answer


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_nothing_that_was_under_way_in_the_snapshot_is_served(
    world: World, *, warm: bool, fails: bool
) -> None:
    """A read that began before the snapshot and ends after the restore is begun again.

    Its answer, and what it would fall back on, is as old as the deployment, though the clock may not
    show that yet.
    """
    source = SlowSecrets(world)
    cache = SecretCache(peers=Peers(source=source, clock=world.clock, random=lambda: 0.0))
    if warm:
        source.gate.set()
        cache.get(NAME)
        source.asked.acquire()
        source.gate.clear()
        world.clock.advance(300)
    world.secrets.fail = lambda secret_id: UnavailableError(secret_id, "down") if fails else None
    with ThreadPoolExecutor(1) as pool:
        flying = pool.submit(cache.get_secret_string, NAME)
        assert source.asked.acquire(timeout=PATIENCE_S)
        cache.forget()
        world.secrets.fail = lambda _: None
        world.secrets.put(NAME, "two", "v2")
        source.gate.set()
        assert "two" == flying.result(PATIENCE_S)
    assert "two" == cache.get_secret_string(NAME)


def test_the_clones_of_a_snapshot_do_not_act_as_one(world: World) -> None:
    """Each draws its share of the TTL anew: a fleet that was restored at once is spread out all the same."""
    world.random = 0.0
    cache = world.cache(table=False)
    cache.forget()
    world.random = 1.0
    cache.forget()
    cache.get(NAME)
    world.clock.advance(241)
    cache.get(NAME)
    assert 2 == world.reads


def test_chance_is_not_in_the_snapshot() -> None:
    """Jitter comes from the kernel: the same state of a generator does not give the same numbers."""
    drawn = []
    for _ in range(2):
        random.seed(1)
        drawn.append(system_random())
    assert drawn[0] != drawn[1]


# The check at the start of an invocation


def test_an_invocation_begins_with_the_check(world: World) -> None:
    """The table is read before the handler's first line; the first `get` then reads the secret only."""
    cache = world.covered()
    heads: list[int] = []

    @cache.checks_first
    def handler(event: str, *, context: str) -> str:
        """Handle it."""
        heads.append(world.table.calls["head"])
        return event + context + cache.get_secret_string(NAME)

    world.rotate("v2", "two")
    world.clock.advance(5)
    before = world.table.calls["head"]
    assert "eventcontexttwo" == handler("event", context="context")
    assert [before + 1] == heads
    assert before + 1 == world.table.calls["head"]
    assert ("handler", "Handle it.") == (handler.__name__, handler.__doc__)


def test_a_check_that_is_not_due_costs_nothing(world: World) -> None:
    """A hundred invocations in one interval: one check."""
    cache = world.covered()
    handler = cache.checks_first(lambda: cache.get_secret_string(NAME))
    world.clock.advance(5)
    before = world.table.calls["head"]
    for _ in range(100):
        handler()
    assert before + 1 == world.table.calls["head"]


def test_a_cold_environment_does_not_check(world: World) -> None:
    """With nothing held there is nothing to check: the first invocation is not slower for it."""
    world.mark()
    before = sum(world.table.calls.values())
    assert "done" == world.cache().checks_first(lambda: "done")()
    assert before == sum(world.table.calls.values())
    assert 0 == world.reads


@pytest.mark.parametrize("trouble", [RuntimeError("unforeseen"), OSError(28, "no space")])
def test_no_error_of_the_check_reaches_the_handler(
    world: World, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even one that nobody foresaw: it is logged, and the handler runs."""
    cache = world.covered()
    world.clock.advance(5)
    world.table.fail = lambda: trouble
    with caplog.at_level(logging.ERROR, "keyturn"):
        assert "done" == cache.checks_first(lambda: "done")()
    assert str(trouble) in caplog.text
    world.table.fail = lambda: None
    world.clock.advance(5)
    cache.check()
    assert held(cache).covered


async def awaited() -> None:
    """A coroutine function."""


def yielding() -> Iterator[None]:
    """A generator function."""
    yield


async def yielding_later() -> AsyncIterator[None]:
    """An asynchronous generator function."""
    yield


def test_a_handler_that_runs_later_is_refused_with_its_decorator(world: World) -> None:
    """Its body runs after the decorator has ended, so its logins would not know the time that is left."""
    cache = world.cache()
    with pytest.raises(ConfigurationError, match="checks_first of an AsyncSecretCache"):
        cache.checks_first(awaited)
    for handler in (yielding, yielding_later):
        with pytest.raises(ConfigurationError, match="checks_first takes no generator"):
            cache.checks_first(handler)
        with pytest.raises(ConfigurationError, match="checks_first takes no generator"):
            AsyncSecretCache(cache).checks_first(handler)  # type: ignore[arg-type] # the mistake


class Later:
    """An object that is called, and whose body runs later."""

    async def __call__(self) -> str:
        raise AssertionError("nobody runs this")


def test_what_hides_that_it_is_async_is_refused_too(world: World) -> None:
    """An object is judged by its class; any other way by what it returns, and its body does not run."""
    cache = world.cache()
    with pytest.raises(ConfigurationError, match="checks_first of an AsyncSecretCache"):
        cache.checks_first(Later())
    AsyncSecretCache(cache).checks_first(Later())

    @cache.checks_first
    def hidden() -> object:
        return Later()()

    with pytest.raises(ConfigurationError, match="checks_first of an AsyncSecretCache"):
        hidden()


def test_the_handlers_own_errors_are_its_own(world: World) -> None:
    """What the handler raises is raised, as it is."""
    mine = KeyError("mine")

    @world.cache().checks_first
    def handler() -> None:
        raise mine

    with pytest.raises(KeyError) as caught:
        handler()
    assert mine is caught.value
