"""The counting function: who counts as behind, for how long, and what it logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from keyturn.convergence.counting import Current, Standing, standing
from keyturn.convergence.table import ReportsRead
from keyturn.errors import AccessDeniedError, ConfigurationError, ConvergenceTableError
from keyturn.model.markers import Report
from keyturn.model.names import parameter_key, secret_key
from keyturn.model.versions import Described
from keyturn.testing.fakes import PARAMETERS_ARN, FakeClock, FakeParameterStore, FakeSecretsManager
from rotation_listener import counter
from rotation_listener.counter import counter_of
from rotation_listener.counting import Counter, line_of
from rotation_listener.listener import STACK_VARIABLE

NAME = "prod/db"


@dataclass
class Lagging:
    """A catalog whose list is as it was at some moment, and whose descriptions are true."""

    truth: FakeSecretsManager
    listed: list[Described] = field(default_factory=list)
    denied: bool = False

    def list(self) -> Iterator[Described]:
        yield from self.listed or self.truth.list()

    def describe(self, secret_id: str) -> Described:
        if self.denied:
            raise AccessDeniedError(secret_id)
        return self.truth.describe(secret_id)


@dataclass
class Fleet:
    """One secret at v1, and environments that report what they hold, by one clock."""

    clock: FakeClock = field(default_factory=FakeClock)
    reports: dict[str, Report] = field(default_factory=dict)
    dated: bool = True
    secrets: FakeSecretsManager = field(init=False)
    store: FakeParameterStore = field(init=False)
    catalog: Lagging = field(init=False)
    arn: str = field(init=False)

    def __post_init__(self) -> None:
        self.secrets, self.store = FakeSecretsManager(self.clock), FakeParameterStore(self.clock)
        self.catalog = Lagging(self.secrets)
        self.arn = self.secrets.create(NAME, "one", "v1")

    @property
    def key(self) -> str:
        return secret_key(self.arn, NAME)

    def read(self) -> ReportsRead:
        at_s = self.clock.wall() if self.dated else None
        return ReportsRead(tuple(self.reports.values()), 0, at_s)

    def report(self, environment: str, version_id: str, **others: str) -> None:
        now_s = self.clock.wall()
        self.reports[environment] = Report(environment, {self.key: version_id, **others}, now_s, now_s + 900)

    def count(self) -> Standing:
        return Counter(self, self.catalog, self.store, wall=self.clock.wall).count()


@pytest.fixture
def fleet() -> Fleet:
    """A fleet that reports nothing yet."""
    return Fleet()


def test_a_fleet_that_has_followed_is_at_rest(fleet: Fleet) -> None:
    """All hold AWSCURRENT: nobody is behind, and nothing is described."""
    fleet.report("e1", "v1")
    fleet.report("e2", "v1")
    assert Standing(2, 0, 0.0, ()) == fleet.count()
    assert 0 == fleet.secrets.calls["DescribeSecret"]


def test_one_that_stays_behind_raises_the_figures_until_it_follows(fleet: Fleet) -> None:
    """The time is that since the rotation, whatever the environment reports meanwhile."""
    for name in ("e1", "e2"):
        fleet.report(name, "v1")
    fleet.secrets.put(NAME, "two", "v2")
    fleet.report("e1", "v2")
    for minute in (5, 10, 15, 20):
        fleet.clock.advance(300)
        fleet.report("e1", "v2")
        fleet.report("e2", "v1")
        assert Standing(2, 1, minute * 60.0, (fleet.key,)) == fleet.count()
    fleet.report("e2", "v2")
    assert Standing(2, 0, 0.0, ()) == fleet.count()


def test_one_that_is_gone_is_forgotten_with_its_report(fleet: Fleet) -> None:
    """It held the old version; after the life of its report nobody is behind."""
    fleet.report("e1", "v1")
    fleet.secrets.put(NAME, "two", "v2")
    fleet.clock.advance(899)
    assert 1 == fleet.count().behind
    fleet.clock.advance(1)
    assert Standing(0, 0, 0.0, ()) == fleet.count()


def test_an_old_list_puts_nobody_behind(fleet: Fleet) -> None:
    """ListSecrets may be five minutes old: an environment that is ahead of it is not behind."""
    fleet.catalog.listed = list(fleet.secrets.list())
    fleet.secrets.put(NAME, "two", "v2")
    fleet.report("e1", "v2")
    assert Standing(1, 0, 0.0, ()) == fleet.count()
    assert 1 == fleet.secrets.calls["DescribeSecret"]


def test_a_secret_that_may_not_be_described_is_counted_as_listed(fleet: Fleet) -> None:
    """One denial does not end the count."""
    fleet.report("e1", "v0")
    fleet.catalog.denied = True
    assert 1 == fleet.count().behind


def test_what_this_account_does_not_have_is_passed_over(fleet: Fleet) -> None:
    """Secrets of other accounts, parameters that are not watched, and what is scheduled for deletion."""
    fleet.report("e1", "v1", **{fleet.key.replace(NAME, "other"): "v7"})
    assert Standing(1, 0, 0.0, ()) == fleet.count()
    fleet.report("e1", "v0")
    fleet.secrets.delete(NAME)
    assert Standing(1, 0, 0.0, ()) == fleet.count()


def test_parameters_count_by_their_latest_version(fleet: Fleet) -> None:
    """Where they are watched; an environment counts once, however many secrets it is behind of."""
    for value in ("one", "two"):
        fleet.store.put("/prod/host", value)
    key = parameter_key(PARAMETERS_ARN, "/prod/host")
    fleet.report("e1", "v0", **{key: "1"})
    fleet.report("e2", "v1", **{key: "2"})
    found = fleet.count()
    assert (2, 1, {fleet.key, key}) == (found.environments, found.behind, set(found.secrets_behind))


def test_the_tables_clock_counts_and_this_hosts_only_without_it(fleet: Fleet) -> None:
    """A function whose clock is wrong does not bury a fleet."""
    fleet.report("e1", "v1")
    assert 1 == Counter(fleet, fleet.catalog, wall=lambda: 10_000_000_000.0).count().environments
    fleet.dated = False
    assert 0 == Counter(fleet, fleet.catalog, wall=lambda: 10_000_000_000.0).count().environments


def test_the_longest_wait_counts_and_is_named_first() -> None:
    """Of several secrets; one whose age nobody knows waits 0 s, and no wait is negative."""
    reports = [Report("e1", {"a": "1", "b": "1", "c": "1", "d": "1"}, 0.0, 900.0)]
    truth = {
        "a": Current("2", 95.0),
        "b": Current("2", 40.0),
        "c": Current("2", None),
        "d": Current("2", 101.0),
    }
    assert Standing(1, 1, 60.0, ("b", "a", "c", "d")) == standing(reports, truth, 100.0)
    assert Standing(1, 1, 0.0, ("d",)) == standing(reports, {"d": truth["d"]}, 100.0)


def test_the_line_names_some_secrets_and_no_version() -> None:
    """Ten at most, by their names: the log is no place for a list of thousands."""
    keys = tuple(
        f"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/{number}" for number in range(12)
    )
    line = line_of(Standing(3, 2, 61.2345, keys))
    assert ("counted", 3, 2, 61.234) == tuple(
        line[name] for name in ("outcome", "environments", "behind", "oldest_behind_s")
    )
    assert [f"prod/{number}" for number in range(10)] == line["secrets_behind"]


class Broken:
    """A table that nobody may read."""

    def count(self) -> Standing:
        raise ConvergenceTableError("fleet", "denied")


def test_a_count_that_fails_is_logged_and_raised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the reason and without any figure, so that no metric says that all is well."""
    monkeypatch.setattr(counter, "_counter", Broken)
    with pytest.raises(ConvergenceTableError):
        counter.handler({"keyturn": "count"}, None)
    line = json.loads(capsys.readouterr().out)
    assert ("failed", "ConvergenceTableError") == (line["outcome"], line["error"])
    assert not {"environments", "behind", "oldest_behind_s"} & line.keys()


def test_a_count_is_one_line(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it returns, its level, and the stack that it is of."""
    fleet.report("e1", "v1")
    monkeypatch.setattr(counter, "_counter", lambda: Counter(fleet, fleet.catalog, wall=fleet.clock.wall))
    monkeypatch.setenv(STACK_VARIABLE, "keyturn")
    answer = counter.handler({}, None)
    assert {"level": "INFO", "stack": "keyturn", **answer} == json.loads(capsys.readouterr().out)


def test_without_a_table_it_says_so() -> None:
    """At once, with the variable's name."""
    with pytest.raises(ConfigurationError, match="KEYTURN_CONVERGENCE_TABLE"):
        counter_of({})
