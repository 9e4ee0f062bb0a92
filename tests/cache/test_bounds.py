"""What was unbounded or never a hit: paths, selectors in names, and bounds in `status()`."""

from __future__ import annotations

import asyncio

import pytest

from keyturn import (
    AsyncSecretCache,
    ConfigurationError,
    Limits,
    MarkerTableError,
    ParameterError,
    Peers,
    SecretCache,
)
from keyturn.errors import ParameterUnavailableError
from keyturn.testing.fakes import FakeParameterStore
from tests.world import NAME, World, held


class Refusing:
    """A client of DynamoDB that refuses each call, and notes the table."""

    def __init__(self) -> None:
        self.tables: set[str] = set()

    def get_item(self, **request: object) -> dict[str, object]:
        self.tables.add(str(request["TableName"]))
        raise PermissionError


def parameters(world: World, store: FakeParameterStore) -> SecretCache:
    """A cache of these parameters and of the world's secrets."""
    peers = Peers(
        source=world.secrets,
        parameter_source=store.source,
        clock=world.clock,
        random=lambda: 0.0,
    )
    return SecretCache(limits=Limits(refresh_wait_s=20), peers=peers)


@pytest.mark.parametrize("name", ["/app/a:1", "/app/a:good", "/aws/reference/secretsmanager/prod/db"])
def test_a_selector_in_the_name_is_a_hit(world: World, name: str) -> None:
    """A version, a label and a reference to a secret are read once, and found without a request."""
    store = FakeParameterStore(world.clock)
    store.put("/app/a", "one")
    store.label("/app/a", "good", 1)
    cache = parameters(world, store)
    value = cache.get_parameter(name).string
    store.fail = ParameterUnavailableError
    peeked = cache.peek_parameter(name)
    assert peeked is not None
    assert {value} == {"one", peeked.string}


def test_a_table_that_never_answered_promises_the_short_bound(world: World) -> None:
    """No good check ever: the copy is read again after 300 s, and `bound_s` says no more than that."""
    world.table.fail = lambda: MarkerTableError("markers", "gone")
    cache = world.cache(table=True)
    for _ in range(3):
        cache.get(NAME)
        world.clock.advance(6)
    assert cache.status().table.trouble is not None
    assert held(cache).bound_s < 330


def test_listings_of_a_path_back_off(world: World) -> None:
    """Names are known, Parameter Store fails: 40 calls are served, and few of them ask."""
    store = FakeParameterStore(world.clock)
    store.put("/app/a", "one")
    cache = parameters(world, store)
    cache.get_parameters_by_path("/app")
    store.fail = ParameterUnavailableError
    world.clock.advance(400)
    before = store.calls["GetParametersByPath"]
    for _ in range(40):
        assert ["/app/a"] == list(cache.get_parameters_by_path("/app"))
        world.clock.advance(0.5)
    assert store.calls["GetParametersByPath"] - before <= 6


def test_a_caller_of_many_paths_holds_few_of_them(world: World) -> None:
    """1,024 listings are kept: the one that was read longest ago is asked for again, the others are not."""
    store = FakeParameterStore(world.clock)
    cache = parameters(world, store)
    listed = [f"/app/{number}" for number in range(1025)]
    for path in listed:
        cache.get_parameters_by_path(path)
    before = store.calls["GetParametersByPath"]
    for path in listed[1:]:
        cache.get_parameters_by_path(path)
    assert before == store.calls["GetParametersByPath"]
    cache.get_parameters_by_path(listed[0])
    assert before + 1 == store.calls["GetParametersByPath"]


def test_a_path_that_is_read_again_takes_no_others_place(world: World) -> None:
    """With 1,024 listings one is read again: the oldest of the others is still there in an outage."""
    store = FakeParameterStore(world.clock)
    cache = parameters(world, store)
    for number in range(1024):
        cache.get_parameters_by_path(f"/app/{number}")
    world.clock.advance(310)
    cache.get_parameters_by_path("/app/1")
    store.fail = ParameterUnavailableError
    assert {} == cache.get_parameters_by_path("/app/0")


def test_the_environments_table_is_used_unless_there_is_to_be_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SecretCache()` takes the table of KEYTURN_MARKER_TABLE; `marker_table=False` means none."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", "markers")
    # The table cannot be reached, which status() says of a table that is used.
    client = Refusing()
    told = []
    for asked in (None, False, "other"):
        cache = SecretCache(
            dynamodb_client=client,  # type: ignore[arg-type] # a reader needs no more
            marker_table=asked,
            peers=Peers(source=world.secrets, clock=world.clock, random=lambda: 0.0),
        )
        cache.get(NAME)
        world.clock.advance(6)
        cache.get(NAME)
        told.append(client.tables.copy())
        client.tables.clear()
    assert [{"markers"}, set(), {"other"}] == told


def test_a_stage_that_is_no_text_is_named(world: World) -> None:
    """`stage=None` is told apart from a wrong id."""
    with pytest.raises(ConfigurationError, match="stage is None"):
        world.cache().get(NAME, stage=None)  # type: ignore[arg-type] # the mistake
    with pytest.raises(ConfigurationError, match="marker_table="):
        SecretCache("keyturn-markers")  # type: ignore[arg-type] # the mistake


@pytest.mark.parametrize("held", [{"label": "blue"}, {"version": 2}, {}])
def test_a_version_and_a_label_are_refused_also_beside_a_hit(held: dict[str, object]) -> None:
    """Neither is chosen in silence, whatever is held by then; an empty label is none."""
    store = FakeParameterStore()
    for value in ("one", "two"):
        store.put("/app/key", value)
    store.label("/app/key", "blue", 1)
    cache = SecretCache(peers=Peers(parameter_source=store.source))
    cache.get_parameter("/app/key", **held)  # type: ignore[arg-type] # one of its options
    for _ in range(2):
        for label in ("blue", ""):
            with pytest.raises(ConfigurationError):
                cache.get_parameter("/app/key", version=2, label=label)
            with pytest.raises(ConfigurationError):
                asyncio.run(AsyncSecretCache(cache).get_parameter("/app/key", version=2, label=label))
    with pytest.raises(ParameterError):
        cache.get_parameter("/app/key", label="")
