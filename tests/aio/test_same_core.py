"""The two clients over one core: one copy, one check, one memory of logins, one background thread."""

from __future__ import annotations

import os
import threading

import pytest

from keyturn import AsyncSecretCache, ConfigurationError, Limits, Peers, SecretCache, SecretVersion
from keyturn.testing.fakes import FakeParameterStore
from tests.aio.loops import keyturns_threads, run
from tests.testing.processes import eventually
from tests.world import NAME, World, held


async def connect(version: SecretVersion) -> str:
    """A server that takes any password."""
    return version.version_id


def test_they_share_copies_and_checks(world: World, loop: str) -> None:
    """What a task has read is a hit for a thread, and the other way round; a check is one for both."""
    sync = world.cache()
    cache = AsyncSecretCache(sync)
    assert cache.sync is sync
    version = run(loop, lambda: cache.get(NAME))
    assert version is sync.get(NAME)
    world.mark()
    world.clock.advance(5)
    sync.check()
    heads = world.table.calls["head"]
    assert version.identity == run(loop, lambda: cache.get(NAME)).identity
    assert (1, heads) == (world.reads, world.table.calls["head"])


def test_they_share_what_is_invalid(world: World, loop: str) -> None:
    """`invalidate` by one makes the other read, and `status` is the same."""
    sync = world.cache()
    cache = AsyncSecretCache(sync)
    sync.get(NAME)
    assert run(loop, lambda: cache.invalidate(NAME))
    sync.get(NAME)
    assert 2 == world.reads
    assert held(sync) == run(loop, cache.status).secrets[0]


def test_they_share_logins(world: World, loop: str) -> None:
    """A version that a thread has proven is proven for tasks: five hundred log in at once."""
    sync = world.cache()
    sync.login(NAME, lambda version: version.version_id)
    cache = AsyncSecretCache(sync)
    assert "v1" == run(loop, lambda: cache.login(NAME, connect))


def test_two_of_them_share_as_well(world: World, loop: str) -> None:
    """Two tasks' clients over one threads' client have one copy."""
    sync = world.cache()
    one, other = AsyncSecretCache(sync), AsyncSecretCache(sync)
    assert run(loop, lambda: one.get(NAME)) is run(loop, lambda: other.get(NAME))


@pytest.mark.parametrize(
    "argument",
    [
        {"marker_table": "t"},
        {"marker_table": False},
        {"check_interval_s": 0},
        {"background": True},
        {"limits": Limits(check_interval_s=1)},
        {"peers": Peers(random=lambda: 0.5)},
    ],
)
def test_a_cache_and_other_arguments(world: World, argument: dict[str, object]) -> None:
    """A cache and another argument contradict each other: that is said at once."""
    with pytest.raises(ConfigurationError, match="takes no other argument"):
        AsyncSecretCache(world.cache(), **argument)  # type: ignore[arg-type] # one of several


def test_wrong_arguments_are_refused(world: World) -> None:
    """What `SecretCache` refuses is refused."""
    with pytest.raises(ConfigurationError):
        AsyncSecretCache("table")  # type: ignore[arg-type] # a mistake
    with pytest.raises(ConfigurationError):
        AsyncSecretCache(check_interval_s=0)


def test_the_background_thread_is_one(world: World, loop: str) -> None:
    """It starts at the first use by either, and ends with `aclose`; then both check inline."""
    peers = Peers(source=world.secrets, markers=world.table)
    cache = AsyncSecretCache(background=True, peers=peers, limits=Limits(check_interval_s=3600))

    async def main() -> None:
        async with cache as entered:
            assert entered is cache
            await cache.get(NAME)
            cache.sync.invalidate(NAME)
            await cache.get(NAME)
            assert ["keyturn-poller"] == [one for one in keyturns_threads() if one == "keyturn-poller"]

    run(loop, main)
    assert eventually(lambda: not keyturns_threads())
    assert run(loop, lambda: cache.get(NAME)).text() == "one"


def test_forgotten_as_before_the_first_get(world: World, loop: str) -> None:
    """`forget` drops all of both."""
    cache = AsyncSecretCache(world.cache())
    run(loop, lambda: cache.get(NAME))
    cache.forget()
    assert cache.peek(NAME) is None
    assert () == cache.sync.status().secrets


def test_a_forked_child_waits_for_nothing_of_its_parent(world: World) -> None:
    """A read that the parent's tasks wait for is under way at the fork: the child makes its own."""
    cache = AsyncSecretCache(world.cache(table=False))
    begun, opened = threading.Event(), threading.Event()

    def hang(_: str) -> None:
        begun.set()
        assert opened.wait(20)

    world.secrets.fail = hang
    reading = threading.Thread(target=lambda: run("asyncio", lambda: cache.get(NAME)))
    reading.start()
    assert begun.wait(20)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            world.secrets.fail = lambda _: None
            status = 0 if run("asyncio", lambda: cache.get(NAME)).text() == "one" else 2
        finally:
            os._exit(status)
    opened.set()
    reading.join(20)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_preloaded_before_the_first_request(world: World, loop: str, kind: str) -> None:
    """After `preload` everything is a hit; secrets are read side by side, parameters ten a request."""
    store = FakeParameterStore(world.clock)
    names = [f"/app/{number}" for number in range(12)]
    for name in names:
        store.put(name, name)
    world.secrets.create("other", "two", "v1")
    peers = Peers(source=world.secrets, parameter_source=store.source, clock=world.clock)
    cache = AsyncSecretCache(peers=peers)
    if kind == "threads":
        cache.sync.preload([NAME, "other"], parameters=names)
    else:
        run(loop, lambda: cache.preload([NAME, "other"], parameters=names))
    assert cache.peek(NAME) is not None
    assert cache.peek("other") is not None
    assert all(cache.peek_parameter(name) for name in names)
    assert (2, 2) == (world.reads, store.calls["GetParameters"])


@pytest.mark.parametrize("argument", ["secret_ids", "parameters", "names"])
def test_a_single_name_is_no_sequence(world: World, loop: str, argument: str) -> None:
    """Its letters are names, too: nothing is read, and the error says what to give."""
    cache = AsyncSecretCache(world.cache())
    method = "get_parameters" if argument == "names" else "preload"

    async def awaited() -> object:
        found: object = await getattr(cache, method)(**{argument: NAME})
        return found

    for call in (lambda: getattr(cache.sync, method)(**{argument: NAME}), lambda: run(loop, awaited)):
        with pytest.raises(ConfigurationError, match=f"{argument} is a str; give a sequence of names"):
            call()
    assert 0 == world.reads


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_a_preload_that_fails_says_so(world: World, loop: str, kind: str) -> None:
    """The first error is raised, after all others were read: a start that cannot work fails at the start."""
    cache = AsyncSecretCache(world.cache())

    def preload() -> None:
        if kind == "threads":
            cache.sync.preload(["nope", NAME])
        else:
            run(loop, lambda: cache.preload(["nope", NAME]))

    with pytest.raises(LookupError, match="'nope' was not found"):
        preload()
    assert cache.peek(NAME) is not None


def test_reads_of_a_preload_are_side_by_side(world: World) -> None:
    """Eight reads are under way at the same time: a barrier of eight opens."""
    names = [f"app/{number}" for number in range(16)]
    for name in names:
        world.secrets.create(name, name, "v1")
    barrier = threading.Barrier(8)

    def meet(_: str) -> None:
        barrier.wait(20)

    world.secrets.fail = meet
    SecretCache(peers=Peers(source=world.secrets, clock=world.clock)).preload(names)
    assert 16 == world.reads
