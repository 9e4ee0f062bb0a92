"""The sweep of parameters: it puts their versions into their markers, and never against a newer event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from moto import mock_aws

from keyturn.aws.catalog import ParameterListing
from keyturn.errors import UnavailableError
from keyturn.markers.decisions import ParameterHint
from keyturn.markers.sweeper import Swept
from keyturn.model.markers import Marker
from keyturn.model.versions import AWSCURRENT, Described
from tests.listener.conftest import World

KEY = "arn:aws:ssm:us-east-1:111122223333:parameter/prod/db"
LONG_AGO_S = 1000.0


@dataclass
class Listed:
    """What DescribeParameters shows: versions by ARN."""

    versions: dict[str, str] = field(default_factory=dict)
    fails: bool = False

    def list(self) -> Iterator[Described]:
        if self.fails:
            raise UnavailableError("*", "throttled")
        for arn, version in self.versions.items():
            yield Described(arn, arn.partition("parameter")[2], {AWSCURRENT: version})


def sweep(world: World, listed: Listed | None, *, after_s: float = LONG_AGO_S) -> Swept:
    """One sweep, so long after whatever was before."""
    world.clock.advance(after_s)
    return world.sweeper(parameters=listed).run(lambda: False)


def marker(world: World) -> Marker:
    """The parameter's marker, which is there."""
    found = world.table.look(KEY).marker
    assert found is not None
    return found


def event(world: World, number: int) -> None:
    """An event about the parameter, now."""
    world.recorder.record_parameter(ParameterHint(KEY, f"event-{number}"))


def test_a_parameter_without_a_marker_gets_one(world: World) -> None:
    """It says the version, and was no lost event."""
    swept = sweep(world, Listed({KEY: "3"}))
    assert {AWSCURRENT: "3"} == marker(world).stages
    assert Swept(listed=2, first=2, renewed=True) == swept
    assert Swept(listed=2, renewed=True) == sweep(world, Listed({KEY: "3"}))


def test_an_event_takes_the_version_away_and_the_sweep_gives_it_back(world: World) -> None:
    """The token stays, so that a doubled event is known; an event that arrived is no lost one."""
    sweep(world, Listed({KEY: "3"}))
    event(world, 1)
    assert {} == marker(world).stages
    swept = sweep(world, Listed({KEY: "4"}))
    assert ({AWSCURRENT: "4"}, "event-1") == (marker(world).stages, marker(world).token)
    assert (1, 0) == (swept.corrected, swept.found_by_sweep)
    sequence = marker(world).sequence
    event(world, 1)
    assert sequence == marker(world).sequence


def test_a_list_that_may_be_older_than_the_event_is_not_believed(world: World) -> None:
    """A marker that an event changed within the lag of a list is left to the next sweep."""
    sweep(world, Listed({KEY: "3"}), after_s=0)
    event(world, 1)
    sweep(world, Listed({KEY: "3"}), after_s=299)
    assert {} == marker(world).stages
    sweep(world, Listed({KEY: "4"}), after_s=301)
    assert {AWSCURRENT: "4"} == marker(world).stages


def test_a_lost_event_is_found_and_counted(world: World) -> None:
    """Another version than in the marker, and no event has told of it."""
    sweep(world, Listed({KEY: "3"}), after_s=0)
    swept = sweep(world, Listed({KEY: "4"}))
    assert {AWSCURRENT: "4"} == marker(world).stages
    assert (1, 1) == (swept.corrected, swept.found_by_sweep)


@pytest.mark.parametrize("listed", [Listed(), None])
def test_what_is_not_listed_covers_nothing(world: World, listed: Listed | None) -> None:
    """A parameter that is gone, and all of them where the sweep does not list any: no version is left."""
    sweep(world, Listed({KEY: "3"}), after_s=0)
    sweep(world, listed)
    assert {} == marker(world).stages


def test_a_sweep_that_cannot_list_parameters_renews_no_lease(world: World) -> None:
    """Else their markers would go on covering."""
    sweep(world, Listed({KEY: "3"}), after_s=0)
    before = world.table.read_head()
    with pytest.raises(UnavailableError):
        sweep(world, Listed(fails=True))
    after = world.table.read_head()
    assert before is not None
    assert after is not None
    assert before.swept_as_of_s == after.swept_as_of_s


@pytest.mark.proof
def test_a_sweep_that_runs_out_of_time_goes_on_at_the_next(world: World) -> None:
    """What is written stays, the lease is not renewed, and the next sweep writes the rest."""
    arns = [f"{KEY}/{number:03}" for number in range(110)]
    listed = Listed(dict.fromkeys(arns, "1"))
    world.clock.advance(LONG_AGO_S)
    swept = world.sweeper(parameters=listed).run(lambda: world.table.look(arns[0]).marker is not None)
    assert (99, False, False) == (swept.first - 1, swept.in_time, swept.renewed)
    rest = sweep(world, listed)
    assert (11, True, True) == (rest.first, rest.in_time, rest.renewed)


def test_an_event_during_the_sweep_wins(world: World) -> None:
    """The write is refused, the other parameters are written, and the event's marker stays as it is."""
    other = f"{KEY}2"
    sweep(world, Listed({KEY: "3", other: "1"}), after_s=0)

    class Busy(Listed):
        def list(self) -> Iterator[Described]:
            event(world, 7)
            yield from super().list()

    swept = sweep(world, Busy({KEY: "4", other: "2"}))
    assert ({}, "event-7") == (marker(world).stages, marker(world).token)
    assert (1, 1) == (swept.corrected, swept.found_by_sweep)


def test_only_what_is_wanted_is_listed_page_by_page() -> None:
    """DescribeParameters with the prefixes; without an ARN in the answer (moto's has none) no marker."""
    with mock_aws():
        client = boto3.client("ssm", region_name="us-east-1")
        for number in range(60):
            client.put_parameter(Name=f"/prod/{number}", Value="x", Type="String")
        client.put_parameter(Name="/other", Value="x", Type="String")
        asked: list[dict[str, object]] = []

        def describe_parameters(**request: object) -> dict[str, object]:
            asked.append(request)
            answer: dict[str, object] = dict(client.describe_parameters(**request))  # type: ignore[arg-type]
            entries = answer["Parameters"]
            assert isinstance(entries, list)
            return {**answer, "Parameters": [{**one, "ARN": f"arn:{one['Name']}"} for one in entries]}

        class Client:
            pass

        stub = Client()
        stub.describe_parameters = describe_parameters  # type: ignore[attr-defined]
        found = list(ParameterListing(stub, ["/prod/"]).list())  # type: ignore[arg-type]
        assert [] == list(ParameterListing(client, ["/prod/"]).list())
    assert {f"/prod/{number}" for number in range(60)} == {one.name for one in found}
    assert {"1"} == {one.stages[AWSCURRENT] for one in found}
    assert len(asked) > 1
    assert all(one["MaxResults"] == 50 for one in asked)


def test_the_next_sweep_corrects_what_a_late_list_said(world: World) -> None:
    """Only events make a sweep hold back, not what the sweep before it wrote."""
    sweep(world, Listed({KEY: "3"}), after_s=0)
    sweep(world, Listed({KEY: "4"}), after_s=240)
    assert {AWSCURRENT: "4"} == marker(world).stages


def test_a_forged_marker_is_put_right(world: World) -> None:
    """A parameter's marker names the parameter itself, whatever somebody wrote into it."""
    sweep(world, Listed({KEY: "3"}), after_s=0)
    seen = world.table.look(KEY)
    assert seen.marker is not None
    world.table.write([(seen, seen.marker._replace(arn=f"{KEY}-forged"))])
    sweep(world, Listed({KEY: "3"}))
    assert KEY == marker(world).arn
