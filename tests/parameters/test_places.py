"""Parameters of several accounts and Regions in one cache: a place that fails or hangs disturbs no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from keyturn import Limits, Parameter, ParameterUnavailableError, Peers, SecretCache
from keyturn.model.names import Arn, Place
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeParameterStore

INTERVAL_S = 5
NAME = "/app/host"
HOME = Place("aws", "us-east-1", "111122223333")
ABROAD = Place("aws", "eu-west-1", "111122223333")
CENTRAL = Place("aws", "us-east-1", "444455556666")
PLACES = (HOME, ABROAD, CENTRAL)


class Site:
    """One account and Region: the parameter at version 1, and the marker table. Reads can hang."""

    def __init__(self, place: Place, clock: FakeClock) -> None:
        any_arn = Arn(place.partition, "ssm", place.region, place.account, "parameter/")
        self.store = FakeParameterStore(clock, any_arn=any_arn)
        self.table = FakeMarkers(clock)
        self.arn = self.store.arn(NAME)
        self.answers = threading.Event()
        self.answers.set()
        self.put("1")

    def put(self, value: str) -> None:
        """A new version, and the event about it."""
        number = self.store.put(NAME, value)
        self.table.set(self.arn, self.arn, {"AWSCURRENT": str(number)})
        self.table.sweep()


class Elsewhere:
    """Three sites, which are one source of parameters by their ARNs."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.sites = {place: Site(place, self.clock) for place in PLACES}
        self.arns = [site.arn for site in self.sites.values()]

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        return self._at(secret_id).source().read(secret_id, stage=stage, version_id=version_id)

    def read_many(self, names: Sequence[str]) -> dict[str, Parameter]:
        (place,) = {Place.of(name) for name in names}
        assert place is not None
        return self._at(names[0]).source().read_many(names)

    def read_path(self, path: str, *, recursive: bool) -> Iterator[Parameter]:
        return self.sites[HOME].store.source().read_path(path, recursive=recursive)

    def _at(self, arn: str) -> FakeParameterStore:
        site = next(site for site in self.sites.values() if site.arn == arn)
        site.answers.wait(60)
        return site.store

    def held(self) -> SecretCache:
        """A cache that holds the parameter of every site, and has looked at each table once."""
        tables = {
            f"arn:aws:dynamodb:{place.region}:{place.account}:table/keyturn-markers": site.table
            for place, site in self.sites.items()
        }
        peers = Peers(parameter_source=lambda _: self, markers=tables, clock=self.clock, random=lambda: 0.999)
        cache = SecretCache(limits=Limits(refresh_wait_s=0.2), peers=peers)
        cache.get_parameters(self.arns)
        self.clock.advance(INTERVAL_S)
        cache.get_parameters(self.arns)
        return cache


@pytest.fixture
def elsewhere() -> Elsewhere:
    """Three sites, of two accounts and two Regions."""
    return Elsewhere()


def values(cache: SecretCache, elsewhere: Elsewhere) -> list[str]:
    """What is served of each site."""
    return [cache.get_parameter(arn).value for arn in elsewhere.arns]


def test_a_change_in_any_place_is_served_within_one_interval(elsewhere: Elsewhere) -> None:
    """Each is covered by the table of its own place, so that nothing is read where nothing changed."""
    cache = elsewhere.held()
    calls = {place: dict(site.store.calls) for place, site in elsewhere.sites.items()}
    elsewhere.sites[CENTRAL].put("2")
    elsewhere.clock.advance(INTERVAL_S)
    assert ["1", "1", "2"] == values(cache, elsewhere)
    assert [True] * 3 == [one.covered for one in cache.status().parameters]
    for place in (HOME, ABROAD):
        assert calls[place] == elsewhere.sites[place].store.calls


def test_many_are_read_by_one_request_to_each_place(elsewhere: Elsewhere) -> None:
    """In the order in which they were asked for."""
    assert elsewhere.arns == list(elsewhere.held().get_parameters(reversed(elsewhere.arns)))[::-1]
    for site in elsewhere.sites.values():
        assert {"GetParameters": 1} == site.store.calls


def test_a_place_that_fails_is_no_failure_of_the_others(elsewhere: Elsewhere) -> None:
    """Those of other places are read and held, though the batch has an error."""
    elsewhere.sites[ABROAD].store.fail = lambda name: ParameterUnavailableError(name, "down")
    with pytest.raises(ParameterUnavailableError, match="eu-west-1"):
        elsewhere.held()
    for place in (HOME, CENTRAL):
        assert {"GetParameters": 1} == elsewhere.sites[place].store.calls


def test_a_place_that_hangs_keeps_no_other_from_being_read(elsewhere: Elsewhere) -> None:
    """Changes elsewhere are followed at once; `status()` says where Parameter Store rests."""
    cache = elsewhere.held()
    elsewhere.sites[ABROAD].answers.clear()
    try:
        for number in range(2, 6):
            for site in elsewhere.sites.values():
                site.put(str(number))
            elsewhere.clock.advance(INTERVAL_S)
            assert [str(number), "1", str(number)] == values(cache, elsewhere)
        resting = [one.service for one in cache.status().resting]
        assert ["Parameter Store in eu-west-1 of 111122223333"] == resting
    finally:
        elsewhere.sites[ABROAD].answers.set()
