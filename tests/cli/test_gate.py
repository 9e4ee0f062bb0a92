"""`keyturn status --expect N --wait`: the gate of a pipeline, and what it answers where something fails."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from click.testing import Result

from keyturn.cli.status import command as status
from keyturn.cli.status.fleet import document, fleet_of
from keyturn.cli.status.gate import Gate, waited
from keyturn.cli.status.looking import Look
from keyturn.cli.status.overview import Compared, Overview, compared
from keyturn.cli.status.places import AccountRegion, Visit
from keyturn.cli.status.shown import waiting
from keyturn.convergence.table import ConvergenceTable, ReportsRead
from keyturn.errors import ConfigurationError, KeyturnError, MarkerTableError
from keyturn.model.markers import Head, Marker, Report
from keyturn.model.versions import Described
from keyturn.testing.fakes import FakeClock
from tests.cli.conftest import TABLE, World

FLEET, NOW_S = "fleet", 10_000.0
DB = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db"
ON_DB = compared(
    DB,
    Marker(DB, DB + "-AbCdEf", {"AWSCURRENT": "v2"}),
    Described(DB + "-AbCdEf", "prod/db", {"AWSCURRENT": "v2"}),
)
HEAD = Head("e", 1, NOW_S - 300, NOW_S)


def seen(*versions: str, secrets: tuple[Compared, ...] = (ON_DB,), named: bool = True) -> Look:
    """A look at a well table, and at one environment for each of these versions."""
    reports = tuple(
        Report(f"e{number}", {DB: version}, NOW_S, NOW_S + 900) for number, version in enumerate(versions)
    )
    overview = Overview(HEAD, secrets)
    return Look(overview, fleet_of(ReportsRead(reports, 0, NOW_S), overview, NOW_S, all_secrets=not named))


def failed() -> Visit:
    """A place whose look failed."""
    return Visit(AccountRegion("111122223333", "eu-west-1"), error=MarkerTableError("markers", "throttled"))


def of(*looks: Look) -> list[Visit]:
    """One place for each look."""
    return [Visit(AccountRegion(), look) for look in looks]


@pytest.mark.parametrize(
    ("expected", "versions", "is_open"),
    [
        (1, ("v2",), True),
        (3, ("v2", "v2"), False),
        (3, ("v2", "v2", "v2"), True),
        (2, ("v2", "v2", "v1"), False),
        (1, (), False),
    ],
)
def test_it_opens_when_enough_report_and_all_hold_the_version(
    *, expected: int, versions: tuple[str, ...], is_open: bool
) -> None:
    """A single environment does not open a gate that expects three; one that is behind shuts it."""
    for named in (True, False):
        assert is_open is Gate(expected).is_open(of(seen(*versions, named=named)))


def test_a_named_secret_counts_those_that_hold_it() -> None:
    """Environments that report something else do not stand for those that are expected."""
    reports = tuple(Report(f"e{number}", {DB + "x": "v1"}, NOW_S, NOW_S + 900) for number in range(5))
    fleet = fleet_of(ReportsRead(reports, 0, NOW_S), Overview(HEAD, [ON_DB]), NOW_S, all_secrets=False)
    assert (5, 0) == (fleet.environments, fleet.reporting)


def test_many_places_are_counted_together() -> None:
    """Four in two Regions are four; a failed look at one of them shuts the gate, whatever the other shows."""
    both = of(seen("v2", "v2"), seen("v2", "v2"))
    assert Gate(4).is_open(both)
    assert not Gate(5).is_open(both)
    assert not Gate(1).is_open([*both, failed()])
    assert Gate(4).is_open([*both, Visit(AccountRegion("222233334444", "eu-west-1"))])


def test_a_report_from_a_fast_clock_is_not_younger_than_now() -> None:
    """An age is never negative, in JSON neither."""
    ahead = (Report("e1", {DB: "v2"}, NOW_S + 0.489, NOW_S + 900),)
    fleet = fleet_of(ReportsRead(ahead, 0, NOW_S), Overview(HEAD, [ON_DB]), NOW_S, all_secrets=False)
    told = json.loads(json.dumps(document(fleet)))
    assert 0.0 == told["secrets"][0]["versions"][0]["reported_age_s"]


def test_it_waits_on_after_a_failed_look_until_its_own_end() -> None:
    """A throttle in the middle does not end the waiting; what is told names it."""
    clock, told = FakeClock(), list[object]()
    looks = iter([of(seen("v1")), [failed()], of(seen("v2"))])
    found = waited(
        lambda: next(looks), Gate().is_open, 60.0, clock=clock, sleep=clock.advance, tell=told.append
    )
    assert Gate().is_open(found)
    assert 2 == len(told)


def test_what_keeps_it_shut_is_told_by_place() -> None:
    """A failed look, a table or a copy of its head that no sweep renews, who is behind; not what is well."""
    at = AccountRegion("111122223333", "eu-west-1")
    unswept = Overview(None, (), (None,))
    told = waiting(
        [failed(), Visit(at, Look(unswept, None)), Visit(at, seen("v2", "v1")), Visit(at, seen("v2"))],
        Gate(9),
    )
    where = "111122223333 eu-west-1"
    assert [
        f"{where} the look failed: marker table 'markers': throttled",
        f"{where} no marker counts",
        f"{where} no marker counts for readers of head#1",
        f"{where} prod/db 1 of 2 environments on v2",
        "3 of 9 expected environments report",
    ] == told


def test_what_nobody_can_judge_keeps_nobody_waiting() -> None:
    """A secret of another account, of which no version is known here, is not told of."""
    foreign = Report("e1", {DB: "v2", DB + "x": "v1"}, NOW_S, NOW_S + 900)
    overview = Overview(HEAD, [ON_DB])
    fleet = fleet_of(ReportsRead((foreign,), 0, NOW_S), overview, NOW_S, all_secrets=True)
    visits = of(Look(overview, fleet))
    assert ([], True) == (waiting(visits, Gate()), Gate().is_open(visits))


# The command


class Table:
    """A convergence table that fails at these reads and answers at the others."""

    def __init__(self, inner: ConvergenceTable, fails: Mapping[int, Exception]) -> None:
        self.inner, self.fails, self.reads = inner, fails, 0

    def read(self) -> ReportsRead:
        self.reads += 1
        if self.reads in self.fails:
            raise self.fails[self.reads]
        return self.inner.read()


@pytest.fixture
def fleet(world: World) -> ConvergenceTable:
    """A convergence table with two environments on AWSCURRENT, beside swept markers."""
    world.dynamodb.create_table(
        TableName=FLEET,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    world.run("sweep")
    fleet = ConvergenceTable(world.dynamodb, FLEET)
    answer = world.secrets.get_secret_value(SecretId="prod/db")
    now_s = fleet.read().answered_at_s
    assert now_s is not None
    for name in ("e1", "e2"):
        fleet.write(Report(name, {answer["ARN"][:-7]: answer["VersionId"]}, now_s, now_s + 900))
    return fleet


def gate(world: World, *arguments: str) -> tuple[Result, Mapping[str, object]]:
    """What the gate answers, and its JSON."""
    result = world.run("status", "prod/db", "--convergence-table", FLEET, *arguments, "--json")
    answer: object = json.loads(result.stdout)
    assert isinstance(answer, dict)
    return result, answer


def test_it_passes_only_with_as_many_as_are_expected(world: World, fleet: ConvergenceTable) -> None:
    """Two report: `--expect 2` passes, `--expect 3` does not, and its answer has both numbers."""
    result, answer = gate(world, "--expect", "2", "--wait", "60")
    assert (0, {"open": True, "expected": 2, "environments": 2}) == (result.exit_code, answer["gate"])
    result, answer = gate(world, "--expect", "3")
    assert (1, {"open": False, "expected": 3, "environments": 2}) == (result.exit_code, answer["gate"])
    shown = world.run("status", "prod/db", "--convergence-table", FLEET, "--expect", "3")
    assert (1, True) == (shown.exit_code, "2 of 3 expected environments report" in shown.stdout)


@pytest.fixture
def naps_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of a waiting gate, which pass at once."""
    clock, naps = FakeClock(), list[float]()
    monkeypatch.setattr(status, "SystemClock", lambda: clock)

    def nap(seconds: float) -> None:
        naps.append(seconds)
        clock.advance(seconds)

    monkeypatch.setattr(status, "system_sleep", nap)
    return naps


def test_a_failed_look_does_not_end_it(
    world: World, fleet: ConvergenceTable, naps_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two throttled looks, then one that sees all: exit code 0, and stderr named the failures."""
    throttled = KeyturnError("convergence table 'fleet': throttled")
    table = Table(fleet, {1: throttled, 2: throttled})
    monkeypatch.setattr("keyturn.cli.account.convergence_table", lambda *_: table)
    result, answer = gate(world, "--expect", "2", "--wait", "60")
    assert (0, True, [5.0, 5.0]) == (result.exit_code, answer["well"], naps_s)
    assert 2 == result.stderr.count("the look failed: convergence table 'fleet': throttled")


def test_it_ends_by_its_own_limit_and_answers_in_json(
    world: World, fleet: ConvergenceTable, naps_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table never answers: after the 12 s an error, on stderr and as the one document on stdout."""
    throttled = KeyturnError("convergence table 'fleet': throttled")
    table = Table(fleet, dict.fromkeys(range(10), throttled))
    monkeypatch.setattr("keyturn.cli.account.convergence_table", lambda *_: table)
    result, answer = gate(world, "--wait", "12")
    told = {"kind": "KeyturnError", "message": str(throttled), "exit_code": 3}
    assert (3, {"error": told}, [5.0, 5.0, 2.0]) == (result.exit_code, answer, naps_s)
    assert str(throttled) in result.stderr


def test_a_table_that_a_parameter_names_is_looked_up_within_a_look(
    world: World, fleet: ConvergenceTable, naps_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two failed GetParameter end two looks, not the gate. A name that is known is not asked for again."""
    throttled = MarkerTableError("ssm:/markers", "its name was not read: throttled")
    fails, entered = [throttled, throttled], list[str]()

    def found(*_: object) -> str:
        assert entered, "GetParameter may hang as well: what the command waits for has to be said"
        if fails:
            raise fails.pop()
        return TABLE

    @contextmanager
    def patiently(what: str) -> Iterator[None]:
        entered.append(what)
        yield
        entered.clear()

    monkeypatch.setattr("keyturn.cli.account.named_table", found)
    monkeypatch.setattr(status, "patiently", patiently)
    opened = list[object]()

    def table(*_: object) -> Table:
        opened.append(table)
        return shut

    shut = Table(fleet, {1: KeyturnError("throttled")})
    monkeypatch.setattr("keyturn.cli.account.convergence_table", table)
    result, answer = gate(world, "--expect", "2", "--wait", "60")
    assert 1 == len(opened)
    assert (0, True, [5.0] * 3) == (result.exit_code, answer["well"], naps_s)
    assert 2 == result.stderr.count("the look failed: marker table 'ssm:/markers': its name was not read")


def test_a_parameter_that_is_never_read_ends_it_by_its_own_limit(world: World, naps_s: list[float]) -> None:
    """Looks at 0, 5, 10 and 12 s, then the error of the last as the one document; without --wait at once."""
    named = {"KEYTURN_MARKER_TABLE": "ssm:/not/there", "AWS_DEFAULT_REGION": "eu-west-1"}
    for wait, naps in ((("--wait", "12"), [5.0, 5.0, 2.0]), (("--expect", "1"), [])):
        naps_s.clear()
        result = world.run("status", "--convergence-table", FLEET, *wait, "--json", environment=named)
        error = json.loads(result.stdout)["error"]
        assert (3, "MarkerTableError", naps) == (result.exit_code, error["kind"], naps_s)


def test_what_can_never_work_ends_it_at_once(
    world: World, fleet: ConvergenceTable, naps_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong setting does not become right by waiting."""
    table = Table(fleet, {1: ConfigurationError("no Region")})
    monkeypatch.setattr("keyturn.cli.account.convergence_table", lambda *_: table)
    result, answer = gate(world, "--wait", "60")
    assert (2, []) == (result.exit_code, naps_s)
    assert {"kind": "ConfigurationError", "message": "no Region", "exit_code": 2} == answer["error"]
