"""A fleet that the head asks to spread its reads: when each process reads, and who does not wait."""

from __future__ import annotations

import pytest

from keyturn import Limits, Peers, SecretCache
from keyturn.testing import FakeClock, FakeMarkers, FakeSecretsManager

NAME = "prod/db"


class Fleet:
    """One secret, its marker, a head with `pace_s`, and processes on one clock."""

    def __init__(self, pace_s: float) -> None:
        self.clock = FakeClock()
        self.secrets, self.table = FakeSecretsManager(self.clock), FakeMarkers(self.clock)
        self.arn = self.secrets.create(NAME, "one", "v1")
        self.key = self.arn[:-7]
        self.mark("v1")
        self.table.sweep()
        self.table.pace(pace_s)

    def mark(self, version_id: str) -> None:
        """Write the marker as the listener does."""
        self.table.set(self.key, self.arn, {"AWSCURRENT": version_id})

    def rotate(self, version_id: str, value: str) -> None:
        """Move AWSCURRENT, and the marker at once."""
        self.secrets.put(NAME, value, version_id)
        self.mark(version_id)

    def process(self, random: float) -> SecretCache:
        """A process that draws this number, warm and covered."""
        cache = SecretCache(
            limits=Limits(),
            peers=Peers(source=self.secrets, markers=self.table, clock=self.clock, random=lambda: random),
        )
        cache.get(NAME)
        self.clock.advance(5)
        cache.get(NAME)
        return cache

    def learns_after_s(self, cache: SecretCache) -> float:
        """How many seconds from now the process serves another value; it is used each second."""
        before, begun_s = cache.get_secret_string(NAME), self.clock.wall_s
        while cache.get_secret_string(NAME) == before:
            assert self.clock.wall_s < begun_s + 100
            self.clock.advance(1)
        return self.clock.wall_s - begun_s


@pytest.mark.parametrize(("random", "after_s"), [(0.0, 5.0), (0.5, 23.0), (0.999, 40.0)])
def test_reads_are_spread_over_the_pace(random: float, after_s: float) -> None:
    """From the check on, each process at a moment of its own, all within the pace of the marker."""
    fleet = Fleet(pace_s=40.0)
    cache = fleet.process(random)
    fleet.rotate("v2", "two")
    assert after_s == fleet.learns_after_s(cache)
    assert 2 == fleet.secrets.calls["GetSecretValue"]


def test_without_a_pace_all_read_at_the_next_check() -> None:
    """The default."""
    fleet = Fleet(pace_s=0.0)
    cache = fleet.process(0.999)
    fleet.rotate("v2", "two")
    assert 5.0 == fleet.learns_after_s(cache)


def test_a_process_that_was_idle_does_not_wait() -> None:
    """Its copy is older than the pace already."""
    fleet = Fleet(pace_s=40.0)
    cache = fleet.process(0.999)
    fleet.rotate("v2", "two")
    fleet.clock.advance(60)
    assert "two" == cache.get_secret_string(NAME)


def test_a_second_move_does_not_put_off_the_read_again() -> None:
    """However often the marker moves."""
    fleet = Fleet(pace_s=40.0)
    cache = fleet.process(0.999)
    begun_s = fleet.clock.wall_s
    for number in range(2, 100):
        fleet.rotate(f"v{number}", f"value {number}")
        fleet.clock.advance(5)
        if cache.get_secret_string(NAME) != "one":
            break
    assert fleet.clock.wall_s - begun_s <= 45


@pytest.mark.parametrize(("age_s", "after_s"), [(0, 600), (3300, 300), (3590, 10)])
def test_no_pace_makes_a_copy_last_longer(age_s: float, after_s: float) -> None:
    """A copy that would have ended soon is read then, whatever pace the head asks for."""
    fleet = Fleet(pace_s=600.0)
    cache = fleet.process(0.9999)
    begun_s = fleet.clock.wall_s
    for _ in range(round(age_s / 5) - 1):
        fleet.clock.advance(5)
        fleet.table.sweep()
        cache.get(NAME)
    fleet.rotate("v2", "two")
    moved_s = fleet.clock.wall_s
    while "two" != cache.get_secret_string(NAME):
        fleet.clock.advance(5)
        fleet.table.sweep()
    assert after_s - 10 <= fleet.clock.wall_s - moved_s <= after_s + 10
    assert fleet.clock.wall_s - begun_s <= 3605


def test_a_copy_that_nothing_covers_keeps_the_short_ttl() -> None:
    """Its marker agrees, but no sweep vouches for it: a pace of ten minutes puts nothing off beyond 300 s."""
    fleet = Fleet(pace_s=600.0)
    assert fleet.table.head is not None
    fleet.table.head = fleet.table.head._replace(swept_as_of_s=None)
    cache = fleet.process(0.9999)
    read_s = fleet.clock.wall_s - 5
    for _ in range(40):
        fleet.clock.advance(5)
        cache.get(NAME)
    assert 1 == fleet.secrets.calls["GetSecretValue"]
    fleet.rotate("v2", "two")
    while "two" != cache.get_secret_string(NAME):
        fleet.clock.advance(5)
    assert fleet.clock.wall_s - read_s <= 310


def test_a_refused_login_does_not_wait() -> None:
    """The password is wrong now."""
    fleet = Fleet(pace_s=40.0)
    cache = fleet.process(0.999)
    fleet.rotate("v2", "two")
    fleet.clock.advance(5)
    assert "one" == cache.get_secret_string(NAME)
    tried: list[str] = []

    def connect(version: object) -> None:
        tried.append(version.text())  # type: ignore[attr-defined] # any version
        if tried[-1] == "one":
            raise PermissionError

    cache.login(NAME, connect, is_refused=lambda error: isinstance(error, PermissionError))
    assert ["one", "two"] == tried


def test_the_bound_has_the_pace_in_it() -> None:
    """What `status()` says is never better than the truth."""
    bounds = [Fleet(pace_s).process(0.5).status().secrets[0].bound_s for pace_s in (0.0, 40.0)]
    assert 40.0 == bounds[1] - bounds[0]
