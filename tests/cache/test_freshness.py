"""When a copy is served, read again or dropped."""

from __future__ import annotations

import pytest

from keyturn import ConfigurationError, SecretCache, UnavailableError
from tests.world import NAME, World, held


def test_a_cold_start_is_one_call(world: World) -> None:
    """The first get reads the secret, and neither describes it nor looks at the table."""
    world.mark()
    before = sum(world.table.calls.values())
    world.secrets.calls.clear()
    assert "one" == world.cache().get_secret_string(NAME)
    assert {"GetSecretValue": 1} == world.secrets.calls
    assert before == sum(world.table.calls.values())


def test_nothing_changed_costs_one_head_read_per_interval(world: World) -> None:
    """An hour without a rotation: 720 head reads, one marker read, no read of the secret."""
    cache = world.covered()
    world.table.calls.clear()
    reads = world.reads
    world.pass_time(cache, 3000, sweep=True)
    assert {"head": 600} == world.table.calls
    assert reads == world.reads


def test_another_secrets_rotation_costs_no_read_of_this_one(world: World) -> None:
    """The head moves for another secret: one marker read, no GetSecretValue."""
    cache = world.covered()
    reads = world.reads
    world.table.set("arn:other", "arn:other-abcdef", {"AWSCURRENT": "x"})
    world.pass_time(cache, 5)
    assert reads == world.reads


def test_a_rotation_is_noticed_within_one_interval(world: World) -> None:
    """One GetSecretValue, and the new version is served at the first get after the next check."""
    cache = world.covered()
    reads = world.reads
    world.rotate("v2", "two")
    world.clock.advance(4.0)
    assert "two" == cache.get_secret_string(NAME)
    world.pass_time(cache, 50)
    assert reads + 1 == world.reads


def test_a_covered_copy_lives_for_the_long_ttl(world: World) -> None:
    """While the sweep's word is recent, a copy is confirmed once per covered_ttl_s."""
    cache = world.covered()
    world.pass_time(cache, 3500, sweep=True)
    assert 1 == world.reads
    world.pass_time(cache, 200, sweep=True)
    assert 2 == world.reads


def test_without_a_table_the_short_ttl_holds(world: World) -> None:
    """No table: the copy is read again after uncovered_ttl_s, never later."""
    cache = world.cache(table=False)
    cache.get(NAME)
    world.rotate("v2", "two", mark=False)
    world.clock.advance(298)
    assert "one" == cache.get_secret_string(NAME)
    world.clock.advance(1.1)
    assert "two" == cache.get_secret_string(NAME)


def test_without_a_marker_the_short_ttl_holds(world: World) -> None:
    """A table that knows nothing of the secret covers nothing."""
    world.table.sweep()
    cache = world.cache()
    cache.get(NAME)
    world.pass_time(cache, 295, sweep=True)
    assert 1 == world.reads
    assert "the secret has no marker yet" == held(cache).why
    world.pass_time(cache, 5, sweep=True)
    assert 2 == world.reads


def test_when_the_sweep_stops_the_short_ttl_takes_over(world: World) -> None:
    """The lease ends 1,260 s after the sweep's last word; then a copy is read every short TTL."""
    cache = world.covered()
    world.pass_time(cache, 900)
    assert held(cache).covered
    world.pass_time(cache, 65)
    assert not held(cache).covered
    assert "the last sweep is too long ago" == held(cache).why
    reads = world.reads
    world.rotate("v2", "two", mark=False)
    world.pass_time(cache, 300)
    assert reads + 1 == world.reads
    assert "two" == cache.get_secret_string(NAME)


def test_a_lease_from_the_future_covers_nothing(world: World) -> None:
    """A head that claims to have been swept later than its own answer is not believed."""
    world.mark()
    world.table.sweep(world.clock.wall_s + 3600)
    cache = world.cache()
    cache.get(NAME)
    world.pass_time(cache, 10)
    assert not held(cache).covered


def test_a_readers_clock_does_not_matter_to_the_lease(world: World) -> None:
    """Ages of the sweep are measured by the table's clock: a host an hour fast is covered as any other."""
    world.mark()
    cache = world.cache()
    cache.get(NAME)
    table_clock = type(world.clock)(world.clock.wall_s)
    world.table.clock = table_clock
    world.clock.step(3600)
    cache.get(NAME)
    table_clock.advance(5)
    world.clock.advance(5)
    cache.get(NAME)
    assert held(cache).covered


def test_a_frozen_environment_checks_first_thing(world: World) -> None:
    """After a thaw, with the monotonic clock stopped all along, the first get already has the new version."""
    cache = world.covered()
    world.rotate("v2", "two")
    world.clock.freeze(7200)
    assert "two" == cache.get_secret_string(NAME)


def test_a_clock_set_back_makes_nothing_look_fresh(world: World) -> None:
    """A wall clock that jumps back closes the window and ages every copy."""
    cache = world.covered()
    reads = world.reads
    world.clock.step(-86_400)
    cache.get(NAME)
    assert reads + 1 == world.reads


def test_a_clock_set_back_a_little_extends_a_window_by_no_more_than_itself(world: World) -> None:
    """Inside the hit window a small step back can double the window, not more."""
    cache = world.covered()
    world.rotate("v2", "two")
    world.clock.advance(2.9)
    world.clock.step(-3.8)
    world.clock.advance(6.0)
    assert "two" == cache.get_secret_string(NAME)


def test_invalidate_makes_the_next_get_read(world: World) -> None:
    """After `invalidate` the next get asks Secrets Manager, under every alias, once."""
    cache = world.covered()
    world.rotate("v2", "two", mark=False)
    assert cache.invalidate(world.key)
    assert ["two", "two"] == [cache.get_secret_string(NAME), cache.get_secret_string(world.arn)]
    assert 2 == world.reads
    assert not cache.invalidate("unknown")


def test_invalidating_in_a_loop_is_limited(world: World) -> None:
    """A caller that invalidates before every get causes one read per min_refresh_interval_s."""
    cache = world.covered()
    reads = world.reads
    for _ in range(100):
        cache.invalidate(NAME)
        cache.get(NAME)
        world.clock.advance(0.05)
    assert reads + 5 == world.reads


def test_status_says_what_is_held_and_how_old_it_can_get(world: World) -> None:
    """Version, age, cover, bound and aliases of every stage; the table's own state beside it."""
    cache = world.covered()
    world.clock.advance(2)
    one = held(cache)
    assert (NAME, "AWSCURRENT", "v1") == (one.name, one.stage, one.version_id)
    assert {NAME, world.key, world.arn} == set(one.secret_ids)
    assert (True, 7.0, None) == (one.covered, one.age_s, one.last_error)
    assert one.bound_s >= 3600
    table = cache.status().table
    assert (True, 2.0, None) == (table.used, table.checked_age_s, table.trouble)
    assert held(world_without_table := _held_without_table(world)).bound_s < 400
    assert not world_without_table.status().table.used


def test_the_bound_of_a_failing_refresh_is_no_shorter_than_that_of_the_cover(world: World) -> None:
    """Where copies may be covered for longer than stale, a marker that agrees outlasts a failed read."""
    cache = world.covered(max_stale_s=900)
    world.secrets.fail = UnavailableError
    cache.invalidate(NAME)
    cache.get(NAME)
    failed = held(cache)
    assert "UnavailableError" in (failed.last_error or "")
    assert failed.bound_s >= 3600


def _held_without_table(world: World) -> SecretCache:
    cache = world.cache(table=False)
    cache.get(NAME)
    return cache


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("check_interval_s", 0),
        ("check_interval_s", -1),
        ("uncovered_ttl_s", float("nan")),
        ("max_stale_s", float("inf")),
        ("covered_ttl_s", 10),
        ("settle_s", "6"),
        ("max_secrets", 0),
        ("max_secrets", 2.5),
    ],
)
def test_impossible_limits_are_refused_at_once(world: World, limit: str, value: float) -> None:
    """A duration that cannot work is a ConfigurationError that names it."""
    with pytest.raises(ConfigurationError, match=limit):
        world.cache(table=True, **{limit: value})
