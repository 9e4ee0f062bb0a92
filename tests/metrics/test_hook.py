"""The hook costs nothing where there is none, and harms nobody where it fails, waits or asks back."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from keyturn import Metric, Peers, SecretCache
from keyturn.compat.cache import SecretCache as CompatCache
from keyturn.metrics.hook import SILENT
from keyturn.metrics.outbox import DELIVERED_MAX, WAITING_MAX, Outbox
from keyturn.settings.environment import KeyturnSettings
from keyturn.testing.fakes import RecordedMetrics
from keyturn.testing.parts import parts_of
from tests.metrics.conftest import Measured
from tests.testing.processes import eventually
from tests.world import NAME, World

CANARY = "c4n4ry-Pa55w0rd"
HITS = 100_000
PATIENCE_S = 20


class Calling:
    """A hook that calls a function, and keeps what it was told before."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.told: list[Metric] = []

    def record(
        self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
    ) -> None:
        self.told.append(metric)
        self.call()


class Failing:
    """A hook that always fails."""

    def record(
        self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
    ) -> None:
        raise RuntimeError(CANARY)


def test_hits_are_never_recorded(measured: Measured) -> None:
    """100,000 hits of a secret and of a parameter: the hook is not called, and nothing waits for it."""
    measured.warm()
    measured.parameters.put("/prod/host", "x")
    measured.cache.get_parameter("/prod/host")
    measured.told()
    for _ in range(HITS):
        measured.cache.get(NAME)
    for _ in range(HITS):
        measured.cache.get_parameter("/prod/host")
    assert [] == measured.told()
    measured.world.secrets.create("prod/other", "x")
    measured.cache.get("prod/other")
    assert [Metric.READ_S] == [one.metric for one in measured.told()]


def test_without_a_hook_nothing_is_kept_and_nothing_loaded() -> None:
    """Off is one object that does nothing; a cold start loads neither the way to a hook nor a format."""
    program = """
        import sys
        from keyturn import Peers, SecretCache, SecretVersion

        class Secrets:
            def read(self, secret_id, *, stage, version_id=None):
                return SecretVersion(secret_id, "arn", "name", "v1", frozenset({stage}), string="x")

        cache = SecretCache(marker_table="keyturn-markers", peers=Peers(source=Secrets()))
        cache.get("s")
        assert not {"keyturn.metrics.outbox", "keyturn.metrics.emf"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_silence_takes_everything() -> None:
    """What stands in for a hook takes every metric and has nothing to deliver."""
    for metric in Metric:
        SILENT.record(metric, 1, secret="s", stage="t")
    assert not SILENT.has_mail
    SILENT.deliver()


def test_a_failing_hook_breaks_nothing_and_is_reported_once(
    measured: Measured, caplog: pytest.LogCaptureFixture
) -> None:
    """Through a rotation and a login every call works; one log line, without the error's text."""
    cache = measured.made(Failing())
    measured.world.mark()
    assert "v1" == cache.get(NAME).version_id
    measured.world.rotate("v2", "two")
    measured.world.clock.advance(5)
    assert "v2" == cache.get(NAME).version_id
    cache.invalidate(NAME)
    cache.check()
    assert "v2" == cache.login(NAME, lambda version: version.version_id, is_refused=lambda _: True)
    complaints = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert ["metrics_failed"] == [vars(one)["keyturn_event"] for one in complaints]
    assert "Failing" in caplog.text
    assert "RuntimeError" in caplog.text
    assert CANARY not in caplog.text


def test_an_async_hook_is_told_once(measured: Measured, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody awaits what its `record` returns, so nothing is recorded; callers go on."""

    class Later:
        async def record(self, *_given: object, **_named: object) -> None:
            raise AssertionError("nobody runs this")

    cache = measured.made(Later())  # type: ignore[arg-type] # the mistake
    assert "v1" == cache.get(NAME).version_id
    cache.invalidate(NAME)
    cache.check()
    complaints = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert ["metrics_failed"] == [vars(one)["keyturn_event"] for one in complaints]
    assert "Later is async" in caplog.text


def test_no_value_is_ever_handed_to_a_hook(measured: Measured) -> None:
    """A life with a rotation, a bridge, a refusal and a failure: the canary is in nothing that was told."""
    world = measured.world
    world.secrets.put(NAME, CANARY, "v2")
    measured.accepts = {CANARY}
    measured.warm()
    measured.login()
    world.secrets.put(NAME, CANARY + "3", "v3", "AWSPENDING")
    measured.accepts = {CANARY + "3"}
    measured.login()
    world.rotate("v4", CANARY + "4")
    measured.after(5).get(NAME)
    measured.cache.invalidate(NAME)
    told = measured.told()
    assert {Metric.BRIDGES, Metric.REFUSALS, Metric.LAG_S} < {one.metric for one in told}
    assert CANARY not in repr(told)


def test_a_hook_may_read_from_the_cache_that_tells_it(world: World) -> None:
    """A hook that sends with a key from the same cache: it reads it, and its own reads are not told."""
    world.secrets.create("prod/key", "k")
    hook = Calling(lambda: cache.get("prod/key"))
    cache = SecretCache(metrics=hook, peers=Peers(source=world.secrets, clock=world.clock))
    cache.get("prod/key")
    cache.get(NAME)
    assert [Metric.READ_S] * 2 == hook.told


CALLS: Mapping[str, Callable[[SecretCache], object]] = {
    "invalidate": lambda cache: cache.invalidate(NAME),
    "status": SecretCache.status,
    "get": lambda cache: cache.get(NAME),
    "get_parameters": lambda cache: cache.get_parameters(["/prod/host"]),
    "check": SecretCache.check,
    "login": lambda cache: cache.login(NAME, lambda version: version, is_refused=lambda _: False),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_hook_may_call_anything(measured: Measured, call: str) -> None:
    """Whatever it calls on the cache, from wherever it is called: no lock is held, and it ends."""
    measured.parameters.put("/prod/host", "x")
    hook = Calling(lambda: CALLS[call](cache))
    cache = measured.made(hook)

    def use() -> None:
        measured.world.mark()
        cache.get(NAME)
        cache.get_parameters(["/prod/host"])
        cache.invalidate(NAME)
        cache.get(NAME)
        measured.world.rotate("v2", "two")
        measured.world.clock.advance(5)
        cache.check()
        cache.get(NAME)
        cache.get_parameters_by_path("/prod")
        measured.world.secrets.put(NAME, "three", "v3", "AWSPENDING")
        measured.accepts = {"three"}
        cache.login(NAME, measured.connect, is_refused=lambda _: True)

    user = threading.Thread(target=use, daemon=True)
    user.start()
    user.join(PATIENCE_S)
    assert not user.is_alive()
    assert {Metric.READ_S, Metric.CHECK_S, Metric.BRIDGES} <= set(hook.told)


def test_a_slow_hook_holds_up_one_caller(world: World) -> None:
    """While one thread is in the hook the others get their secrets, and theirs is told in the end."""
    entered, gate = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert gate.wait(PATIENCE_S)

    hook = Calling(wait)
    cache = SecretCache(metrics=hook, peers=Peers(source=world.secrets, clock=world.clock))
    for number in range(8):
        world.secrets.create(f"prod/{number}", "x")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, NAME)
        assert entered.wait(PATIENCE_S)
        for number in range(8):
            cache.get(f"prod/{number}")
        assert [Metric.READ_S] == hook.told
        gate.set()
        first.result(PATIENCE_S)
    assert [Metric.READ_S] * 9 == hook.told


def test_eight_busy_threads_share_a_hook_of_2_ms(world: World) -> None:
    """No get delivers all that the others record: 16 calls of the hook by one get, at most, are 32 ms."""
    delivered: Counter[str] = Counter()
    secret = ContextVar("secret", default="")

    def take_2_ms() -> None:
        delivered[secret.get()] += 1
        threading.Event().wait(0.002)

    cache = SecretCache(metrics=Calling(take_2_ms), peers=Peers(source=world.secrets, clock=world.clock))

    def get(name: str) -> None:
        secret.set(name)
        cache.get(name)

    names = [f"prod/{number}" for number in range(400)]
    for name in names:
        world.secrets.create(name, "x")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(get, names))
    assert 16 >= max(delivered.values())
    assert delivered.total() > 16


def test_nothing_is_lost_between_threads(world: World) -> None:
    """8 threads read 100 secrets each: 800 reads are told, by one thread at a time."""
    inside, most = 0, 0

    def count() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1

    hook = Calling(count)
    cache = SecretCache(metrics=hook, peers=Peers(source=world.secrets, clock=world.clock))
    for number in range(800):
        world.secrets.create(f"prod/{number}", "x")

    def read(thread: int) -> None:
        for number in range(100):
            cache.get(f"prod/{thread * 100 + number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))
    for _ in range(800):
        parts_of(cache).measures.deliver()
    assert [Metric.READ_S] * 800 == hook.told
    assert 1 == most


class LastMoment(dict[str, object]):
    """A turn in whose last moment another thread finds it taken."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def pop(self, key: str, default: object = None) -> object:
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()
        return super().pop(key, default)


def test_what_is_left_in_the_last_moment_is_told() -> None:
    """Who finds the hook busy leaves its own to the thread that tells, even if that has just finished."""
    hook = RecordedMetrics()

    def other_thread() -> None:
        outbox.record(Metric.REFUSALS, 1)
        outbox.deliver()

    outbox = Outbox(hook, make_turn=lambda: LastMoment(other_thread))
    outbox.record(Metric.READ_S, 1)
    outbox.deliver()
    assert [Metric.READ_S, Metric.REFUSALS] == [one.metric for one in hook.told]


def test_what_waits_is_bounded() -> None:
    """A hook that never returns costs memory for so many measurements and no more; the oldest go."""
    hook = RecordedMetrics()
    outbox = Outbox(hook)
    for number in range(WAITING_MAX + 5):
        outbox.record(Metric.READ_S, number)
    for _ in range(WAITING_MAX // DELIVERED_MAX):
        outbox.deliver()
    assert list(range(5, WAITING_MAX + 5)) == hook.of(Metric.READ_S)


def test_a_child_tells_only_of_itself(world: World) -> None:
    """Forked while the hook is at work: the child is not kept waiting, and the parent's are the parent's."""
    entered, gate = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert gate.wait(PATIENCE_S)

    hook = Calling(wait)
    cache = SecretCache(metrics=hook, peers=Peers(source=world.secrets, clock=world.clock))
    world.secrets.create("prod/other", "x")
    world.secrets.create("prod/child", "x")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, NAME)
        assert entered.wait(PATIENCE_S)
        cache.get("prod/other")
        child = os.fork()
        if child == 0:
            hook.call = lambda: None
            hook.told.clear()
            cache.get("prod/child")
            os._exit(0 if hook.told == [Metric.READ_S] else 1)
        gate.set()
        first.result(PATIENCE_S)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert [Metric.READ_S] * 2 == hook.told


def test_a_snapshot_holds_no_measurement() -> None:
    """What waited when a SnapStart snapshot was made is not told by its clones."""
    hook = RecordedMetrics()
    outbox = Outbox(hook)
    outbox.record(Metric.READ_S, 1)
    outbox.forget()
    outbox.deliver()
    assert [] == hook.told


def test_a_background_thread_tells_as_well(world: World) -> None:
    """Checks and refreshes ahead of use reach the hook, without any call."""
    hook = RecordedMetrics()
    with SecretCache(
        check_interval_s=0.01,
        background=True,
        metrics=hook,
        peers=Peers(source=world.secrets, markers=world.table),
    ) as cache:
        cache.get(NAME)
        assert eventually(lambda: len(hook.of(Metric.CHECK_S)) > 2)


def test_the_hook_reaches_every_cache_that_is_made_for_users(world: World) -> None:
    """`KeyturnSettings` and `keyturn.compat` pass it on."""
    hook = RecordedMetrics()

    class Client:
        def get_secret_value(self, **_: object) -> dict[str, object]:
            return {"ARN": world.arn, "Name": NAME, "VersionId": "v1", "SecretString": "one"}

        def describe_secret(self, **_: object) -> dict[str, object]:
            return {"ARN": world.arn, "Name": NAME, "VersionIdsToStages": {"v1": ["AWSCURRENT"]}}

    client = Client()
    KeyturnSettings().cache(client=client, metrics=hook).get(NAME)
    CompatCache(client=client, metrics=hook).get_secret_string(NAME)
    assert [Metric.READ_S] * 2 == [one.metric for one in hook.told]
