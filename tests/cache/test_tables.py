"""One cache for secrets of several accounts and Regions, each with a marker table of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

import pytest

from keyturn import ConfigurationError, Limits, LoginRefusedError, Peers, SecretCache
from keyturn.errors import MarkerTableError, SecretNotFoundError
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.names import Place, secret_key
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeSecretsManager
from keyturn.testing.parts import parts_of

HOME, ABROAD, CENTRAL = (
    Place("aws", "us-east-1", "111122223333"),
    Place("aws", "eu-west-1", "111122223333"),
    Place("aws", "us-east-1", "444455556666"),
)
PLACES = (HOME, ABROAD, CENTRAL)
NAME = "prod/db"
INTERVAL_S = 5.0
MOMENT_S = 2.0
"""Far less than any hang here lasts, and far more than a busy machine needs."""


def table_arn(place: Place) -> str:
    """The ARN of the marker table that a stack of this place makes."""
    return f"arn:{place.partition}:dynamodb:{place.region}:{place.account}:table/keyturn-markers"


class TickingClock(FakeClock):
    """A clock on which some time passes at each reading: more on a busy host than on an idle one."""

    tick_s = 0.0

    def monotonic(self) -> float:
        self.advance(self.tick_s)
        return super().monotonic()


class RunningClock(FakeClock):
    """A clock on which a caller's real wait takes time, too: what one wait took is not left for the next."""

    def monotonic(self) -> float:
        return super().monotonic() + time.monotonic()


class Site:
    """One account and Region: a secret `prod/db` at v1, and the marker table, whose reads can hang."""

    def __init__(self, place: Place, clock: FakeClock) -> None:
        self.place = place
        self.clock = clock
        prefix = f"arn:{place.partition}:secretsmanager:{place.region}:{place.account}:secret:"
        self.secrets = FakeSecretsManager(clock, arn_prefix=prefix)
        self.arn = self.secrets.create(NAME, "one", "v1")
        self.key = secret_key(self.arn, NAME)
        self.markers = FakeMarkers(clock)
        self.answers = threading.Event()
        self.answers.set()
        self.asked = set[str]()
        self.reads_answered = threading.Event()
        self.reads_answered.set()
        self.mark()

    @property
    def heads(self) -> int:
        """How often the head was asked for, an answer or not."""
        return self.markers.calls["head"]

    def mark(self) -> None:
        described = self.secrets.describe(NAME)
        self.markers.set(self.key, described.arn, described.stages)
        self.markers.sweep()

    def rotate(self, version_id: str) -> None:
        self.secrets.put(NAME, version_id, version_id)
        self.mark()

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        head = self.markers.read_head(consistent=consistent, copy=copy)
        self.answers.wait(60)
        return head

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        self.asked.update(keys)
        return self.markers.read_markers(keys)


class World:
    """Three sites, and caches of one process that reads the secrets of all of them by their ARNs."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.sites = {place: Site(place, self.clock) for place in PLACES}

    def __getitem__(self, place: Place) -> Site:
        return self.sites[place]

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        place = Place.of(secret_id)
        if place is None or place not in self.sites:
            raise SecretNotFoundError(secret_id)
        self[place].reads_answered.wait(60)
        return self[place].secrets.read(secret_id, stage=stage, version_id=version_id)

    def cache(self, *places: Place, **limits: float) -> SecretCache:
        tables = {table_arn(place): self[place] for place in places or PLACES}
        named = Limits(**{"refresh_wait_s": 20, **limits})  # type: ignore[arg-type] # numbers
        peers = Peers(source=self, markers=tables, clock=self.clock, random=lambda: 0.999)
        return SecretCache(limits=named, peers=peers)

    def held(self, *places: Place, **limits: float) -> SecretCache:
        """A cache that holds the secret of every site, and has looked at each table once."""
        cache = self.cache(*places, **limits)
        self.get_all(cache)
        self.clock.advance(INTERVAL_S)
        self.get_all(cache)
        return cache

    def get_all(self, cache: SecretCache) -> list[str]:
        return [cache.get(self[place].arn).version_id for place in PLACES]


@pytest.fixture
def world() -> World:
    """Three sites, of two accounts and two Regions."""
    return World()


def why(cache: SecretCache, site: Site) -> str:
    """What the status says of this site's secret."""
    return next(one.why for one in cache.status().secrets if one.arn == site.arn)


def covered(cache: SecretCache) -> dict[str, bool]:
    """Whether each secret is covered, by its ARN."""
    return {one.arn: one.covered for one in cache.status().secrets}


def test_each_rotation_is_noticed_within_one_interval_by_one_read_of_each_table(world: World) -> None:
    """All tables are asked in each interval, once, whichever of them tells of a rotation."""
    cache = world.held()
    assert all(covered(cache).values())
    before = {place: world[place].heads for place in PLACES}
    for number, place in enumerate(PLACES):
        world[place].rotate(f"w{number}")
        world.clock.advance(INTERVAL_S)
        for _ in range(3):
            assert f"w{number}" == cache.get(world[place].arn).version_id
    assert {place: before[place] + 3 for place in PLACES} == {place: world[place].heads for place in PLACES}


def test_no_table_misses_its_turn_where_time_passes_between_two_looks() -> None:
    """The checks of one interval count from one moment, so that all are due again together."""
    clock = TickingClock()
    world = World(clock)
    cache = world.held()
    before = {place: world[place].heads for place in PLACES}
    for number in range(10):
        clock.tick_s = 0.0 if number % 2 else 0.01
        # The very moment at which the window ends.
        clock.advance(parts_of(cache).caches.secrets.holdings.window.closes_at - clock.wall_s)
        cache.check()
    assert {place: before[place] + 10 for place in PLACES} == {place: world[place].heads for place in PLACES}


def test_a_table_with_nothing_held_is_not_read(world: World) -> None:
    """Its head is asked for from the first interval on in which a secret of its place is held."""
    cache = world.cache()
    cache.get(world[HOME].arn)
    for _ in range(3):
        world.clock.advance(INTERVAL_S)
        cache.check()
    assert (3, 0, 0) == tuple(world[place].heads for place in PLACES)
    cache.get(world[ABROAD].arn)
    world.clock.advance(INTERVAL_S)
    cache.check()
    assert (4, 1, 0) == tuple(world[place].heads for place in PLACES)


def test_a_secret_that_no_table_covers_is_on_the_short_ttl(world: World) -> None:
    """The status says why, and no table is asked about it."""
    cache = world.held(HOME, ABROAD)
    assert {world[HOME].arn: True, world[ABROAD].arn: True, world[CENTRAL].arn: False} == covered(cache)
    assert "no marker table of its account and Region is used" == why(cache, world[CENTRAL])
    assert 0 == world[CENTRAL].heads
    world[CENTRAL].rotate("v2")
    world.clock.advance(230)
    assert "v1" == cache.get(world[CENTRAL].arn).version_id
    world.clock.advance(80)
    assert "v2" == cache.get(world[CENTRAL].arn).version_id


def test_a_table_is_not_believed_about_another_place(world: World) -> None:
    """Who can write the table of one account cannot make a secret of another be read, or count as covered."""
    world[CENTRAL].markers.items.clear()
    world[HOME].markers.set(world[CENTRAL].key, world[CENTRAL].arn, {"AWSCURRENT": "forged"})
    cache, reads = world.held(), world[CENTRAL].secrets.calls
    before = reads["GetSecretValue"]
    for _ in range(10):
        world[HOME].markers.set(world[CENTRAL].key, world[CENTRAL].arn, {"AWSCURRENT": "forged again"})
        world.clock.advance(INTERVAL_S)
        world.get_all(cache)
    assert before == reads["GetSecretValue"]
    assert "the secret has no marker yet" == why(cache, world[CENTRAL])
    assert [{world[place].key} for place in PLACES] == [world[place].asked for place in PLACES]


def test_the_table_given_by_name_covers_what_no_other_covers(world: World) -> None:
    """The first of several tables may be a name: it speaks for all secrets without a table of their own."""
    tables = {"keyturn-markers": world[HOME], table_arn(ABROAD): world[ABROAD]}
    peers = Peers(source=world, markers=tables, clock=world.clock, random=lambda: 0.0)
    cache = SecretCache(peers=peers)
    world.get_all(cache)
    world.clock.advance(INTERVAL_S)
    world.get_all(cache)
    assert {world[HOME].arn: True, world[ABROAD].arn: True, world[CENTRAL].arn: False} == covered(cache)
    assert "the secret has no marker yet" == why(cache, world[CENTRAL])


def denial() -> Exception:
    """What a denied read of the table abroad raises."""
    return MarkerTableError(table_arn(ABROAD), "this role may not use the table", denied=True)


def test_a_denied_table_covers_nothing_and_rests_by_itself(world: World) -> None:
    """The others are asked in each interval, and their news is followed in the same window."""
    world[ABROAD].markers.fail = denial
    cache = world.held()
    before = world[ABROAD].heads
    for number in range(12):
        world[HOME].rotate(f"w{number}")
        world.clock.advance(INTERVAL_S)
        assert [f"w{number}", "v1", "v1"] == world.get_all(cache)
    assert {world[HOME].arn: True, world[ABROAD].arn: False, world[CENTRAL].arn: True} == covered(cache)
    assert "this role may not use the table" in why(cache, world[ABROAD])
    assert 13 == world[HOME].heads
    # 5, 10, 20 and 40 s after the last failure.
    assert before + 3 == world[ABROAD].heads


def test_status_tells_of_each_table_and_of_all_together(world: World) -> None:
    """What is worst of any table is said of all; a table with nothing held has no trouble."""
    world[ABROAD].markers.fail = denial
    cache = world.cache()
    cache.get(world[HOME].arn)
    cache.get(world[ABROAD].arn)
    world.clock.advance(INTERVAL_S)
    cache.check()
    world.clock.advance(1)
    status = cache.status()
    assert [table_arn(place) for place in PLACES] == [one.name for one in status.tables]
    home, abroad, central = status.tables
    assert (1, None) == (home.checked_age_s, home.trouble)
    assert (None, str(denial())) == (abroad.checked_age_s, abroad.trouble)
    assert (None, None) == (central.checked_age_s, central.trouble)
    assert (True, 1, str(denial())) == (status.table.used, status.table.checked_age_s, status.table.trouble)


def test_the_status_of_a_single_table_is_about_that_table_alone(world: World) -> None:
    """It looks as it did before a cache could have several tables."""
    cache = world.held(HOME)
    assert () == cache.status().tables
    assert "" == cache.status().table.name


def took_s(call: Callable[[], object]) -> float:
    """How long this takes in real time."""
    begun_s = time.monotonic()
    call()
    return time.monotonic() - begun_s


def test_a_table_that_hangs_makes_one_caller_wait_a_moment_and_nobody_else(world: World) -> None:
    """The news of the other tables is followed in the same window, at the moment when the check is due."""
    cache = world.held(refresh_wait_s=0.2)
    world[ABROAD].answers.clear()
    try:
        for number in range(6):
            world[HOME].rotate(f"w{number}")
            world.clock.advance(INTERVAL_S)
            took = took_s(lambda: cache.get(world[HOME].arn))
            assert f"w{number}" == cache.get(world[HOME].arn).version_id
            assert took < (MOMENT_S if number == 0 else 0.15), number
        assert [f"marker table {table_arn(ABROAD)}"] == [one.service for one in cache.status().resting]
        assert {world[HOME].arn: True, world[CENTRAL].arn: True} == {
            arn: is_covered for arn, is_covered in covered(cache).items() if arn != world[ABROAD].arn
        }
    finally:
        world[ABROAD].answers.set()


def test_the_caller_that_meets_a_table_that_begins_to_hang_follows_its_own_table() -> None:
    """It waits for the other table during a part of its time only: the rest is left for its own secret."""
    world = World(RunningClock())
    cache = world.held(refresh_wait_s=0.4)
    world[ABROAD].answers.clear()
    world[HOME].rotate("v2")
    world.clock.advance(INTERVAL_S)
    try:
        assert "v2" == cache.get(world[HOME].arn).version_id
        assert 1 == len(cache.status().resting)
    finally:
        world[ABROAD].answers.set()


@pytest.mark.parametrize("ahead", [False, True])
def test_secrets_manager_that_hangs_in_one_place_keeps_no_other_from_being_read(
    world: World, *, ahead: bool
) -> None:
    """A rotation elsewhere is followed at once, by callers and by the background thread."""
    cache = world.held(refresh_wait_s=0.2)
    # The thread's work, done by hand.
    checker = parts_of(cache).checker
    world[ABROAD].reads_answered.clear()
    try:
        for number in range(4):
            world[ABROAD].rotate(f"w{number}")
            world[HOME].rotate(f"w{number}")
            world[CENTRAL].rotate(f"w{number}")
            world.clock.advance(INTERVAL_S)
            if ahead:
                checker.check_ahead()
            else:
                assert "v1" == cache.get(world[ABROAD].arn).version_id
            assert f"w{number}" == cache.get(world[HOME].arn).version_id
            assert f"w{number}" == cache.get(world[CENTRAL].arn).version_id
        assert ["Secrets Manager in eu-west-1 of 111122223333"] == [
            one.service for one in cache.status().resting
        ]
        assert "v1" == cache.get(world[ABROAD].arn).version_id
    finally:
        world[ABROAD].reads_answered.set()


def test_the_late_news_of_a_table_that_hung_is_followed(world: World) -> None:
    """It empties the window that was opened meanwhile."""
    cache = world.held(refresh_wait_s=0.05)
    world[ABROAD].rotate("v2")
    world.clock.advance(INTERVAL_S)
    world[ABROAD].answers.clear()
    assert "v1" == cache.get(world[ABROAD].arn).version_id
    world[ABROAD].answers.set()
    until_s = time.monotonic() + MOMENT_S
    while cache.get(world[ABROAD].arn).version_id != "v2":
        assert time.monotonic() < until_s
        time.sleep(0.001)


def test_the_background_thread_waits_for_no_table_that_rests(world: World) -> None:
    """What the others tell is refreshed at once, while callers hit."""
    cache = world.held(refresh_wait_s=0.2)
    # The thread's work, done by hand.
    checker = parts_of(cache).checker
    world[ABROAD].answers.clear()
    try:
        world.clock.advance(INTERVAL_S)
        checker.check_ahead()
        world[HOME].rotate("v2")
        world.clock.advance(INTERVAL_S)
        assert took_s(checker.check_ahead) < 0.15
        assert "v2" == cache.get(world[HOME].arn).version_id
    finally:
        world[ABROAD].answers.set()


def test_a_refused_login_waits_long_for_its_own_table_only(world: World) -> None:
    """The forced check asks all tables, and a table of another place costs it no more than a moment."""
    cache = world.held(refresh_wait_s=0.1, cold_wait_s=30)
    world.clock.advance(2)
    world[ABROAD].answers.clear()

    def refuse(_: SecretVersion) -> None:
        raise PermissionError

    def login() -> None:
        with pytest.raises(LoginRefusedError):
            cache.login(
                world[HOME].arn,
                refuse,
                is_refused=lambda error: isinstance(error, PermissionError),
                budget_s=20,
            )

    try:
        assert took_s(login) < MOMENT_S
    finally:
        world[ABROAD].answers.set()


def test_markers_of_one_table_do_not_use_up_the_reads_of_another(world: World) -> None:
    """Who can write one account's markers cannot have those of another account held off."""
    cache = world.held()
    spent = next(iter(parts_of(cache).caches.secrets.copies.tables))
    for number in range(100):
        spent.watch.allowance.spend(f"key {number}", 24, world.clock.monotonic())
    assert 0 == cache.status().allowance.left
    world[ABROAD].rotate("v2")
    world.clock.advance(INTERVAL_S)
    assert "v2" == cache.get(world[ABROAD].arn).version_id


def test_a_cache_that_forgets_asks_every_table_anew(world: World) -> None:
    """After a snapshot nothing that any table told is trusted."""
    cache = world.held()
    before = {place: world[place].heads for place in PLACES}
    cache.forget()
    assert () == cache.status().secrets
    assert {None} == {one.checked_age_s for one in cache.status().tables}
    world.get_all(cache)
    world.clock.advance(INTERVAL_S)
    world.get_all(cache)
    assert {place: before[place] + 1 for place in PLACES} == {place: world[place].heads for place in PLACES}
    assert all(covered(cache).values())


def test_a_replica_belongs_to_the_table_of_its_own_region(world: World) -> None:
    """Primary and replica have one name and two ARNs, and a rotation is told by two tables."""
    cache = world.held()
    world[HOME].rotate("v2")
    world.clock.advance(INTERVAL_S)
    assert ["v2", "v1", "v1"] == world.get_all(cache)
    world[ABROAD].rotate("v2")
    world.clock.advance(INTERVAL_S)
    assert ["v2", "v2", "v1"] == world.get_all(cache)


A, B = table_arn(HOME), table_arn(ABROAD)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ((A, "keyturn-markers"), "marker_table: 'keyturn-markers' is not the ARN of a DynamoDB table"),
        ((A, B, A), f"marker_table: {A!r} and {A!r} are of the same account and Region"),
        ((A, A + "-2"), f"marker_table: {A!r} and {A + '-2'!r} are of the same account and Region"),
        ((A, "arn:aws:s3:::bucket"), "marker_table: 'arn:aws:s3:::bucket' is not the ARN"),
        (("arn:aws:s3:::bucket", A), "marker_table: 'arn:aws:s3:::bucket' is not the ARN"),
        ((A, A.replace("table/", "index/")), "is not the ARN of a DynamoDB table"),
        ((A, A.replace("111122223333", "")), "is not the ARN of a DynamoDB table"),
        *(
            ((A, A.replace(*misspelt)), "is not the ARN of a DynamoDB table")
            for misspelt in (
                ("111122223333", "11112222333"),
                ("111122223333", "111122223333 "),
                ("111122223333", "\u0661" * 12),
                ("us-east-1", "US-EAST-1"),
                ("us-east-1", "us-east-1 "),
                ("table/", "table/../"),
                ("table/", "table/a:"),
            )
        ),
        ((A, "ssm:arn:aws:ssm:us-east-1:11112222333:parameter/table"), "is not the ARN of a DynamoDB table"),
        *(
            (wrong, f"marker_table: {wrong!r} is neither the name nor the ARN of a DynamoDB table")
            for wrong in ("a b", "ab", "arn:aws:s3:::bucket", A.replace("table/", "tabel/"))
        ),
        ((), "marker_table is empty"),
        ((A, ""), "marker_table is empty"),
        ((A, 7), "marker_table is empty"),
        ({A, B}, "marker_table is empty"),
        (7, "marker_table is empty"),
    ],
)
def test_tables_that_cannot_work_are_refused_at_once(tables: object, said: str) -> None:
    """The error says which of them, and no client is made."""
    with pytest.raises(ConfigurationError) as raised:
        SecretCache(marker_table=tables)  # type: ignore[arg-type] # wrong on purpose
    assert said in str(raised.value)


NEW = A.replace("us-east-1", "us-esat-1")


@pytest.mark.parametrize(
    "tables", [(A,), [A, B], ("keyturn-markers", A), (A, A.replace("aws:", "aws-cn:")), (A, NEW)]
)
def test_tables_of_different_places_are_accepted(tables: tuple[str, ...]) -> None:
    """A partition is part of the place. A Region that is not known may be a new one, or misspelt."""
    assert SecretCache(marker_table=tables).status().table.used


def test_markers_are_plain_values(world: World) -> None:
    """A place is what three fields of an ARN say, of a secret as of its marker."""
    assert HOME == Place.of(world[HOME].arn) == Place.of(world[HOME].key) == Place.of(A)
    for text in ("", "prod/db", "arn:aws:s3:::bucket", "arn:aws:secretsmanager:us-east-1:111122223333"):
        assert Place.of(text) is None
    assert isinstance(world[HOME].markers.items[world[HOME].key], Marker)
