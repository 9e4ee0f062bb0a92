"""What a source or a table raises is a failure of that one thing, also where it is no `Exception`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from keyturn import AsyncSecretCache, Peers, SecretCache, UnavailableError
from keyturn.testing.fakes import FakeReports
from tests.aio.loops import LOOPS, run
from tests.world import NAME, World


class PanicError(BaseException):
    """A panic of a library in Rust: pyo3's has this base, too."""


KINDS = [asyncio.CancelledError, GeneratorExit, SystemExit, PanicError]

kinds = pytest.mark.parametrize("kind", KINDS)


def raising(kind: type[BaseException]) -> Callable[..., Exception | None]:
    """What raises this where a fake asks whether it is to fail."""

    def fail(*_: object) -> Exception | None:
        raise kind

    return fail


@kinds
def test_a_source(world: World, kind: type[BaseException]) -> None:
    """A held copy is served, a caller without one hears of it, and the source is asked again later."""
    cache = world.covered()
    world.secrets.fail = raising(kind)
    cache.invalidate(NAME)
    assert "one" == cache.get_secret_string(NAME)
    with pytest.raises(UnavailableError, match=f"the source raised {kind.__name__}") as raised:
        cache.get("another")
    assert isinstance(raised.value.__cause__, kind)
    world.secrets.fail = lambda _: None
    world.rotate("v2", "two")
    world.clock.advance(60)
    assert "two" == cache.get_secret_string(NAME)


@kinds
@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_is_not_taken_for_cancelled(world: World, loop: str, kind: type[BaseException]) -> None:
    """A source that runs a loop of its own, in which something was cancelled: no task of the caller's is."""
    cache = AsyncSecretCache(world.covered())
    world.secrets.fail = raising(kind)
    cache.sync.invalidate(NAME)
    assert "one" == run(loop, lambda: cache.get_secret_string(NAME))
    with pytest.raises(UnavailableError):
        run(loop, lambda: cache.get("another"))


@kinds
def test_a_table(world: World, kind: type[BaseException]) -> None:
    """Copies are served by the short TTL, `status()` says why, and the table is found back."""
    cache = world.covered()
    world.table.fail = raising(kind)
    world.pass_time(cache, 100)
    assert cache.status().table.trouble == (
        f"the table's client raised {kind.__name__}; see its credentials and settings"
    )
    world.table.fail = lambda: None
    world.clock.advance(60)
    cache.get(NAME)
    assert cache.status().table.trouble is None


@kinds
def test_reports(world: World, kind: type[BaseException]) -> None:
    """Secrets are served as before, and `status()` says that nothing is reported."""

    class Failing(FakeReports):
        def write(self, report: object) -> None:
            raise kind

    cache = SecretCache(
        peers=Peers(source=world.secrets, markers=world.table, reports=Failing(), clock=world.clock)
    )
    for _ in range(3):
        assert "one" == cache.get_secret_string(NAME)
        world.clock.advance(5)
    assert f"unexpected {kind.__name__}" == cache.status().reports.trouble


@kinds
@pytest.mark.parametrize("loop", LOOPS)
def test_a_metrics_hook_of_a_task(world: World, loop: str, kind: type[BaseException]) -> None:
    """The hook is called in a thread, and what it raises there ends no task."""

    class Hook:
        def record(self, *_: object, **__: object) -> None:
            raise kind

    peers = Peers(source=world.secrets, markers=world.table, clock=world.clock)
    cache = AsyncSecretCache(metrics=Hook(), peers=peers)
    assert "one" == run(loop, lambda: cache.get_secret_string(NAME))
    world.clock.advance(400)
    assert "one" == run(loop, lambda: cache.get_secret_string(NAME))


def test_a_worker_that_is_interrupted_in_its_hook(world: World) -> None:
    """dramatiq raises its time limit in the worker's own thread: no `Exception`, and it ends the work."""

    class Hook:
        def record(self, *_: object, **__: object) -> None:
            raise PanicError  # as if another thread had set it for this one, while the hook waits

    peers = Peers(source=world.secrets, markers=world.table, clock=world.clock)
    cache = SecretCache(metrics=Hook(), peers=peers)
    with ThreadPoolExecutor(1) as workers, pytest.raises(PanicError):
        workers.submit(cache.get, NAME).result()
    assert "one" == cache.get_secret_string(NAME)
