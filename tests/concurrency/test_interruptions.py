"""Signal handlers that raise, or that read a secret, and forks, at any moment of any call on the cache."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from types import FrameType

import pytest

from keyturn import Limits, Metric, Peers, SecretCache, SecretNotFoundError
from keyturn.testing.fakes import FakeParameterStore
from keyturn.testing.parts import parts_of
from tests.world import NAME, World

PATIENCE_S = 20

INTERRUPTIONS = 500

MANY_INTERRUPTIONS = 30_000

NAMES = ["/app/a", "/app/b"]

needs_alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs SIGALRM")


class InterruptedCallError(BaseException):
    """What the signal handler raises."""


class Alarm:
    """A signal handler that carries out `action`, at most once each time that it is armed."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.is_armed = False
        self.rung = 0
        self._action = action

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.is_armed:
            self.is_armed = False
            self.rung += 1
            self._action()

    def arm(self, delay_s: float) -> None:
        """Let the alarm ring once, after so many seconds."""
        signal.setitimer(signal.ITIMER_REAL, delay_s)
        self.is_armed = True


@contextmanager
def alarmed(action: Callable[[], object]) -> Iterator[Alarm]:
    """SIGALRM carries out `action`. Where it strikes in a finaliser, Python only notes what it raises."""
    alarm, hook = Alarm(action), sys.unraisablehook
    before = signal.signal(signal.SIGALRM, alarm)
    sys.unraisablehook = lambda _: None
    try:
        yield alarm
    finally:
        alarm.is_armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook


class Counted:
    """A metrics hook that counts reads."""

    def __init__(self) -> None:
        self.counts: Counter[Metric] = Counter()

    def record(
        self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
    ) -> None:
        self.counts[metric] += 1


class Struck:
    """A cache of secrets, parameters and markers, and every call on it."""

    def __init__(self, world: World, *, wait_s: float = PATIENCE_S) -> None:
        self.world = world
        self.store = FakeParameterStore(world.clock)
        for name in NAMES:
            self.store.put(name, "one")
        self.hook = Counted()
        self.version = 1
        self.random = Random(1)
        world.mark()
        self.cache = SecretCache(
            limits=Limits(refresh_wait_s=wait_s, cold_wait_s=wait_s, max_secrets=8),
            metrics=self.hook,
            peers=Peers(
                source=world.secrets,
                parameter_source=lambda decrypt: self.store.source(decrypt=decrypt),
                markers=world.table,
                clock=world.clock,
                random=lambda: 0.0,
            ),
        )
        for number in range(12):
            world.secrets.create(f"other{number}", "one")

    @property
    def ids(self) -> list[str]:
        """Every id under which callers ask for the secret."""
        return [NAME, self.world.arn, self.world.key]

    def call(self) -> None:
        """Make a call on the cache, warm or cold, fresh or stale."""
        random, cache = self.random, self.cache
        match random.randrange(9):
            case 0 | 1 | 2:
                cache.get(random.choice(self.ids))
            case 3:
                cache.get(f"other{random.randrange(12)}")
            case 4:
                cache.invalidate(random.choice(self.ids))
            case 5:
                cache.get_parameters(NAMES)
            case 6:
                cache.get_parameters_by_path("/app")
            case 7:
                cache.status()
            case 8:
                self.call_in_vain()
        self.world.clock.advance(random.choice((0, 0, 0, 1, 6, 301)))

    def call_in_vain(self) -> None:
        """Ask for what there is not."""
        try:
            self.cache.get(f"none{self.random.randrange(100)}")
        except SecretNotFoundError:
            pass
        else:
            raise AssertionError("there is no such secret")

    def rotate(self) -> None:
        """Move the secret and a parameter."""
        self.version += 1
        self.world.rotate(f"v{self.version}", str(self.version))
        self.store.put(NAMES[0], str(self.version))

    def settle(self) -> None:
        """Wait for the reads and checks that were given up, and for their threads."""
        ends_s = time.monotonic() + PATIENCE_S
        while self.flights() or any(one.name.startswith("keyturn") for one in threading.enumerate()):
            assert time.monotonic() < ends_s, (self.flights(), threading.enumerate())
            time.sleep(0.001)

    def flights(self) -> int:
        """How many reads and checks are registered as being under way.

        A thread that was just started is not among those that Python lists before it has run for a moment.
        """
        parts = parts_of(self.cache)
        return sum(len(one.flights) for one in (*parts.caches, parts.checker, parts.checker.checks))

    def seen(self) -> set[str]:
        """What is served under every id, a check interval after a rotation, and a read after that."""
        self.rotate()
        self.world.clock.advance(6)
        self.world.table.sweep()
        for secret_id in self.ids:
            self.cache.get(secret_id)
        self.world.clock.advance(1)
        return {self.cache.get(secret_id).version_id for secret_id in self.ids}

    def must_be_sound(self) -> None:
        """No flight, no lock and no id was lost."""
        self.settle()
        with ThreadPoolExecutor(1) as pool:
            # Another thread: what the main thread has taken it could take again.
            for _ in range(3):
                assert {f"v{self.version + 1}"} == pool.submit(self.seen).result(PATIENCE_S)
            reads = self.hook.counts[Metric.READ_S]
            pool.submit(self.call_in_vain).result(PATIENCE_S)
            pool.submit(self.cache.get_parameters, NAMES).result(PATIENCE_S)
            self.world.clock.advance(400)
            pool.submit(self.cache.get_parameters_by_path, "/app").result(PATIENCE_S)
        assert self.hook.counts[Metric.READ_S] > reads


def struck(scene: Struck, alarm: Alarm, kind: type[BaseException], times: int) -> int:
    """Interrupt calls that many times at random moments. Return how often a call ended by that."""
    ended, random = 0, Random(2)
    while alarm.rung < times:
        try:
            alarm.arm(1e-6 + 2e-4 * random.random())
            _called_until_it_rings(scene, alarm)
            alarm.is_armed = False
        except kind:
            ended += 1
        if alarm.rung % 50 == 0:
            scene.rotate()
    return ended


def _called_until_it_rings(scene: Struck, alarm: Alarm) -> None:
    # A function of its own: since Python 3.12 `except` may not catch what is raised at the jump of a loop.
    for _ in range(50):
        scene.call()
        if not alarm.is_armed:
            break


def interrupt() -> None:
    """Raise, as time-outs of Celery and RQ do."""
    raise InterruptedCallError


@needs_alarm
@pytest.mark.parametrize("times", [INTERRUPTIONS, pytest.param(MANY_INTERRUPTIONS, marks=pytest.mark.proof)])
def test_interruptions_at_any_moment_leave_the_cache_sound(world: World, times: int) -> None:
    """So many exceptions out of a signal handler: no flight, no lock stays, each id notices a rotation."""
    scene = Struck(world)
    with alarmed(interrupt) as alarm:
        ended = struck(scene, alarm, InterruptedCallError, times)
    assert ended > times * 0.9
    scene.must_be_sound()


@needs_alarm
@pytest.mark.parametrize("times", [200, pytest.param(1000, marks=pytest.mark.proof)])
def test_keyboard_interrupts_leave_the_cache_sound(world: World, times: int) -> None:
    """The same with the exception that Control-C raises."""
    scene = Struck(world)

    def control_c() -> None:
        signal.raise_signal(signal.SIGINT)

    with alarmed(control_c) as alarm:
        struck(scene, alarm, KeyboardInterrupt, times)
    scene.must_be_sound()


@needs_alarm
@pytest.mark.parametrize("times", [100, pytest.param(500, marks=pytest.mark.proof)])
def test_a_signal_handler_may_read_a_secret(world: World, times: int) -> None:
    """A handler that gets, cold or stale, in the middle of any call: it has its answer, nobody waits."""
    scene = Struck(world)
    slowest_s, rung = 0.0, 0

    def read() -> None:
        nonlocal slowest_s, rung
        rung += 1
        begun_s = time.monotonic()
        scene.cache.get(scene.ids[rung % 3])
        scene.cache.get(f"other{rung % 12}")
        scene.cache.get_parameters(NAMES)
        scene.cache.get_parameters_by_path("/app")
        scene.cache.invalidate(NAME)
        slowest_s = max(slowest_s, time.monotonic() - begun_s)

    with alarmed(read) as alarm:
        assert 0 == struck(scene, alarm, InterruptedCallError, times)
    assert slowest_s < 5
    scene.must_be_sound()


@pytest.mark.proof
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_forked_under_load_notice_a_move_by_every_id(world: World) -> None:
    """Eight threads get, invalidate and rotate: each child gets at once, and sees the next rotation."""
    # The threads move the one clock, so that durations by it say nothing here.
    scene = Struck(world, wait_s=1e6)
    stop, turn = threading.Event(), threading.Lock()

    def load(seed: int) -> int:
        random, calls = Random(seed), 0
        while not stop.is_set():
            calls += 1
            scene.cache.get(random.choice(scene.ids))
            scene.cache.get(f"other{random.randrange(12)}")
            scene.cache.invalidate(random.choice(scene.ids))
            scene.cache.get_parameters(NAMES)
            scene.cache.status()
            if random.random() < 0.1:
                with turn:
                    scene.rotate()
                    world.clock.advance(6)
        return calls

    with ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(load, number) for number in range(8)]
        codes = []
        for _ in range(40):
            child = os.fork()
            if child == 0:
                signal.alarm(PATIENCE_S)
                os._exit(_first_moves(scene))
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stop.set()
        assert all(one.result(PATIENCE_S) for one in loads)
    assert [0] * 40 == codes


def _first_moves(scene: Struck) -> int:
    """Get in a child, warm and cold, and look whether each id notices a rotation. Return 0 if all is well."""
    begun_s = time.monotonic()
    for secret_id in scene.ids:
        scene.cache.get(secret_id)
    for number in range(12):
        scene.cache.get(f"other{number}")
    scene.cache.get_parameters(NAMES)
    # A busy machine may take its time; a lock that a lost thread holds would take for ever.
    if time.monotonic() - begun_s > PATIENCE_S / 4:
        return 3
    return 0 if scene.seen() == {f"v{scene.version}"} else 4
