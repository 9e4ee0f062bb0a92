"""One secret is one entry, whatever it is called; two secrets never are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from enum import Enum

import pytest

from keyturn import (
    InvalidParameterNameError,
    Parameter,
    Peers,
    SecretCache,
    SecretNotFoundError,
    StageNotFoundError,
)
from keyturn.testing.fakes import FakeClock
from tests.world import NAME, World, held


def test_name_partial_and_full_arn_share_one_entry(world: World) -> None:
    """After a read by name, the partial and the full ARN cost no call."""
    cache = world.cache()
    ids = (NAME, world.key, world.arn)
    versions = [cache.get(secret_id) for secret_id in ids]
    assert 1 == world.reads
    assert {"v1"} == {version.version_id for version in versions}
    assert list(ids) == [version.secret_id for version in versions]
    assert 1 == len(cache.status().secrets)


@pytest.mark.parametrize("ids", list(itertools.permutations(["name", "partial", "full"])))
def test_every_alias_sees_a_change_at_once(world: World, ids: tuple[str, ...]) -> None:
    """Whichever id was used first, after a rotation all of them give the new version, by one read."""
    named = {"name": NAME, "partial": world.key, "full": world.arn}
    cache = world.cache()
    world.mark()
    for one in ids:
        cache.get(named[one])
    world.clock.advance(5)
    cache.get(NAME)
    world.rotate("v2", "two")
    before = world.reads
    world.clock.advance(5)
    assert ["two"] * 3 == [cache.get_secret_string(named[one]) for one in ids]
    assert before + 1 == world.reads


def test_stages_are_distinct(world: World) -> None:
    """AWSCURRENT and AWSPENDING never answer for each other, in either order of asking."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    for stages in (("AWSCURRENT", "AWSPENDING"), ("AWSPENDING", "AWSCURRENT")):
        cache = world.cache()
        got = {stage: cache.get(NAME, stage=stage).string for stage in stages}
        assert {"AWSCURRENT": "one", "AWSPENDING": "two"} == got


def test_a_recreated_secret_is_another_secret(world: World) -> None:
    """A name follows to the new secret, also under the same version id; the old ARN is not found."""
    cache = world.covered()
    old = world.arn
    cache.get(old)
    world.secrets.purge(NAME)
    world.clock.advance(1)
    new = world.secrets.create(NAME, "other", "v1")
    world.mark()
    world.clock.advance(5)
    assert ("other", new) == (cache.get(NAME).string, cache.get(NAME).arn)
    with pytest.raises(SecretNotFoundError) as caught:
        cache.get(old)
    assert old == caught.value.secret_id
    assert "other" == cache.get_secret_string(new)


def test_an_old_arn_asked_first_is_not_served_the_new_secret(world: World) -> None:
    """When the secret was re-created, a get by its old ARN raises even if it notices the change first."""
    cache = world.covered()
    cache.get(world.arn)
    world.secrets.purge(NAME)
    world.clock.advance(1)
    world.secrets.create(NAME, "other", "v1")
    world.mark()
    world.clock.advance(5)
    with pytest.raises(SecretNotFoundError):
        cache.get(world.arn)
    assert "other" == cache.get_secret_string(NAME)


def test_a_name_that_looks_like_name_and_suffix(world: World) -> None:
    """`prod/db-abcdef` is not `prod/db`: suffixes are cut after the Name of an answer only."""
    world.secrets.create("prod/db-abcdef", "tricky", "t1")
    cache = world.cache()
    assert "tricky" == cache.get_secret_string("prod/db-abcdef")
    assert "one" == cache.get_secret_string(NAME)
    assert 2 == len({one.arn for one in cache.status().secrets})


def test_an_arn_of_elsewhere_does_not_claim_the_bare_name(world: World) -> None:
    """A secret read by its ARN answers to that ARN only: the same name may be another one here."""
    cache = world.cache()
    cache.get(world.arn)
    cache.get(NAME)
    assert 2 == world.reads
    assert 1 == len(cache.status().secrets)


def test_a_missing_stage_raises_and_holds_nothing(world: World) -> None:
    """No version under the label is an error that names the secret, not None."""
    cache = world.cache()
    with pytest.raises(StageNotFoundError, match="prod/db"):
        cache.get(NAME, stage="AWSPENDING")
    assert () == cache.status().secrets


def test_the_oldest_entry_makes_room(world: World) -> None:
    """No more than max_secrets are held; a forgotten one is simply read again."""
    for number in range(4):
        world.secrets.create(f"s{number}", str(number))
    cache = world.cache(max_secrets=2)
    for number in range(4):
        cache.get(f"s{number}")
    assert {"s2", "s3"} == {one.name for one in cache.status().secrets}
    assert "0" == cache.get_secret_string("s0")
    assert 5 == world.reads


def test_pending_is_held_at_most_one_check_interval(world: World) -> None:
    """AWSPENDING is read anew after each check interval, whatever markers say."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    world.mark()
    cache: SecretCache = world.cache()
    cache.get(NAME, stage="AWSPENDING")
    world.clock.advance(4.9)
    cache.get(NAME, stage="AWSPENDING")
    assert 1 == world.reads
    world.secrets.put(NAME, "three", "v3", "AWSPENDING")
    world.clock.advance(0.1)
    assert "three" == cache.get_secret_string(NAME, stage="AWSPENDING")
    assert not held(cache, "AWSPENDING").covered


def test_an_invalidation_does_not_prolong_a_pending_version(world: World) -> None:
    """The limit on invalidations never keeps a copy that is due anyway."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    cache = world.cache()
    cache.get(NAME)
    cache.get(NAME, stage="AWSPENDING")
    world.secrets.put(NAME, "three", "v3", "AWSPENDING")
    world.clock.advance(6)
    cache.invalidate(NAME)
    cache.get(NAME)
    assert "three" == cache.get_secret_string(NAME, stage="AWSPENDING")


def during_the_next_read(world: World, act: Callable[[], object]) -> None:
    """Do something while Secrets Manager works on the next read of the secret."""

    def once(operation: str) -> None:
        world.secrets.fail = lambda _: None
        act()

    world.secrets.fail = once


def test_an_invalidation_during_a_first_read_counts(world: World) -> None:
    """The answer was begun before it, so the next use reads again; the use after that is a hit."""
    cache = world.cache()
    during_the_next_read(world, lambda: cache.invalidate(NAME))
    cache.get(NAME)
    assert 1 == world.reads
    world.clock.advance(2)
    cache.get(NAME)
    assert 2 == world.reads
    cache.get(NAME)
    assert 2 == world.reads


def test_an_invalidation_during_the_read_that_finds_another_secret_counts(world: World) -> None:
    """The name belongs to a new secret meanwhile, and its answer is from before the invalidation as well."""
    cache = world.cache()
    cache.get(NAME)
    world.secrets.purge(NAME)
    world.secrets.create(NAME, "new", "v1")
    cache.invalidate(NAME)
    world.clock.advance(2)
    during_the_next_read(world, lambda: cache.invalidate(NAME))
    assert "new" == cache.get_secret_string(NAME)
    before = world.reads
    world.clock.advance(2)
    cache.get(NAME)
    assert before + 1 == world.reads
    cache.get(NAME)
    assert before + 1 == world.reads


class Named(str, Enum):  # noqa: UP042 # a StrEnum is written by its value
    """Ids and labels as an application may keep them. `str()` and f-strings write `Named.DB`."""

    DB = NAME
    PENDING = "AWSPENDING"
    PARAMETER = "/prod/host"
    LABEL = "blue"
    WRONG = "/prod/host:blue:green"


class Noting:
    """A source that notes what it was asked for, and the types of that."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.kinds: set[type] = set()

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        self.asked.append(f"{secret_id}:{stage}")
        self.kinds |= {type(secret_id), type(stage)}
        return Parameter(secret_id, f"arn of {secret_id}", secret_id, "1", frozenset({stage}), string="one")


def test_an_id_and_a_label_may_be_members_of_an_enum() -> None:
    """They are texts: asked for, held and told by their characters, as everybody else's are."""
    source = Noting()
    cache = SecretCache(
        marker_table=False, peers=Peers(source=source, parameter_source=lambda _: source, clock=FakeClock())
    )
    cache.get(Named.DB, stage=Named.PENDING)
    cache.get_parameter(Named.PARAMETER, label=Named.LABEL)
    cache.get_parameters([Named.PARAMETER])
    assert [f"{NAME}:AWSPENDING", "/prod/host:blue", "/prod/host:AWSCURRENT"] == source.asked
    assert {str} == source.kinds
    assert cache.peek_parameter("/prod/host", label="blue") is not None
    assert cache.invalidate(Named.DB)
    with pytest.raises(InvalidParameterNameError, match="'/prod/host:blue:green'"):
        cache.get_parameter(Named.WRONG)
