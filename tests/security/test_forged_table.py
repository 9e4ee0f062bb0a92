"""Whoever can write the marker table: what it costs a reader, for how long, and what it can never do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

import pytest

from keyturn import Limits, Peers, SecretCache
from keyturn.errors import (
    AccessDeniedError,
    DecryptionError,
    InvalidSecretIdError,
    MarkerTableError,
    SecretError,
    SecretNotFoundError,
    UnavailableError,
)
from keyturn.model.markers import Head, Marker, MarkersRead
from keyturn.model.versions import SecretVersion
from tests.world import NAME, World, held

CHECK_INTERVAL_S = 5
MINUTE_S = 60
READS_PER_INTERVAL_MAX = 6
"""A new forgery is followed by one pinned read, and by reads by stage at 0, 0.25, 0.75, 1.75 and 3.75 s."""

TABLE_READS_PER_INTERVAL_MAX = 3
"""The head, once more consistently if its counter went back, and the markers."""


def forge(world: World, number: int, **fields: object) -> None:
    """A new marker of the secret, and a head that moved with it and was swept just now."""
    marker = Marker(world.key, world.arn, {"AWSCURRENT": f"forged-{number}"}, epoch="forged", sequence=number)
    world.table.items[world.key] = marker._replace(**fields)  # type: ignore[arg-type] # as the test gives it
    world.table.head = Head("forged", number, world.clock.wall_s)


def read_for(world: World, cache: SecretCache, seconds: float, *, step_s: float = 0.05) -> set[str]:
    """What a busy process is given in this time."""
    given = set()
    for _ in range(round(seconds / step_s)):
        world.clock.advance(step_s)
        given.add(cache.get_secret_string(NAME))
    return given


def test_new_forgeries_all_the_time_cost_a_bounded_number_of_calls(world: World) -> None:
    """A marker forged anew twice a second: at most 6 GetSecretValue and 3 table reads per check interval."""
    cache = world.covered()
    world.secrets.calls.clear()
    world.table.calls.clear()
    for number in range(1, 2 * MINUTE_S + 1):
        forge(world, number)
        assert {"one"} == read_for(world, cache, 0.5)
    intervals = MINUTE_S / CHECK_INTERVAL_S
    assert intervals < world.reads <= READS_PER_INTERVAL_MAX * intervals
    table_reads = sum(world.table.calls.values())
    assert table_reads <= TABLE_READS_PER_INTERVAL_MAX * (intervals + 1)


def test_a_head_forged_all_the_time_costs_table_reads_only(world: World) -> None:
    """A head that moves and goes back without a marker: no GetSecretValue, 3 table reads per interval."""
    cache = world.covered()
    head = world.table.head
    assert head is not None
    world.secrets.calls.clear()
    world.table.calls.clear()
    for number in range(MINUTE_S):
        world.table.head = head._replace(counter=1000 - number % 7)
        world.table.sweep()
        assert {"one"} == read_for(world, cache, 1)
    assert 0 == world.reads
    table_reads = sum(world.table.calls.values())
    assert table_reads <= TABLE_READS_PER_INTERVAL_MAX * (MINUTE_S / CHECK_INTERVAL_S + 1)


class ForgedHeads:
    """A marker table whose heads are other ones at each read: missing, failing, going back, of any copies."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.reads: list[str] = []

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        self.reads.append(f"head {copy} {consistent}")
        kind, true = self.random.randrange(10), self.world.table.head
        if kind == 0:
            raise MarkerTableError("markers", "throttled")
        if kind == 1 or true is None:
            return None
        epoch, counter = self.random.choice("ab"), self.random.randrange(100)
        copies, now_s = self.random.choice((1, 2, 3, 32)), self.world.clock.wall_s
        return true._replace(
            epoch=epoch, counter=counter, copies=copies, swept_as_of_s=now_s, answered_at_s=now_s
        )

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        self.reads.append("markers")
        return self.world.table.read_markers(keys)


@pytest.mark.parametrize("seed", range(10))
def test_heads_forged_with_other_copies_cost_five_table_reads(world: World, seed: int) -> None:
    """Four heads and the markers in one check at the most, and no GetSecretValue beyond the short TTL."""
    world.mark()
    forged = ForgedHeads(world, seed)
    cache = SecretCache(
        peers=Peers(source=world.secrets, markers=forged, clock=world.clock, random=forged.random.random),
        limits=Limits(refresh_wait_s=20),
    )
    cache.get(NAME)
    for _ in range(60):
        forged.reads.clear()
        world.clock.advance(CHECK_INTERVAL_S)
        assert "one" == cache.get_secret_string(NAME)
        assert len(forged.reads) <= 5
    assert world.reads <= 1 + 60 * CHECK_INTERVAL_S / 225


@pytest.mark.parametrize(
    "fields",
    [
        {"stages": {"AWSCURRENT": "v1"}},
        {"stages": {}},
        {"deleted": True},
        {"arn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:foreign-AbCdEf"},
    ],
    ids=["an old version", "no stage", "a tombstone", "a foreign ARN"],
)
def test_no_forgery_brings_an_old_or_foreign_value(world: World, fields: dict[str, object]) -> None:
    """Markers of an old version, of nothing, of another secret: the current value is served throughout."""
    world.secrets.create("foreign", "theirs")
    cache = world.covered()
    world.rotate("v2", "two")
    world.clock.advance(CHECK_INTERVAL_S)
    assert "two" == cache.get_secret_string(NAME)
    for number in range(1, 20):
        forge(world, number, **fields)
        assert {"two"} == read_for(world, cache, CHECK_INTERVAL_S)


@dataclass
class Refusing:
    """Secrets Manager that answers a read of a version that is not current by an error."""

    world: World
    error: Callable[[str], SecretError]

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        current = self.world.secrets.describe(secret_id).stages[stage]
        if version_id not in (None, current):
            raise self.error(secret_id)
        return self.world.secrets.read(secret_id, stage=stage)


@pytest.mark.parametrize(
    "error", [InvalidSecretIdError, DecryptionError, AccessDeniedError, SecretNotFoundError, UnavailableError]
)
def test_a_marker_of_a_version_that_cannot_be_read_hides_nothing(
    world: World, error: Callable[[str], SecretError]
) -> None:
    """An id that AWS or botocore rejects, a version under a key that is gone: the stage is asked about."""
    world.mark()
    cache = SecretCache(
        peers=Peers(
            source=Refusing(world, error), markers=world.table, clock=world.clock, random=lambda: 0.0
        ),
        limits=Limits(refresh_wait_s=20),
    )
    cache.get(NAME)
    world.pass_time(cache, CHECK_INTERVAL_S)
    world.rotate("v2", "two", mark=False)
    forge(world, 1)
    moved_s = world.clock.wall_s
    while "two" != cache.get_secret_string(NAME):
        world.clock.advance(1)
        assert world.clock.wall_s - moved_s <= 2 * CHECK_INTERVAL_S
    for number in range(2, 9):
        forge(world, number)
        assert {"two"} == read_for(world, cache, MINUTE_S, step_s=1)


def test_a_forgery_ends_with_the_listeners_next_word(world: World) -> None:
    """Once the true marker is back, the reader is covered again and asks no more."""
    cache = world.covered()
    forge(world, 7)
    read_for(world, cache, MINUTE_S)
    world.table.head = None
    world.table.items.clear()
    world.mark()
    read_for(world, cache, 2 * CHECK_INTERVAL_S)
    world.secrets.calls.clear()
    read_for(world, cache, MINUTE_S, step_s=1)
    assert held(cache).covered
    assert 0 == world.reads


def test_a_suppressed_notice_is_late_by_the_long_ttl_at_most(world: World) -> None:
    """Marker and lease forged to say that nothing changed: the move is noticed within `bound_s`."""
    cache = world.covered()
    bound_s = held(cache).bound_s
    world.rotate("v2", "two", mark=False)
    moved_s = world.clock.wall_s
    while "two" != cache.get_secret_string(NAME):
        world.clock.advance(CHECK_INTERVAL_S)
        world.table.sweep(world.clock.wall_s)
        assert world.clock.wall_s - moved_s <= bound_s
    late_s = world.clock.wall_s - moved_s
    assert 3500 < late_s <= 3600
    assert late_s <= bound_s


@pytest.mark.parametrize("hidden_s", [0, 3000, pytest.param(3590, marks=pytest.mark.proof)])
def test_a_forged_pace_delays_nothing_beyond_the_bound(world: World, hidden_s: float) -> None:
    """A move that is hidden, and then told of with a pace of ten minutes: within what `status()` had said."""
    world.random = 0.999
    cache = world.covered()
    bound_s = held(cache).bound_s
    world.rotate("v2", "two", mark=False)
    moved_s, number = world.clock.wall_s, 0
    while "two" != cache.get_secret_string(NAME):
        world.clock.advance(1)
        late_s = world.clock.wall_s - moved_s
        assert late_s <= bound_s
        if late_s >= hidden_s and late_s % CHECK_INTERVAL_S == 0:
            number += 1
            forge(world, number)
        head = world.table.head
        assert head is not None
        now_s = world.clock.wall_s
        world.table.head = head._replace(swept_as_of_s=now_s, pace_s=600 if number else 0)


def test_a_deleted_table_is_as_good_as_none(world: World) -> None:
    """Whoever empties the table leaves the short TTL: the move is noticed within 300 s and a check."""
    cache = world.covered()
    world.table.items.clear()
    world.table.head = None
    world.rotate("v2", "two", mark=False)
    moved_s = world.clock.wall_s
    while "two" != cache.get_secret_string(NAME):
        world.clock.advance(CHECK_INTERVAL_S)
    assert world.clock.wall_s - moved_s <= 300 + CHECK_INTERVAL_S
