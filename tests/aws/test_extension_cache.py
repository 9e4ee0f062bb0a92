"""Two caches in a row: what the extension's own TTL does to freshness, and that `status()` says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from keyturn import Limits, Peers, SecretCache
from tests.aws.extension_server import Extension, serving
from tests.world import NAME, World, held

TTL_S = 300.0


@dataclass
class Row:
    """The world's secret behind extensions, each with a cache before it."""

    stack: ExitStack
    world: World = field(default_factory=World)

    def cache(self, ttl_s: float = TTL_S, *, table: bool = True, **limits: float) -> SecretCache:
        extension = self.stack.enter_context(serving(Extension(self.world.secrets, ttl_s)))
        return SecretCache(
            limits=Limits(**limits),  # type: ignore[arg-type] # numbers
            peers=Peers(
                source=extension.source(),
                markers=self.world.table if table else None,
                clock=self.world.clock,
                random=lambda: 0.0,
            ),
        )

    def warm(self, ttl_s: float = TTL_S) -> SecretCache:
        """A cache that holds v1 and has seen its marker; so does the extension, for its TTL."""
        self.world.mark()
        cache = self.cache(ttl_s)
        cache.get(NAME)
        self.world.clock.advance(5)
        cache.get(NAME)
        return cache


@pytest.fixture
def row() -> Iterator[Row]:
    """The world, and servers that end with the test."""
    with ExitStack() as stack:
        yield Row(stack)


def test_the_bound_includes_the_extensions_ttl(row: Row) -> None:
    """Once for a move that its cache hides, and once more for a label that goes back; off: not at all."""
    bounds = []
    for ttl_s in (0.0, 60.0, TTL_S):
        cache = row.cache(ttl_s)
        cache.get(NAME)
        bounds.append(held(cache).bound_s)
    assert [bounds[0], bounds[0] + 120, bounds[0] + 600] == bounds


def test_no_copy_is_older_than_the_bound_says(row: Row) -> None:
    """Without a marker both TTLs add up: later than one of them alone, and within the bound."""
    cache = row.cache(table=False, uncovered_ttl_s=290)
    cache.get(NAME)
    moved_s = row.world.clock.wall_s
    row.world.rotate("v2", "two", mark=False)
    bound_s = held(cache).bound_s
    while cache.get_secret_string(NAME) == "one":
        row.world.clock.advance(1)
        assert row.world.clock.wall_s - moved_s <= bound_s
    assert row.world.clock.wall_s - moved_s > 290 + 17


def test_a_marker_gets_past_the_extensions_cache(row: Row) -> None:
    """It names the version, and that is another key there: the new value within one check interval."""
    cache = row.warm()
    row.world.rotate("v2", "two")
    row.world.clock.advance(4.0)
    assert "two" == cache.get_secret_string(NAME)


def test_a_marker_that_is_ahead_gets_past_it_too(row: Row) -> None:
    """Secrets Manager shows the move seconds after the marker: every look asks for that version again."""
    cache = row.warm()
    row.world.clock.advance(1)
    row.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    stages = {"AWSCURRENT": "v2"}
    row.world.table.set(row.world.key, row.world.arn, stages)
    row.world.clock.advance(5)
    assert "one" == cache.get_secret_string(NAME)
    row.world.secrets.move(NAME, "AWSCURRENT", "v2")
    row.world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)


def test_what_the_extension_still_says_does_not_bring_the_old_value_back(row: Row) -> None:
    """A read by stage is answered with the past for a TTL: it is doubted for as long as that may be so."""
    cache = row.warm()
    row.world.rotate("v2", "two")
    row.world.clock.advance(5)
    seen = set()
    for _ in range(40):
        cache.invalidate(NAME)
        seen.add(cache.get_secret_string(NAME))
        row.world.clock.advance(7)
    assert {"two"} == seen


def test_a_doubt_does_not_hold_up_the_next_rotation(row: Row) -> None:
    """While the extension repeats the past, a new marker is followed within seconds."""
    cache = row.warm()
    row.world.rotate("v2", "two")
    row.world.clock.advance(5)
    cache.get(NAME)
    cache.invalidate(NAME)
    cache.get(NAME)
    row.world.clock.advance(10)
    cache.invalidate(NAME)
    cache.get(NAME)
    row.world.rotate("v3", "three")
    row.world.clock.advance(10)
    assert "three" == cache.get_secret_string(NAME)


def test_a_roll_back_is_believed_when_no_cache_can_be_meant(row: Row) -> None:
    """A label that is really back is served when the extension's TTL and a settle time are over."""
    cache = row.warm()
    row.world.rotate("v2", "two")
    row.world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    row.world.secrets.move(NAME, "AWSCURRENT", "v1")
    row.world.mark()
    moved_s = row.world.clock.wall_s
    while cache.get_secret_string(NAME) == "two":
        row.world.clock.advance(5)
        assert row.world.clock.wall_s - moved_s <= held(cache).bound_s
    assert row.world.clock.wall_s - moved_s >= TTL_S


def test_with_a_ttl_of_0_it_is_as_fast_as_a_client(row: Row) -> None:
    """Off, the extension adds nothing: a roll-back is believed after a settle time."""
    cache = row.warm(0.0)
    row.world.rotate("v2", "two")
    row.world.clock.advance(5)
    assert "two" == cache.get_secret_string(NAME)
    row.world.secrets.move(NAME, "AWSCURRENT", "v1")
    row.world.mark()
    for _ in range(3):
        row.world.clock.advance(6)
        cache.get(NAME)
    assert "one" == cache.get_secret_string(NAME)
