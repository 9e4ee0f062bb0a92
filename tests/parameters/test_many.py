"""Many parameters at once: as few calls as possible, and known values when Parameter Store is throttled."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ParamValidationError

from keyturn import (
    ConfigurationError,
    InvalidParameterNameError,
    Parameter,
    ParameterAccessDeniedError,
    ParameterDecryptionError,
    ParameterError,
    ParameterNotFoundError,
    ParameterUnavailableError,
    Peers,
    SecretCache,
)
from keyturn.aws.parameterstore import ParameterStoreSource
from keyturn.cache.batches import Batches
from keyturn.model.versions import AWSCURRENT
from keyturn.testing.fakes import (
    FakeClock,
    FakeMarkers,
    FakeParameterSource,
    FakeParameterStore,
    FakeSecretsManager,
)
from keyturn.testing.parts import parts_of
from tests.parameters.conftest import NAME, World


def throttled(operation: str) -> Exception:
    """What a client raises when Parameter Store has had enough."""
    error = {"Code": "ThrottlingException", "Message": "Rate exceeded"}
    return ClientError({"Error": error}, operation)  # type: ignore[typeddict-item] # as botocore makes it


def fill(world: World, number: int) -> list[str]:
    """So many parameters under /app, two of three below another level."""
    names = [f"/app/{one}" if one % 3 == 0 else f"/app/deep/{one}" for one in range(number)]
    for name in names:
        world.put(f"value of {name}", name, "String")
    world.calls.clear()
    return names


def test_what_is_missing_is_read_ten_at_a_time(world: World) -> None:
    """25 names: 3 calls, and then none; a single get of one of them is a hit."""
    names, cache = fill(world, 25), world.cache()
    assert names == list(cache.get_parameters(names))
    assert f"value of {names[7]}" == cache.get_parameter(names[7]).value
    cache.get_parameters(reversed(names))
    assert {"GetParameters": 3} == world.calls


def test_what_is_held_is_not_read_again(world: World) -> None:
    """Only what is not held is asked for, and of a change only what changed."""
    names, cache = fill(world, 12), world.cache()
    cache.get_parameters(names[:4])
    cache.get_parameters(names)
    assert {"GetParameters": 2} == world.calls
    world.clock.advance(5)
    cache.get_parameters(names)
    world.put("new", names[3], "String")
    world.event(names[3])
    world.calls.clear()
    world.clock.advance(5)
    assert "new" == cache.get_parameters(names)[names[3]].value
    assert {"GetParameters": 1} == world.calls


def test_an_event_not_visible_yet_costs_a_batch_a_bounded_number_of_calls(world: World) -> None:
    """As of a single get: at most six reads of a parameter whose version has not moved."""
    names, cache = fill(world, 3), world.cache()
    cache.get_parameters(names)
    world.clock.advance(5)
    cache.get_parameters(names)
    world.event(names[0])
    world.calls.clear()
    for _ in range(240):
        world.clock.advance(0.5)
        cache.get_parameters(names)
    assert 2 <= world.reads <= 6


def test_a_name_that_is_not_there_is_not_asked_for_at_once_again(world: World) -> None:
    """For a second the next callers hear of it without a call; then it is looked for again."""
    names, cache = fill(world, 3), world.cache()
    for _ in range(3):
        with pytest.raises(ParameterNotFoundError, match="/app/none"):
            cache.get_parameters([*names, "/app/none"])
    assert 1 == world.reads
    world.clock.advance(1)
    world.put("here now", "/app/none")
    assert "here now" == cache.get_parameters([*names, "/app/none"])["/app/none"].value


def test_a_batch_that_is_behind_its_marker_is_asked_again() -> None:
    """The sweep has listed a version that GetParameters does not show yet: the known one, until it does."""
    clock = FakeClock()
    store, table = FakeParameterStore(clock), FakeMarkers(clock)
    late = dict[str, Parameter]()

    class Lagging(FakeParameterSource):
        def read_many(self, names: Sequence[str]) -> dict[str, Parameter]:
            return super().read_many(names) | late

    cache = SecretCache(
        peers=Peers(
            markers=table,
            parameter_source=lambda decrypt: Lagging(store, decrypt=decrypt),
            clock=clock,
            random=lambda: 0.0,
        )
    )
    store.put(NAME, "one")
    late |= cache.get_parameters([NAME])
    store.put(NAME, "two")
    table.set(store.arn(NAME), store.arn(NAME), {AWSCURRENT: "2"})
    clock.advance(5)
    assert "one" == cache.get_parameters([NAME])[NAME].value
    late.clear()
    clock.advance(0.5)
    assert "two" == cache.get_parameters([NAME])[NAME].value
    assert {"GetParameters": 3} == store.calls


def test_all_that_are_missing_are_named(world: World) -> None:
    """What is not there is one error with every name; what is there is kept."""
    cache = world.cache()
    with pytest.raises(ParameterNotFoundError, match="/a, /b"):
        cache.get_parameters([NAME, "/a", "/b"])
    world.calls.clear()
    cache.get_parameter(NAME)
    assert 0 == world.reads


def test_references_labels_and_versions_may_stand_among_the_names(world: World) -> None:
    """Each is what a single get gives, under the name that was asked for."""
    world.secrets.create("prod/db", "of the secret")
    world.put("two")
    names = [NAME, f"{NAME}:1", "/aws/reference/secretsmanager/prod/db"]
    got = world.cache().get_parameters(names)
    assert ["two", "one", "of the secret"] == [got[name].value for name in names]


@pytest.mark.proof
def test_a_thousand_parameters_by_path_take_a_hundred_calls(world: World) -> None:
    """The largest page has ten. After that, none; a change costs one."""
    names, cache = fill(world, 999), world.cache()
    got = cache.get_parameters_by_path("/app", recursive=True)
    assert {f"value of {name}" for name in names} == {one.value for one in got.values()}
    assert set(names) == got.keys()
    assert {"GetParametersByPath": 100} == world.calls
    cache.get_parameters_by_path("/app/", recursive=True)
    cache.get_parameter(names[500])
    world.clock.advance(5)
    cache.get_parameters_by_path("/app", recursive=True)
    assert {"GetParametersByPath": 100} == world.calls
    world.put("new", names[1], "String")
    world.event(names[1])
    world.clock.advance(5)
    assert "new" == cache.get_parameters_by_path("/app", recursive=True)[names[1]].value
    assert {"GetParametersByPath": 100, "PutParameter": 1, "GetParameters": 1} == world.calls


def test_a_path_is_one_level_unless_recursive(world: World) -> None:
    """What is further down is another question."""
    names, cache = fill(world, 6), world.cache()
    assert {names[0], names[3]} == cache.get_parameters_by_path("/app").keys()
    assert set(names) == cache.get_parameters_by_path("/app", recursive=True).keys()


def test_which_parameters_there_are_is_asked_anew_after_the_short_ttl(world: World) -> None:
    """A parameter made since is found then; one that was deleted is gone at once when its event came."""
    names, cache = fill(world, 3), world.cache()
    cache.get_parameters_by_path("/app", recursive=True)
    world.put("x", "/app/new", "String")
    world.ssm.delete_parameter(Name=names[0])
    world.event(names[0], deleted=True)
    world.clock.advance(5)
    assert set(names[1:]) == cache.get_parameters_by_path("/app", recursive=True).keys()
    world.clock.advance(300)
    assert {*names[1:], "/app/new"} == cache.get_parameters_by_path("/app", recursive=True).keys()


def test_a_throttled_parameter_store_degrades_to_known_values(world: World) -> None:
    """40 calls a second are soon used up: single gets, batches and paths serve what they know."""
    names, cache = fill(world, 30), world.cache()
    cache.get_parameters_by_path("/app", recursive=True)
    for name in names:
        world.put("new", name, "String")
        world.event(name)
    budget = count()
    world.fail = lambda operation: throttled(operation) if next(budget) >= 1 else None
    world.clock.advance(5)
    got = cache.get_parameters_by_path("/app", recursive=True)
    assert set(names) == got.keys()
    assert 10 == sum(one.value == "new" for one in got.values())
    assert names == list(cache.get_parameters(names))
    world.clock.advance(400)
    assert set(names) == cache.get_parameters_by_path("/app", recursive=True).keys()
    world.fail = lambda _: None
    world.clock.advance(120)
    assert {"new"} == {one.value for one in cache.get_parameters(names).values()}


@pytest.mark.parametrize("recursive", [True, False])
def test_a_path_that_answers_again_has_failed_for_the_first_time(
    world: World,
    recursive: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """The pause after a failure doubles with each in a row; a success ends the row."""
    fill(world, 1)
    cache = world.cache(max_stale_s=600.0)
    world.fail = lambda _: NoCredentialsError()
    for _ in range(4):
        world.clock.advance(1000)
        with pytest.raises(ParameterUnavailableError):
            cache.get_parameters_by_path("/app", recursive=recursive)
    world.fail = lambda _: None
    world.clock.advance(10)
    cache.get_parameters_by_path("/app", recursive=recursive)
    world.fail = lambda _: NoCredentialsError()
    world.clock.advance(1000)
    with pytest.raises(ParameterUnavailableError):
        cache.get_parameters_by_path("/app", recursive=recursive)
    world.fail = lambda _: None
    world.clock.advance(1.1)
    cache.get_parameters_by_path("/app", recursive=recursive)


def test_a_cold_throttle_is_an_error_that_says_so(world: World) -> None:
    """With nothing known there is nothing to serve: a typed error, by name, for each way to ask."""
    world.fail = throttled
    cache = world.cache()
    with pytest.raises(ParameterUnavailableError, match="40 reads a second"):
        cache.get_parameter(NAME)
    with pytest.raises(ParameterUnavailableError, match="Throttling"):
        cache.get_parameters(["/a", "/b"])
    with pytest.raises(ParameterUnavailableError, match="Throttling"):
        cache.get_parameters_by_path("/prod")


def test_a_source_without_batches_reads_one_by_one_and_no_paths(world: World) -> None:
    """What can read only single parameters serves several by single reads, and says that it has no paths."""
    singles = FakeSecretsManager(world.clock)
    for name in ("/a", "/b"):
        singles.create(name, name.strip("/"))
    cache = SecretCache(peers=Peers(source=singles, parameter_source=lambda _: singles, clock=world.clock))
    assert {"/a", "/b"} == cache.get_parameters(["/a", "/b"]).keys()
    with pytest.raises(ConfigurationError, match="reads no paths"):
        cache.get_parameters_by_path("/")


def test_who_waits_for_a_batch_finds_what_it_brought(world: World) -> None:
    """Two threads want the same parameters: one call."""
    names, cache = fill(world, 5), world.cache()
    reading, waiting = threading.Event(), threading.Event()

    def held_up(_: str) -> None:
        reading.set()
        waiting.wait(10)

    world.fail = held_up
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_parameters, names)
        assert reading.wait(10)
        second = pool.submit(cache.get_parameters, names)
        waiting.set()
        assert first.result(10).keys() == second.result(10).keys()
    assert {"GetParameters": 1} == world.calls


def test_what_was_under_way_in_a_snapshot_is_read_again(world: World) -> None:
    """A batch whose answer was made before a restore is not what is served after it."""
    fill(world, 2)
    old = ParameterStoreSource(lambda: world.ssm, decrypt=True)

    class Snapshotted(ParameterStoreSource):
        def read_many(self, names: Sequence[str]) -> dict[str, Parameter]:
            answers = old.read_many(names)
            world.put("new", "/app/0", "String")
            cache.forget()
            return answers

    source = Snapshotted(lambda: world.ssm, decrypt=True)
    cache = SecretCache(
        peers=Peers(source=world.secrets, parameter_source=lambda _: source, clock=world.clock)
    )
    assert "new" == cache.get_parameters(["/app/0"])["/app/0"].value


def test_what_was_answered_before_a_snapshot_and_not_kept_yet_is_read_again(world: World) -> None:
    """A restore between the answer to a batch and its landing: the answer is void, and is read anew."""
    fill(world, 2)

    class Answers(dict[str, Parameter]):
        def __getitem__(self, name: str) -> Parameter:
            world.put("new", "/app/0", "String")
            cache.forget()
            return super().__getitem__(name)

    class Snapshotted(ParameterStoreSource):
        def read_many(self, names: Sequence[str]) -> dict[str, Parameter]:
            return Answers(super().read_many(names))

    source = Snapshotted(lambda: world.ssm, decrypt=True)
    cache = SecretCache(
        peers=Peers(source=world.secrets, parameter_source=lambda _: source, clock=world.clock)
    )
    assert "new" == cache.get_parameters(["/app/0"])["/app/0"].value


@pytest.mark.parametrize(
    "error",
    [
        ParamValidationError(report="Invalid length for parameter WebIdentityToken, value: 0"),
        ClientError({"Error": {"Code": "UnrecognizedClientException", "Message": "no"}}, "GetParameters"),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole"),
    ],
    ids=str,
)
def test_credentials_that_are_refused_cost_a_batch_one_call(world: World, error: Exception) -> None:
    """They are about none of its names: no call for each of them, and each name has its error."""
    names, cache = fill(world, 10), world.cache()
    batches = Batches(parts_of(cache).caches[2])
    world.fail = lambda _: error
    outcomes = batches.read(names)
    assert {"GetParameters": 1} == world.calls
    assert names == [
        one.secret_id for one in outcomes.values() if isinstance(one, ParameterAccessDeniedError)
    ]


def test_a_batch_asks_for_nothing_that_another_one_has_just_brought(world: World) -> None:
    """What is at hand by the time it begins is not read; what is not there is asked for, and said so."""
    names = fill(world, 2)
    batches = Batches(parts_of(world.cache()).caches[2])
    for _ in range(2):
        assert names == [name for name, one in batches.read(names).items() if isinstance(one, Parameter)]
    assert {"GetParameters": 1} == world.calls
    for _ in range(2):
        assert isinstance(batches.read(["/none"])["/none"], ParameterNotFoundError)


def test_a_batch_hands_out_what_it_has_read_whatever_the_wall_clock_does(world: World) -> None:
    """A wall clock that is set back meanwhile makes the copies look old, and costs their caller nothing."""
    names, cache = fill(world, 2), world.cache()

    def set_back(_: str) -> None:
        world.clock.step(-900)

    world.fail = set_back
    assert names == list(cache.get_parameters(names))
    assert {"GetParameters": 1} == world.calls


@dataclass
class Denying:
    """Two parameters, of which one may not be read once it is denied, and a cache of them."""

    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.store = FakeParameterStore(self.clock)
        self.store.put("/a", "one")
        self.store.put("/b", "one")
        peers = Peers(
            source=FakeSecretsManager(self.clock),
            parameter_source=self.store.source,
            clock=self.clock,
            random=lambda: 0.0,
        )
        self.cache = SecretCache(peers=peers)

    def deny(self, error: type[ParameterError] = ParameterAccessDeniedError) -> None:
        self.store.fail = lambda name: error(name) if name == "/b" else None


@pytest.mark.parametrize(
    "error", [ParameterAccessDeniedError, ParameterDecryptionError, InvalidParameterNameError]
)
@pytest.mark.parametrize("names", [["/a", "/b"], ["/b", "/a"]])
def test_one_denied_name_is_the_only_one_that_is_denied(
    names: list[str], error: type[ParameterError]
) -> None:
    """A batch that is refused names no parameter: each is read by itself, once."""
    scene = Denying()
    scene.deny(error)
    with pytest.raises(error, match="'/b'"):
        scene.cache.get_parameters(names)
    assert {"GetParameters": 3} == scene.store.calls
    assert "one" == scene.cache.get_parameter("/a").value
    assert {"GetParameters": 3} == scene.store.calls
    with pytest.raises(error, match="'/b'"):
        scene.cache.get_parameter("/b")


@pytest.mark.parametrize("error", [ParameterAccessDeniedError, ParameterDecryptionError])
def test_a_copy_beside_a_denied_one_is_refreshed_and_stays(error: type[ParameterError]) -> None:
    """Both are held, then one is denied: that one is served for `max_denied_s`, the other as ever."""
    scene = Denying()
    scene.cache.get_parameters(["/a", "/b"])
    scene.deny(error)
    scene.store.put("/a", "two")
    scene.clock.advance(301)
    assert "two" == scene.cache.get_parameters(["/a", "/b"])["/a"].value
    scene.clock.advance(301)
    assert "two" == scene.cache.get_parameter("/a").value
    with pytest.raises(error, match="'/b'"):
        scene.cache.get_parameters(["/a", "/b"])
    assert [None] == [one.last_error for one in scene.cache.status().parameters if one.name == "/a"]
