"""What the simulation has found in the cache, each as small as it gets."""

from __future__ import annotations

import pytest

from keyturn.cache import Cache
from keyturn.errors import AccessDeniedError
from keyturn.freshness import Limits
from tests.world import NAME, World


def test_a_label_that_went_back_while_nobody_looked_is_believed_at_once() -> None:
    """An answer given long after a copy was confirmed is not from before it: the bound holds for idle readers."""
    world = World()
    world.rotate("v2", "two", mark=False)
    cache = world.cache(table=False)
    assert "v2" == cache.get(NAME).version_id
    world.clock.advance(20)
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    world.clock.advance(3600)
    assert "v1" == cache.get(NAME).version_id


def test_a_marker_that_agrees_again_does_not_outlive_a_denial() -> None:
    """After a denied refresh a copy is served for `max_denied_s`, whatever the table says meanwhile."""
    world = World()
    cache = world.covered(max_denied_s=60)
    world.table.set(world.key, world.arn, {"AWSCURRENT": "v2"})
    world.secrets.fail = AccessDeniedError
    world.clock.advance(5)
    cache.get(NAME)
    world.table.set(world.key, world.arn, {"AWSCURRENT": "v1"})
    world.clock.advance(30)
    assert "v1" == cache.get(NAME).version_id
    world.clock.advance(35)
    with pytest.raises(AccessDeniedError):
        cache.get(NAME)


def test_a_pending_version_that_nobody_asks_for_is_not_read_ahead() -> None:
    """The background thread does not read AWSPENDING at every interval for as long as the label is there."""
    world = World()
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    cache = Cache(
        world.secrets, world.table, limits=Limits(), clock=world.clock, random=lambda: 0.0, window_s=10.0
    )
    cache.get(NAME, "AWSPENDING")
    before = world.reads
    for _ in range(20):
        world.clock.advance(5)
        cache.check()
        cache.refresh_ahead()
    assert before == world.reads


def test_a_covered_copy_survives_invalidations_faster_than_they_are_followed() -> None:
    """The rate limit of forced refreshes never turns a copy that is fresh into an error."""
    world = World()
    world.secrets.put(NAME, "two", "v2", "blue")
    world.mark()
    cache = world.cache(max_stale_s=60.0)
    cache.get(NAME)
    cache.get(NAME, "blue")
    world.clock.advance(5)
    cache.get(NAME)
    world.pass_time(cache, 100, sweep=True)
    cache.invalidate(NAME)
    cache.get(NAME)
    assert "v2" == cache.get(NAME, "blue").version_id


def test_a_partial_arn_finds_a_secret_that_was_created_again() -> None:
    """A caller by partial ARN is never told "not found" because the secret was first read by its full ARN."""
    world = World()
    cache = world.cache(table=False)
    cache.get(world.arn)
    assert "v1" == cache.get(world.key).version_id
    world.clock.advance(400)
    world.secrets.purge(NAME)
    again = world.secrets.create(NAME, "anew", "v1")
    assert again == cache.get(world.key).arn


def test_a_check_in_flight_takes_nothing_from_others() -> None:
    """While one thread reads the markers, the others go by the last check: no read, and no better bound."""
    world = World()
    cache = world.covered()
    world.pass_time(cache, 400, sweep=True)
    world.table.set("arn:aws:secretsmanager:us-east-1:111122223333:secret:other", "other", {})
    told: list[bool] = []

    def look_while_markers_are_read() -> None:
        if world.table.calls["markers"] > asked:
            cache.get(NAME)
            told.append(cache.status().secrets[0].covered)

    asked, reads = world.table.calls["markers"], world.reads
    world.table.fail = look_while_markers_are_read
    world.clock.advance(5)
    cache.get(NAME)
    assert ([True], reads) == (told, world.reads)
