"""Services that accept a request and never answer: nobody who has a copy waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from keyturn import Limits, Peers, SecretCache, UnavailableError
from keyturn.cache.cache import Cache
from keyturn.cache.checker import Checker
from keyturn.cache.tables import Tables
from keyturn.model.names import secret_key
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeParameterStore
from keyturn.testing.parts import parts_of
from tests.world import NAME, AtWork, World

WAIT_S = 0.05
"""How long callers wait here; 1 s by default."""

SHORT_TTL_S = 1.5 * WAIT_S
"""A TTL that ends in each round of the background thread, and before that thread counts as stuck."""

MOMENT_S = 2.0
"""Far less than any hang here lasts, and far more than a busy machine needs."""

PATIENCE_S = 30.0
"""How long a test waits for what only a machine that is very busy is late with."""


class Hanging:
    """Secrets Manager, and the marker table, which answer nothing while `hangs` is set."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hangs = False
        self.slow_s = 0.0
        self.under_way = 0
        self.begun = 0
        self._answers = threading.Event()

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.hang()
        return self.world.secrets.read(secret_id, stage=stage, version_id=version_id)

    def hang(self) -> None:
        self.begun += 1
        if not self.hangs:
            if self.slow_s:
                time.sleep(self.slow_s)
            return
        self.under_way += 1
        self._answers.wait(60)
        self.under_way -= 1
        raise TimeoutError("no answer")

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let every request hang until the end, when all of them fail."""
        self.hangs = True
        try:
            yield
        finally:
            self.hangs = False
            self._answers.set()
            while self.under_way:
                time.sleep(0.001)
            self._answers = threading.Event()

    def cache(self, *, background: bool = False, **limits: float) -> SecretCache:
        chosen = {"refresh_wait_s": WAIT_S, "cold_wait_s": 3 * WAIT_S, **limits}
        return SecretCache(
            background=background,
            limits=Limits(**chosen),  # type: ignore[arg-type] # numbers
            peers=Peers(source=self, clock=self.world.clock, random=lambda: 0.0),
        )


@pytest.fixture
def hanging(world: World) -> Hanging:
    """A world whose services can hang."""
    return Hanging(world)


def took_s(call: Callable[[], object]) -> float:
    """How long a call takes, in real seconds."""
    begun_s = time.monotonic()
    call()
    return time.monotonic() - begun_s


def test_a_copy_is_served_after_a_moment_whatever_hangs(hanging: Hanging) -> None:
    """Ten copies that moved, one thread: one get waits, the others take their copies at once."""
    names = [f"s{number}" for number in range(10)]
    for name in names:
        hanging.world.secrets.create(name, "one")
    cache = hanging.cache()
    for name in names:
        cache.get(name)
        cache.invalidate(name)
    hanging.world.clock.advance(2)
    with hanging.hanging():
        begun = hanging.begun
        first_s, *others_s = [took_s(lambda name=name: cache.get(name)) for name in names]  # type: ignore[misc]
        assert WAIT_S <= first_s < MOMENT_S
        assert sum(others_s) < MOMENT_S
        assert begun + 1 == hanging.begun
        (rest,) = cache.status().resting
        assert "Secrets Manager" == rest.service


@pytest.mark.parametrize("background", [False, True])
def test_a_hang_that_outlasts_the_bound_costs_no_copy(hanging: Hanging, *, background: bool) -> None:
    """A read that neither answers nor fails counts like one that failed: the copies are served on."""
    names = [f"s{number}" for number in range(5)]
    for name in names:
        hanging.world.secrets.create(name, "one")
    options = {"cold_wait_s": 30.0, "check_interval_s": 0.05}
    cache = hanging.cache(background=background, **options)
    for name in names:
        cache.get(name)
    with hanging.hanging():
        hanging.world.clock.advance(301)
        cache.get(names[0])
        ends_s = time.monotonic() + MOMENT_S
        while not cache.status().resting and time.monotonic() < ends_s:
            time.sleep(0.001)
        hanging.world.clock.advance(1000)
        assert sum(took_s(lambda name=name: cache.get(name)) for name in names) < MOMENT_S  # type: ignore[misc]
        assert {one.bound_s >= 21600 for one in cache.status().secrets} == {True}
    cache.close()


def test_a_few_probes_find_the_service_back(hanging: Hanging) -> None:
    """While a service rests a few requests are made, ever further apart; a good answer ends the rest."""
    cache = hanging.cache()
    cache.get(NAME)
    cache.invalidate(NAME)
    hanging.world.clock.advance(2)
    with hanging.hanging():
        for _ in range(20):
            hanging.world.clock.advance(1)
            cache.get(NAME)
            time.sleep(0.002)
        assert 2 <= hanging.under_way <= 10
    hanging.world.secrets.put(NAME, "two", "v2")
    # A probe that this machine is too busy for within `WAIT_S` counts as one more without an answer.
    ends_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_s:
        hanging.world.clock.advance(1)
        if "two" == cache.get_secret_string(NAME) and not cache.status().resting:
            break
        time.sleep(0.005)
    assert "two" == cache.get_secret_string(NAME)
    assert () == cache.status().resting


def test_a_cold_get_has_an_end_and_the_pause_grows(hanging: Hanging) -> None:
    """Without a copy: a bounded wait, then the error without a request for 1 s, 2 s, 4 s."""
    cache = hanging.cache()
    with hanging.hanging():
        for pause_s in (1, 2, 4):
            with pytest.raises(UnavailableError, match="no answer within"):
                cache.get(NAME)
            begun = hanging.begun
            hanging.world.clock.advance(pause_s - 0.5)
            assert took_s(lambda: _refused(cache)) < WAIT_S
            assert begun == hanging.begun
            hanging.world.clock.advance(0.5)
    hanging.world.clock.advance(10)
    assert "one" == cache.get_secret_string(NAME)


def _refused(cache: SecretCache) -> None:
    with pytest.raises(UnavailableError):
        cache.get(NAME)


def test_a_login_with_a_moment_left_spoils_nothing_for_others(hanging: Hanging) -> None:
    """Its short wait says nothing of the service: the next caller waits for the same read."""
    cache = hanging.cache(cold_wait_s=10.0)
    hanging.slow_s = 2 * WAIT_S
    begun = hanging.begun
    with pytest.raises(UnavailableError, match=r"that the login had left.*remaining_s"):
        cache.login(NAME, lambda _: None, remaining_s=lambda: 0.001)
    assert () == cache.status().resting
    assert "one" == cache.get_secret_string(NAME)
    assert begun + 1 == hanging.begun


def test_a_login_with_a_moment_left_leaves_the_table_at_work(world: World) -> None:
    """A check that it could not wait for is no sign that the table does not answer."""
    world.mark()
    cache = world.cache()
    cache.get(NAME)
    world.clock.advance(5)
    goes_on = threading.Event()

    def wait() -> None:
        goes_on.wait(MOMENT_S)

    world.table.fail = wait
    try:
        assert "one" == cache.login(NAME, SecretVersion.text, remaining_s=lambda: 0.001)
        assert () == cache.status().resting
    finally:
        goes_on.set()


def test_reads_that_hang_are_few(hanging: Hanging) -> None:
    """A hundred secrets asked for while nothing answers leave at most eight threads that hang."""
    cache = hanging.cache(cold_wait_s=0.01)
    with hanging.hanging():
        for number in range(100):
            with pytest.raises(UnavailableError):
                cache.get(f"s{number}")
        assert hanging.under_way <= 8


def gone_round(cache: SecretCache) -> None:
    """Wait until the background thread has been round."""
    poller, until_s = parts_of(cache).poller, time.monotonic() + PATIENCE_S
    assert poller is not None
    while not poller.is_at_work():
        assert time.monotonic() < until_s
        time.sleep(0.001)


def test_with_a_background_thread_no_caller_waits(hanging: Hanging) -> None:
    """While the thread goes round, callers take what is held, also where a refresh hangs."""
    cache = hanging.cache(
        background=True, check_interval_s=WAIT_S, uncovered_ttl_s=SHORT_TTL_S, refresh_wait_s=5.0
    )
    with cache:
        cache.get(NAME)
        gone_round(cache)
        with hanging.hanging():
            while not hanging.under_way:
                time.sleep(0.001)
            hanging.world.clock.advance(SHORT_TTL_S)
            longest_s = max(took_s(lambda: cache.get(NAME)) for _ in range(300))
        assert longest_s < MOMENT_S


def put_everywhere(world: World, names: Iterable[str], value: str) -> None:
    """A new version of each of these secrets, their markers, and a sweep."""
    for name in names:
        world.secrets.put(name, value, f"version-{value}")
        described = world.secrets.describe(name)
        world.table.set(secret_key(described.arn, name), described.arn, described.stages)
    world.table.sweep()


def test_callers_look_for_themselves_until_the_background_thread_has_been_round(world: World) -> None:
    """What a process holds that stood still may be any age: its thread may be the first to run again."""
    got, names = list[str](), {NAME, "prod/other"}
    world.secrets.create("prod/other", "one", "v1")
    limits = Limits(check_interval_s=60.0, refresh_wait_s=20.0)
    peers = Peers(source=world.secrets, markers=world.table, clock=world.clock, random=lambda: 0.0)
    with SecretCache(background=True, limits=limits, peers=peers) as cache:
        poller = parts_of(cache).poller
        assert poller is not None
        put_everywhere(world, names, "one")
        for name in names:
            cache.get(name)
        poller.go_round()
        world.clock.advance(1500)
        put_everywhere(world, names, "two")

        def fail(refreshed: str) -> None:
            world.secrets.fail = lambda _: None
            (other,) = (name for name in names if name not in refreshed)
            with ThreadPoolExecutor(1) as pool:
                got.append(pool.submit(cache.get_secret_string, other).result(PATIENCE_S))

        world.secrets.fail = fail
        poller.go_round()
    assert ["two"] == got


@pytest.mark.parametrize(("busy_s", "is_left"), [(120.0 + 29.9, True), (120.0 + 30.0, False)])
def test_a_round_that_waits_for_what_hangs_is_not_one_of_a_process_that_stood_still(
    world: World,
    busy_s: float,
    is_left: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """A round may wait three times as long as a caller, however long that is, between two signs of life."""
    limits = Limits(check_interval_s=60.0, refresh_wait_s=10.0)
    peers = Peers(source=world.secrets, markers=world.table, clock=world.clock, random=lambda: 0.0)
    world.mark()
    with SecretCache(background=True, limits=limits, peers=peers) as cache:
        cache.get(NAME)
        poller = parts_of(cache).poller
        assert poller is not None
        poller.go_round()
        world.clock.advance(busy_s)
        seen = list[bool]()

        def look() -> None:
            seen.append(poller.is_at_work())

        world.table.fail = look
        poller.go_round()
    assert is_left is seen[0]


@pytest.mark.parametrize(("busy_s", "pause_s"), [(4.0, 56.0), (60.0, 0.0), (90.0, 0.0)])
def test_a_round_begins_an_interval_after_the_one_before(world: World, busy_s: float, pause_s: float) -> None:
    """However long the thread was busy in a round, the next check is no later, and never sooner."""
    limits = Limits(check_interval_s=60.0, refresh_wait_s=20.0)
    peers = Peers(source=world.secrets, markers=world.table, clock=world.clock, random=lambda: 0.0)
    world.mark()
    with SecretCache(background=True, limits=limits, peers=peers) as cache:
        cache.get(NAME)
        poller = parts_of(cache).poller
        assert poller is not None

        def is_busy() -> None:
            world.table.fail = lambda: None
            world.clock.advance(busy_s)

        world.table.fail = is_busy
        poller.go_round()
        assert pause_s == poller.pause_s()


@pytest.mark.parametrize("background", [True, False])
def test_callers_leave_the_check_to_a_background_thread(world: World, *, background: bool) -> None:
    """While the thread is at work no caller asks the table, even at the end of a window."""
    world.mark()
    limits, clock = Limits(), world.clock
    tables = Tables.watching({None: world.table}, limits=limits, clock=clock, random=lambda: 0.0)
    cache = Cache(world.secrets, tables, limits=limits, clock=clock, random=lambda: 0.0, window_s=5.0)
    checker = Checker((cache,), tables, limits=limits, clock=clock, window_s=5.0)
    if background:
        cache.background = AtWork()
    cache.get(NAME, "AWSCURRENT", checker.waiting())
    clock.advance(6)
    checker.check_if_due()
    assert (0 if background else 1) == world.table.calls["head"]


@pytest.mark.parametrize("read", ["batch", "path"])
def test_with_a_background_thread_no_caller_waits_for_parameters(world: World, read: str) -> None:
    """The same for parameters that are read together, and for the names under a path."""
    store, hangs, stops = FakeParameterStore(world.clock), threading.Event(), threading.Event()
    for name in ("/app/a", "/app/b"):
        store.put(name, "one")

    def hang(_: str) -> None:
        hangs.set()
        stops.wait(60)

    peers = Peers(source=world.secrets, parameter_source=store.source, clock=world.clock, random=lambda: 0.0)
    limits = Limits(check_interval_s=WAIT_S, uncovered_ttl_s=SHORT_TTL_S, refresh_wait_s=5.0)
    with SecretCache(background=True, limits=limits, peers=peers) as cache:

        def call() -> None:
            if read == "batch":
                assert 2 == len(cache.get_parameters(["/app/a", "/app/b"]))
            else:
                assert 2 == len(cache.get_parameters_by_path("/app"))

        call()
        gone_round(cache)
        store.fail = hang
        try:
            assert hangs.wait(PATIENCE_S)
            world.clock.advance(SHORT_TTL_S)
            assert max(took_s(call) for _ in range(300)) < MOMENT_S
        finally:
            stops.set()


def test_closing_has_an_end(hanging: Hanging) -> None:
    """`close` looks at the flag between two refreshes, and waits no longer than it is told."""
    cache = hanging.cache(background=True, check_interval_s=0.01, refresh_wait_s=30)
    cache.get(NAME)
    hanging.world.clock.advance(301)
    with hanging.hanging():
        while not hanging.under_way:
            time.sleep(0.001)
        assert took_s(lambda: cache.close(0.1)) < MOMENT_S


def test_a_table_that_hangs_costs_a_moment(world: World) -> None:
    """The caller whose check hangs waits a moment; no other waits until the check has ended."""
    hangs = threading.Event()
    world.mark()
    cache = world.cache(refresh_wait_s=WAIT_S)
    cache.get(NAME)
    world.clock.advance(5)

    def hang() -> None:
        hangs.wait(60)

    world.table.fail = hang
    try:
        assert WAIT_S <= took_s(lambda: cache.get(NAME)) < MOMENT_S
        for _ in range(5):
            world.clock.advance(5)
            assert took_s(lambda: cache.get(NAME)) < WAIT_S
        (rest,) = cache.status().resting
        assert "marker table" == rest.service
    finally:
        hangs.set()


def test_32_threads_on_one_copy_wait_for_no_hang(hanging: Hanging) -> None:
    """All of them have the copy after one moment; one request was made."""
    cache = hanging.cache()
    cache.get(NAME)
    cache.invalidate(NAME)
    hanging.world.clock.advance(2)
    with hanging.hanging(), ThreadPoolExecutor(32) as pool:
        begun = hanging.begun
        assert took_s(lambda: list(pool.map(cache.get_secret_string, [NAME] * 32))) < MOMENT_S
        assert begun + 1 == hanging.begun
