"""A cache with a thread of its own: callers go on hitting while that thread checks and refreshes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from keyturn import AsyncSecretCache, Peers, SecretCache
from keyturn.cache.at_once import at_once
from keyturn.cache.cache import Cache
from keyturn.cache.checker import Checker
from keyturn.cache.limits import Limits
from keyturn.cache.tables import Tables
from keyturn.errors import UnavailableError
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeParameterStore
from keyturn.testing.parts import parts_of
from tests.testing.processes import eventually
from tests.world import NAME, AtWork, World

INTERVAL_S = 5.0
WINDOW_S = 2 * INTERVAL_S
OTHER = "prod/api"


class Busy:
    """A `SecretSource` during whose reads something happens; `asked` are the ids that were read."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.asked.append(secret_id)
        self.meanwhile()
        return self._world.secrets.read(secret_id, stage=stage, version_id=version_id)


class Server:
    """A process whose background thread is driven by hand; it holds `prod/db`, which has a marker."""

    def __init__(self) -> None:
        self.world = World()
        self.source = Busy(self.world)
        limits, clock = Limits(), self.world.clock
        tables = Tables.watching({None: self.world.table}, limits=limits, clock=clock, random=lambda: 0.0)
        self.cache = Cache(
            self.source, tables, limits=limits, clock=clock, random=lambda: 0.0, window_s=WINDOW_S
        )
        self.checker = Checker((self.cache,), tables, limits=limits, clock=clock, window_s=WINDOW_S)
        self.world.mark()
        self.cache.get(NAME, "AWSCURRENT", self.checker.waiting())
        self.turn()
        self.source.asked.clear()

    def turn(self, *, after_s: float = INTERVAL_S) -> None:
        """What the thread does once per interval."""
        self.world.clock.advance(after_s)
        self.checker.check_ahead()

    def hits(self, secret_id: str = NAME) -> str | None:
        """The version that the hit path serves now, None where a get is a miss."""
        window = self.cache.holdings.window
        version = window.versions.get(secret_id)
        is_open = window.opens_at <= self.world.clock.wall() < window.closes_at
        return version.version_id if version is not None and is_open else None

    def get(self, secret_id: str = NAME) -> str:
        """The version that a caller is given who missed."""
        self.checker.check_if_due()
        return self.cache.get(secret_id, "AWSCURRENT", self.checker.waiting()).version_id


@pytest.fixture
def server() -> Server:
    """A process that holds version v1, checked once."""
    return Server()


USES: dict[str, Callable[[SecretCache], object]] = {
    "get": lambda cache: cache.get(NAME),
    "login": lambda cache: cache.login(NAME, lambda version: version.version_id),
    "keys": lambda cache: cache.keys(NAME).all(),
    "status": lambda cache: cache.status(),
    "parameters": lambda cache: cache.get_parameters(["/a"]),
    "async": AsyncSecretCache,
}


@pytest.mark.parametrize("use", USES)
def test_a_cache_that_nobody_holds_is_gone_at_once(use: str) -> None:
    """Whatever it was used for, nothing of it waits for the collector of cycles, and its thread ends."""
    world, store = World(), FakeParameterStore()
    store.put("/a", "1")
    peers = Peers(source=world.secrets, parameter_source=store.source, clock=world.clock)
    gc.disable()
    try:
        cache = SecretCache(marker_table=False, background=False, peers=peers)
        checker = weakref.ref(parts_of(cache).checker)
        USES[use](cache)
        del cache
        assert eventually(lambda: checker() is None)
    finally:
        gc.enable()


class Key(str):
    """A marker key that counts how often any of them is looked at."""

    __slots__ = ()
    looks = 0

    def __hash__(self) -> int:
        Key.looks += 1
        return super().__hash__()


@pytest.mark.parametrize("has_table", [True, False])
def test_a_miss_during_a_check_costs_no_walk_through_all_that_is_held(*, has_table: bool) -> None:
    """While a check is under way every get is a miss; its cost does not grow with the number of secrets."""
    world, limits, looks = World(), Limits(refresh_wait_s=20), list[int]()
    tables = Tables.watching(
        {None: world.table} if has_table else {}, limits=limits, clock=world.clock, random=lambda: 0.0
    )
    cache = Cache(
        world.secrets,
        tables,
        limits=limits,
        clock=world.clock,
        random=lambda: 0.0,
        window_s=INTERVAL_S,
        key_of=lambda arn, _name: Key(arn),
    )
    checker = Checker((cache,), tables, limits=limits, clock=world.clock, window_s=INTERVAL_S)

    def look() -> None:
        before = Key.looks
        checker.check_if_due()
        cache.get(NAME, "AWSCURRENT", checker.waiting())
        looks.append(Key.looks - before)

    for few in range(2):
        for number in range(100 * few):
            world.secrets.create(f"prod/{number}", "other")
            cache.get(f"prod/{number}", "AWSCURRENT", checker.waiting())
        cache.get(NAME, "AWSCURRENT", checker.waiting())
        world.clock.advance(61)
        world.table.fail = look
        checker.check_if_due() if has_table else look()
        world.table.fail = lambda: None
    assert looks[0] == looks[-1]
    assert 2 <= len(looks)


def test_callers_hit_the_known_version_until_the_answer_is_there(server: Server) -> None:
    """A moved marker drops the copy with the answer of its one read, not before."""
    server.get()
    server.world.rotate("v2", "two")
    seen: list[str | None] = []
    server.source.meanwhile = lambda: seen.append(server.hits())
    server.turn()
    assert ["v1"] == seen
    assert "v2" == server.get(server.world.arn) == server.hits(server.world.arn)
    assert "v2" == server.get() == server.hits()
    assert 1 == len(server.source.asked)


def test_a_refresh_that_fails_ends_the_hits_at_once(server: Server) -> None:
    """What moved and cannot be read leaves the hit path with the error; what is fresh goes on being hit."""
    server.world.secrets.create(OTHER, "other")
    for name in (NAME, OTHER):
        server.get(name)
    server.world.rotate("v2", "two")
    server.world.secrets.fail = lambda secret_id: UnavailableError(secret_id, "down")
    server.turn()
    assert "v1" == server.get(NAME) == server.get(OTHER)
    assert (None, "v1") == (server.hits(NAME), server.hits(OTHER))
    assert server.hits(NAME) is None


def test_a_refresh_that_hangs_keeps_the_known_version_no_longer_than_its_window(server: Server) -> None:
    """One interval after the check a caller finds the window at its end and checks; that is not undone."""
    server.get()
    server.world.rotate("v2", "two")
    server.world.clock.advance(-1)
    seen: list[str | None] = []

    def hang() -> None:
        server.world.clock.advance(INTERVAL_S - 0.1)
        seen.append(server.hits())
        server.world.clock.advance(0.1)
        seen.append(server.hits())
        heads = server.world.table.calls["head"]
        assert "v1" == server.get()
        assert heads + 1 == server.world.table.calls["head"]
        seen.append(server.hits())

    server.source.meanwhile = hang
    server.turn()
    assert ["v1", None, None] == seen
    opened_at = server.cache.holdings.window.opens_at
    assert server.world.clock.wall() == opened_at
    assert "v2" == server.get() == server.hits()


def test_a_window_that_is_over_takes_nothing_in(server: Server) -> None:
    """What is served although it is not fresh, while another thread checks, is no hit of a clock set back."""
    server.world.table.set(server.world.key, server.world.arn, {"AWSCURRENT": "v2"})
    server.turn()
    seen: list[str | None] = []

    def set_back() -> None:
        assert "v1" == server.get()
        server.world.clock.advance(-2)
        seen.append(server.hits())

    server.world.clock.advance(WINDOW_S + 1)
    server.world.table.fail = set_back
    server.turn(after_s=0)
    assert [None] == seen


def test_what_moved_is_read_before_what_grows_old(server: Server) -> None:
    """Of several that are due the moved one is first, though the other has waited for longer."""
    server.world.secrets.create(OTHER, "other")
    server.get(OTHER)
    for _ in range(56):
        server.world.table.sweep()
        server.turn()
    server.source.asked.clear()
    server.world.rotate("v2", "two")
    server.world.clock.advance(-1)
    server.turn()
    assert [NAME, OTHER] == server.source.asked


def test_many_copies_that_grow_old_hold_up_no_check(server: Server) -> None:
    """A round ends in time for the next check, however many copies are due, and what moved is read first."""
    names = [f"prod/{number}" for number in range(200)]
    for name in names:
        server.world.secrets.create(name, "other")
        server.get(name)
    server.source.asked.clear()
    server.source.meanwhile = lambda: server.world.clock.advance(0.1)
    begun = server.world.clock.monotonic()
    server.turn(after_s=290)
    assert server.world.clock.monotonic() - begun <= 290 + INTERVAL_S + 0.1
    last = server.cache.due(WINDOW_S + INTERVAL_S)[-1][0]
    server.cache.invalidate(last.name)
    read = len(server.source.asked)
    server.turn(after_s=0)
    assert last.name == server.source.asked[read]
    for _ in range(4):
        server.turn(after_s=0)
    assert set(names) <= set(server.source.asked)
    assert [] == server.cache.due(WINDOW_S + INTERVAL_S)


def test_no_copy_stays_unread_where_reads_take_longer_than_copies_last(server: Server) -> None:
    """Then each has its turn: the first are old again before the last were read, and come after these."""
    names = [f"prod/{number}" for number in range(40)]
    for name in names:
        server.world.secrets.create(name, "other")
        server.get(name)
    server.source.asked.clear()
    server.source.meanwhile = lambda: server.world.clock.advance(10)
    for _ in range(120):
        server.turn()
    assert set(names) <= set(server.source.asked)


def test_what_moved_is_read_first_whichever_cache_holds_it(server: Server) -> None:
    """A parameter that moved does not wait for all secrets that grow old."""
    parameters, read = Server(), list[str]()
    both = (server.cache, parameters.cache)
    tables, clock = server.cache.copies.tables, server.world.clock
    checker = Checker(both, tables, limits=Limits(), clock=clock, window_s=WINDOW_S)
    server.world.secrets.create(OTHER, "other")
    server.get(OTHER)
    server.source.meanwhile = lambda: read.append("secret")
    parameters.source.meanwhile = lambda: read.append("parameter")
    clock.advance(Limits().uncovered_ttl_s)
    parameters.cache.invalidate(NAME)
    checker.check_ahead()
    assert ["parameter", "secret"] == read


def test_what_grows_old_never_leaves_the_hit_path(server: Server) -> None:
    """A copy without a marker is read again while it is still hit: an hour without a miss costs 12 reads."""
    arn = server.world.secrets.create(OTHER, "other")
    server.get(arn)
    server.turn()
    assert "v1" == server.get(arn)
    seen: set[str | None] = set()
    server.source.meanwhile = lambda: seen.add(server.get(arn))
    for _ in range(720):
        server.turn()
        assert "v1" == server.get(arn)
        seen.add(server.hits(arn))
    assert {"v1"} == seen
    assert 12 == server.source.asked.count(arn) - 1


def test_what_a_caller_has_read_is_not_read_again(server: Server) -> None:
    """While the thread is busy with the first of two that moved, a caller reads the second himself."""
    server.world.secrets.create(OTHER, "other")
    server.get(OTHER)
    server.cache.invalidate(NAME)
    server.cache.invalidate(OTHER)
    server.source.asked.clear()

    def read_the_other() -> None:
        server.source.meanwhile = lambda: None
        server.get(OTHER)

    server.source.meanwhile = read_the_other
    server.turn()
    assert [NAME, OTHER] == server.source.asked


def test_an_unforeseen_error_leaves_nobody_waiting(server: Server) -> None:
    """A foreign error out of the source is a failed read of that copy: the others are refreshed."""
    server.world.secrets.create(OTHER, "other")
    server.get(OTHER)

    def fail() -> None:
        server.source.meanwhile = lambda: None
        raise RuntimeError("unforeseen")

    server.source.meanwhile = fail
    server.turn(after_s=299)
    assert ["RuntimeError" in (one.last_error or "") for one in server.cache.status()] == [True, False]
    assert "v1" == server.get(NAME)
    assert "v1" == server.get(OTHER)


@pytest.mark.parametrize("is_awaited", [False, True])
def test_who_comes_back_after_long_is_given_no_copy_that_nobody_tended(
    server: Server, *, is_awaited: bool
) -> None:
    """The thread leaves out a copy that nobody asks for, so its next caller does not rely on the thread."""
    server.cache.background = AtWork()
    server.turn(after_s=3000)
    server.turn(after_s=1000)
    assert [NAME] == server.source.asked
    server.world.rotate("v2", "two")
    for _ in range(3):
        server.turn()
    assert [NAME] == server.source.asked
    if is_awaited:
        # The task has it read, and waits.
        assert at_once(server.cache, NAME, "AWSCURRENT") is None
    else:
        assert "v2" == server.get()
        # From now on the thread tends it again.
        server.world.rotate("v3", "three")
        server.turn()
        assert "v3" == server.get()
        assert 3 == len(server.source.asked)


def test_a_secret_that_was_created_anew_is_tended_as_the_one_before(server: Server) -> None:
    """Its callers are those of its name."""
    server.cache.background = AtWork()
    server.world.clock.advance(4000)
    server.get()
    server.world.secrets.purge(NAME)
    server.world.secrets.create(NAME, "anew", "v1")
    server.world.mark()
    server.turn()
    server.source.asked.clear()
    server.world.rotate("v2", "two")
    server.turn()
    assert [NAME] == server.source.asked
