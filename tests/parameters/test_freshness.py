"""How soon a change of a parameter is served, by what it is noticed, and what that costs."""

from __future__ import annotations

import pytest

from keyturn import HeldStatus, Parameter, ParameterNotFoundError, Peers, SecretCache
from keyturn.model.markers import Marker
from keyturn.model.versions import AWSCURRENT
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeParameterSource, FakeParameterStore
from tests.parameters.conftest import ARN, NAME, World


def held(cache: SecretCache) -> HeldStatus:
    """What the status says of the one parameter."""
    (one,) = cache.status().parameters
    return one


def test_an_event_is_followed_within_one_check_interval(world: World) -> None:
    """The marker moved: the next check makes the copy be read again, by one call."""
    cache = world.cache()
    cache.get_parameter(NAME)
    world.clock.advance(5)
    cache.get_parameter(NAME)
    world.put("two")
    world.event()
    world.clock.advance(5)
    assert "two" == cache.get_parameter(NAME).value
    reads = world.reads
    for _ in range(40):
        world.clock.advance(5)
        cache.get_parameter(NAME)
    assert reads == world.reads


def test_one_check_serves_secrets_and_parameters(world: World) -> None:
    """Whatever a process holds, it reads the head once per interval."""
    world.secrets.create("prod/db", "s")
    cache = world.cache()
    cache.get("prod/db")
    cache.get_parameter(NAME)
    cache.get_parameter(NAME, decrypt=False)
    heads = world.table.calls["head"]
    for _ in range(10):
        world.clock.advance(5)
        cache.get("prod/db")
        cache.get_parameter(NAME)
        cache.get_parameter(NAME, decrypt=False)
    assert heads + 10 == world.table.calls["head"]


def test_an_event_that_parameter_store_does_not_show_yet_is_asked_about_a_bounded_time(
    world: World,
) -> None:
    """The version has not moved: at most six reads, further and further apart; then the marker is let be."""
    cache = world.cache()
    cache.get_parameter(NAME)
    world.clock.advance(5)
    cache.get_parameter(NAME)
    world.event()
    before = world.reads
    for _ in range(240):
        world.clock.advance(0.5)
        cache.get_parameter(NAME)
    assert 2 <= world.reads - before <= 6


def test_an_event_that_becomes_visible_late_is_caught(world: World) -> None:
    """Parameter Store answers with the past for three seconds: the new value is served after that."""
    cache = world.cache()
    cache.get_parameter(NAME)
    world.clock.advance(5)
    cache.get_parameter(NAME)
    world.event()
    world.clock.advance(5)
    assert "one" == cache.get_parameter(NAME).value
    world.put("two")
    for _ in range(12):
        world.clock.advance(0.5)
        cache.get_parameter(NAME)
    assert "two" == cache.get_parameter(NAME).value


def test_the_news_of_one_event_is_not_taken_for_that_of_the_next() -> None:
    """Two events follow each other, and what the first one told of is read after the second: asked again."""
    clock = FakeClock()
    store, table = FakeParameterStore(clock), FakeMarkers(clock)
    key, late = store.arn(NAME), list[Parameter]()

    class Lagging(FakeParameterSource):
        def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
            truth = super().read(secret_id, stage=stage, version_id=version_id)
            return late.pop() if late else truth

    store.put(NAME, "one")
    cache = SecretCache(
        peers=Peers(
            markers=table,
            parameter_source=lambda decrypt: Lagging(store, decrypt=decrypt),
            clock=clock,
            random=lambda: 0.0,
        )
    )
    cache.get_parameter(NAME)
    clock.advance(60)
    store.put(NAME, "two")
    late.append(store.source().read(NAME, stage=AWSCURRENT))
    clock.advance(10)
    store.put(NAME, "three")
    table.write([(table.look(key), Marker(key, key, {}, token="event-2", changed_at_s=clock.wall()))])
    clock.advance(5)
    assert "two" == cache.get_parameter(NAME).value
    clock.advance(0.5)
    assert "three" == cache.get_parameter(NAME).value


def test_an_old_event_costs_a_new_process_nothing(world: World) -> None:
    """A marker of an hour ago makes no process read again what it has just read."""
    world.event()
    world.clock.advance(3600)
    cache = world.cache()
    for _ in range(20):
        cache.get_parameter(NAME)
        world.clock.advance(5)
    assert 1 == world.reads


@pytest.mark.parametrize("skew_s", [-3600.0, 3600.0])
def test_a_wrong_clock_hides_no_event(world: World, skew_s: float) -> None:
    """Whether an event is old is not judged by this host's clock."""
    mine = FakeClock(world.clock.wall_s + skew_s)
    cache = world.cache(mine)
    cache.get_parameter(NAME)
    world.put("two")
    world.event()
    for clock in (mine, world.clock):
        clock.advance(5)
    assert "two" == cache.get_parameter(NAME).value


def test_without_the_sweep_a_lost_event_costs_the_short_ttl(world: World) -> None:
    """Parameters that the sweep does not list are never covered, and the status says so."""
    cache = world.cache()
    cache.get_parameter(NAME)
    world.event()
    world.sweep(parameters=False)
    world.clock.advance(5)
    cache.get_parameter(NAME)
    assert not held(cache).covered
    world.put("two")
    world.clock.advance(301)
    assert "two" == cache.get_parameter(NAME).value


def test_what_the_sweep_lists_is_covered(world: World) -> None:
    """With its version in the marker a copy lives for the long TTL, without a call."""
    cache = world.cache()
    cache.get_parameter(NAME)
    for _ in range(10):
        world.clock.advance(200)
        world.sweep()
        world.clock.advance(5)
        cache.get_parameter(NAME)
    assert held(cache).covered, held(cache).why
    assert 1 == world.reads


def test_a_lost_event_is_found_by_the_sweep(world: World) -> None:
    """No event told of the new version: the sweep does, and the next check follows it."""
    cache = world.cache()
    cache.get_parameter(NAME)
    world.sweep()
    world.clock.advance(400)
    world.put("two")
    world.sweep()
    world.clock.advance(5)
    assert "two" == cache.get_parameter(NAME).value


def test_a_version_that_parameter_store_does_not_show_yet_is_asked_for_a_bounded_time(world: World) -> None:
    """The sweep's marker is ahead of what is answered: a bounded number of reads, then the short TTL."""
    cache = world.cache()
    cache.get_parameter(NAME)
    world.table.set(ARN, ARN, {"AWSCURRENT": "2"})
    world.clock.advance(5)
    before = world.reads
    for _ in range(240):
        world.clock.advance(0.5)
        assert "one" == cache.get_parameter(NAME).value
    assert 2 <= world.reads - before <= 12
    assert not held(cache).covered


def test_a_deleted_parameter_is_not_served(world: World) -> None:
    """The event of a deletion ends the copy within one interval; made anew, it is another value."""
    cache = world.cache()
    cache.get_parameter(NAME)
    world.ssm.delete_parameter(Name=NAME)
    world.event(deleted=True)
    world.clock.advance(5)
    with pytest.raises(ParameterNotFoundError):
        cache.get_parameter(NAME)
    world.put("other")
    world.event()
    world.clock.advance(5)
    assert ("other", 1) == (cache.get_parameter(NAME).value, cache.get_parameter(NAME).version)


def test_a_label_that_moves_is_followed(world: World) -> None:
    """Also back to an older version, which counts when it is read twice, a settle time apart."""
    world.put("two")
    world.ssm.label_parameter_version(Name=NAME, ParameterVersion=1, Labels=["live"])
    cache = world.cache()
    assert "one" == cache.get_parameter(NAME, label="live").value
    for version, value in ((2, "two"), (1, "one")):
        world.clock.advance(30)
        world.ssm.label_parameter_version(Name=NAME, ParameterVersion=version, Labels=["live"])
        world.event()
        for _ in range(8):
            world.clock.advance(2)
            cache.get_parameter(NAME, label="live")
        assert value == cache.get_parameter(NAME, label="live").value


def test_a_numbered_version_is_not_read_again_for_events(world: World) -> None:
    """A version's value does not change: events about the parameter cost its copies nothing."""
    cache = world.cache()
    cache.get_parameter(NAME, version=1)
    for number in range(10):
        world.put(str(number))
        world.event()
        world.clock.advance(5)
        assert "one" == cache.get_parameter(NAME, version=1).value
    assert 1 == world.reads


def test_invalidate_makes_the_next_read_ask(world: World) -> None:
    """For decrypted values and ciphertexts alike."""
    cache = world.cache()
    for decrypt in (True, False):
        cache.get_parameter(NAME, decrypt=decrypt)
    world.put("two")
    assert cache.invalidate(NAME)
    assert "two" == cache.get_parameter(NAME).value
    assert "kms:alias/aws/ssm:two" == cache.get_parameter(NAME, decrypt=False).value
    assert not cache.invalidate("/nowhere")


def test_nothing_is_served_after_a_restore(world: World) -> None:
    """As before the first read: values, and which parameters a path has."""
    cache = world.cache()
    cache.get_parameter(NAME)
    cache.get_parameters_by_path("/prod", recursive=True)
    world.put("two")
    world.put("new", "/prod/new")
    cache.forget()
    assert "two" == cache.get_parameter(NAME).value
    assert {NAME, "/prod/new"} == cache.get_parameters_by_path("/prod", recursive=True).keys()
