"""`keyturn status --convergence-table`: how many environments are on AWSCURRENT, and waiting for the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import cast

import boto3
import pytest

from keyturn.aws.faults import Fault, FaultKind
from keyturn.cli.account import Account
from keyturn.cli.doctor.convergence import checks_of
from keyturn.cli.doctor.finding import Level, RefusedCallError, Subject, examined
from keyturn.cli.status.fleet import fleet_of, headline, notes, rows
from keyturn.cli.status.gate import LOOK_EVERY_S, waited
from keyturn.cli.status.overview import Overview, compared
from keyturn.convergence.table import ConvergenceTable, ReportsRead
from keyturn.model.markers import Marker, Report
from keyturn.model.versions import Described
from keyturn.testing.fakes import FakeClock
from tests.cli.conftest import TABLE, World

FLEET = "fleet"
NOW_S = 10_000.0
DB = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db"
TRUTH = Described(DB + "-AbCdEf", "prod/db", {"AWSCURRENT": "v2", "AWSPREVIOUS": "v1"})
MARKER = Marker(DB, DB + "-AbCdEf", {"AWSCURRENT": "v2", "AWSPREVIOUS": "v1"})
ON_DB = Overview(None, [compared(DB, MARKER, TRUTH)])


@pytest.fixture
def fleet(world: World) -> ConvergenceTable:
    """An empty convergence table beside the markers, which are swept."""
    world.dynamodb.create_table(
        TableName=FLEET,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    world.run("sweep")
    return ConvergenceTable(world.dynamodb, FLEET)


def report(fleet: ConvergenceTable, environment: str, held: Mapping[str, str], label: str = "orders") -> None:
    """Report as a process does now, by the table's clock."""
    now_s = fleet.read().answered_at_s
    assert now_s is not None
    fleet.write(Report(environment, held, now_s, now_s + 900, label))


def current(world: World, name: str = "prod/db") -> tuple[str, str]:
    """The marker key of a secret, and the version under AWSCURRENT."""
    answer = world.secrets.get_secret_value(SecretId=name)
    return answer["ARN"][:-7], answer["VersionId"]


def test_it_says_how_many_are_on_the_version(world: World, fleet: ConvergenceTable) -> None:
    """41 of 41, in one line with the version's id."""
    key, version_id = current(world)
    for number in range(41):
        report(fleet, f"e{number}", {key: version_id})
    result = world.run("status", "--convergence-table", FLEET)
    assert 0 == result.exit_code
    assert f"41 of 41 environments on {version_id}" in result.stdout


def test_those_behind_are_shown_and_are_no_fault(world: World, fleet: ConvergenceTable) -> None:
    """Which version, how many, of which kind, how long ago; the exit code is the markers' alone."""
    key, before = current(world)
    report(fleet, "e1", {key: before}, "billing")
    world.rotate("prod/db")
    world.run("announce", "prod/db")
    _, after = current(world)
    report(fleet, "e2", {key: after})
    result = world.run("status", "prod/db", environment={"KEYTURN_CONVERGENCE_TABLE": FLEET})
    assert 0 == result.exit_code
    assert f"1 of 2 environments on {after}" in result.stdout
    assert f"1 behind on {before}" in result.stdout
    assert "billing 1" in result.stdout
    assert "s ago" in result.stdout


def test_json_has_all_of_it(world: World, fleet: ConvergenceTable) -> None:
    """For programs: each version with its environments, labels and last report."""
    key, version_id = current(world)
    report(fleet, "e1", {key: version_id})
    found = cast("dict[str, object]", world.asked("status", "--convergence-table", FLEET)["convergence"])
    (secret,) = cast("list[dict[str, object]]", found.pop("secrets"))
    assert {"on_current": True, "environments": 1, "truncated": 0, "unusable": 0} == found
    (version,) = cast("list[dict[str, object]]", secret.pop("versions"))
    assert {
        "key": key,
        "current": version_id,
        "environments": 1,
        "on_current": 1,
        "complete": True,
    } == secret
    assert (version_id, 1, {"orders": 1}) == (
        version["version_id"],
        version["environments"],
        version["labels"],
    )
    assert "convergence" not in world.asked("status")


def test_waiting_ends_when_all_are_there(world: World, fleet: ConvergenceTable) -> None:
    """At once if they are: exit code 0 and nothing on stderr."""
    key, version_id = current(world)
    report(fleet, "e1", {key: version_id})
    result = world.run("status", "prod/db", "--convergence-table", FLEET, "--wait", "60")
    assert (0, "") == (result.exit_code, result.stderr)


def test_waiting_in_vain_exits_with_1(world: World, fleet: ConvergenceTable) -> None:
    """One that is behind at the end of the time, and a secret that nobody reports, are a no."""
    key, _ = current(world)
    assert 1 == world.run("status", "prod/db", "--convergence-table", FLEET, "--wait", "0").exit_code
    report(fleet, "e1", {key: "another"})
    assert 1 == world.run("status", "--convergence-table", FLEET, "--wait", "0").exit_code


@pytest.mark.parametrize("wait", ["nan", "inf"])
def test_waiting_has_an_end(world: World, fleet: ConvergenceTable, wait: str) -> None:
    """What is no number of seconds would be waited for for ever."""
    result = world.run("status", "prod/db", "--convergence-table", FLEET, "--wait", wait)
    assert 2 == result.exit_code
    assert f"{wait} is not a finite number of seconds" in result.output


def test_waiting_without_the_table_is_a_mistake(world: World) -> None:
    """Nothing could be waited for: exit code 2, and what to add."""
    result = world.run("status", "--wait", "5")
    assert (2, True) == (result.exit_code, "--wait and --expect need --convergence-table" in result.stderr)


def test_an_empty_name_is_no_table(world: World) -> None:
    """As where a variable is empty: nothing is looked at, and a gate says what it needs."""
    result = world.run("status", "--convergence-table=", "--expect", "1")
    assert (2, True) == (result.exit_code, "--wait and --expect need --convergence-table" in result.stderr)
    assert "convergence" not in world.asked("status", "--convergence-table=")


def test_a_table_that_is_not_there_is_one_line(world: World) -> None:
    """Exit code 3, as for any refusal of AWS."""
    result = world.run("status", "--convergence-table", "nothing")
    assert (3, True) == (
        result.exit_code,
        "convergence table 'nothing': there is no such table" in result.stderr,
    )


def test_what_is_reported_cannot_steer_the_terminal(world: World, fleet: ConvergenceTable) -> None:
    """Whoever may report chooses label, key and version id: neither escapes nor markup get through."""
    key, _ = current(world)
    report(fleet, "e1", {key: "\x1b[2J[/nope]", "arn:\x1b[3J": "v"}, "\x1b[4J[bold]")
    for extra in ((), ("--wait", "0")):
        result = world.run("status", "--convergence-table", FLEET, *extra)
        assert "\x1b" not in result.output
        assert "[2J[/nope]" in result.stdout
        assert "[4J[bold]" in result.stdout


# Against what


def reports(*held: Mapping[str, str], left_out: int = 0) -> ReportsRead:
    """One living report for each of these, read at NOW_S."""
    made = (
        Report(f"e{number}", one, NOW_S - 12, NOW_S + 888, "orders", left_out)
        for number, one in enumerate(held)
    )
    return ReportsRead(tuple(made), 0, NOW_S)


def test_the_tables_clock_judges_what_is_over() -> None:
    """This host's own is asked only where the answer had no Date."""
    read = reports({DB: "v2"})
    assert 1 == fleet_of(read, ON_DB, NOW_S + 5000, all_secrets=True).environments
    undated = read._replace(answered_at_s=None)
    assert 0 == fleet_of(undated, ON_DB, NOW_S + 5000, all_secrets=True).environments


def test_only_named_secrets_are_judged_where_some_are_named() -> None:
    """What others hold is not asked about, and those that are named have to be reported."""
    read = reports({DB: "v2", DB + "x": "v1"})
    assert [DB] == [one.key for one in fleet_of(read, ON_DB, NOW_S, all_secrets=False).secrets]
    every = fleet_of(read, ON_DB, NOW_S, all_secrets=True)
    assert [DB, DB + "x"] == [one.key for one in every.secrets]
    assert every.is_on_current
    nobody = fleet_of(reports({}), ON_DB, NOW_S, all_secrets=False)
    assert ["no environment reports it; AWSCURRENT is v2"] == [headline(one) for one in nobody.secrets]
    assert not nobody.is_on_current


def test_a_fleet_that_reports_nothing_is_not_on_current() -> None:
    """Else a role that may not report would end every waiting at once."""
    silent = fleet_of(reports(), ON_DB, NOW_S, all_secrets=True)
    assert not silent.is_on_current
    assert ["No environment reports"] == [note[:22] for note in notes(silent)]


def test_a_parameter_is_judged_by_what_the_sweep_has_listed() -> None:
    """And not at all where it lists none."""
    key = "arn:aws:ssm:eu-west-1:111122223333:parameter/p"
    swept = Overview(None, [compared(key, Marker(key, key, {"AWSCURRENT": "7"}, token="t"), None)])
    unswept = Overview(None, [compared(key, Marker(key, key, {}, token="t"), None)])
    read = reports({key: "7"}, {key: "6"})
    (one,) = fleet_of(read, swept, NOW_S, all_secrets=True).secrets
    assert "1 of 2 environments on 7" == headline(one)
    (one,) = fleet_of(read, unswept, NOW_S, all_secrets=True).secrets
    assert "not compared: 1 on 6, 1 on 7" == headline(one)


def test_rows_tell_the_kinds_with_the_most_first() -> None:
    """A kind without a name is called so."""
    read = ReportsRead(
        tuple(
            Report(f"e{number}", {DB: "v1"}, NOW_S - number, NOW_S + 1, label)
            for number, label in enumerate(("b", "", "b", "a"))
        ),
        2,
        NOW_S,
    )
    fleet = fleet_of(read, ON_DB, NOW_S, all_secrets=True)
    assert [
        ("prod/db", "0 of 4 environments on v2", "", ""),
        ("", "4 behind on v1", "b 2, no label 1, a 1", "0 s ago"),
    ] == list(rows(fleet))
    assert ["Items of the table that are not reports: 2."] == list(notes(fleet))
    cut = fleet_of(reports({DB: "v2"}, left_out=3), ON_DB, NOW_S, all_secrets=True)
    assert ["Environments with more secrets than fit a report: 1"] == [
        note.partition(";")[0] for note in notes(cut)
    ]


# Waiting


def looks(*seen: int) -> Iterator[int]:
    """What one look after the other sees."""
    return iter(seen)


@pytest.mark.parametrize(
    ("wait_s", "seen", "last", "told", "slept_s"),
    [
        (60.0, (1, 2, 3, 0), 0, [1, 2, 3], 15.0),
        (12.0, (1, 2, 3, 4, 0), 4, [1, 2, 3], 12.0),
        (0.0, (1, 0), 1, [], 0.0),
    ],
)
def test_it_looks_every_5_s_until_the_time_is_over(
    wait_s: float, seen: tuple[int, ...], last: int, told: list[int], slept_s: float
) -> None:
    """The last look is at the end of the time, not before; each but the last is told of."""
    clock, said, left = FakeClock(), list[int](), looks(*seen)
    begun_s = clock.monotonic()
    found = waited(
        lambda: next(left),
        lambda one: one == 0,
        wait_s,
        clock=clock,
        sleep=clock.advance,
        tell=said.append,
    )
    assert (last, told) == (found, said)
    assert begun_s + slept_s == clock.monotonic()
    assert LOOK_EVERY_S == 5.0


# The doctor


def levels(world: World) -> dict[str, tuple[str, str]]:
    """The doctor's findings about the table, with their fixes."""
    result = world.run("doctor", "--convergence-table", FLEET, "--json")
    findings = json.loads(result.stdout)["findings"]
    return {
        one["check"]: (one["level"], one["what"] + one["fix"])
        for one in findings
        if one["check"] in ("convergence", "report", "count")
    }


def test_the_doctor_looks_at_the_table(world: World, fleet: ConvergenceTable) -> None:
    """Missing, without Time to Live, and all well: it writes nothing to find out."""
    found = levels(world)
    assert ("wrong", True) == (found["convergence"][0], "Time to Live is not on" in found["convergence"][1])
    boto3.client("dynamodb", "eu-west-1").update_time_to_live(
        TableName=FLEET, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at_s"}
    )
    assert {"convergence": "ok", "report": "ok", "count": "ok"} == {
        check: level for check, (level, _) in levels(world).items()
    }
    assert ((), 0) == fleet.read()[:2]
    world.dynamodb.delete_table(TableName=FLEET)
    found = levels(world)
    assert ("wrong", True) == (found["convergence"][0], "Convergence=true" in found["convergence"][1])
    assert {"unknown"} == {found["report"][0], found["count"][0]}


class Denying:
    """A role that may describe the table, and neither write nor read it."""

    def call(self, service: str, operation: str, **_: object) -> Mapping[str, object]:
        if operation in ("PutItem", "Scan"):
            fault = Fault(FaultKind.DENIED, "AccessDeniedException", "not authorized", 400)
            raise RefusedCallError(f"{service}:{operation}", fault)
        raise AssertionError(operation)


def test_the_doctor_names_the_right_that_is_missing() -> None:
    """A reader that cannot report is wrong; who cannot count only knows less."""
    subject = Subject(Denying(), TABLE, "eu-west-1", FakeClock().wall)
    checks = checks_of(FLEET)
    report, count = (examined(name, checks[name], subject) for name in ("report", "count"))
    assert (Level.WRONG, "this role may not call dynamodb:PutItem") == (report.level, report.what)
    assert "keyturn policy reader" in report.fix
    assert (Level.UNKNOWN, "this role may not call dynamodb:Scan") == (count.level, count.what)


@pytest.mark.parametrize("given", [(), ("--convergence-table=",)])
def test_the_doctor_does_not_look_where_no_table_is_named(world: World, given: tuple[str, ...]) -> None:
    """It is optional, so there is nothing to complain of. An empty name is none."""
    findings = json.loads(world.run("doctor", "--json", *given).stdout)["findings"]
    assert not {"convergence", "report", "count"}.intersection(one["check"] for one in findings)


def test_a_table_of_another_shape_is_found(world: World) -> None:
    """The marker table is none either: it has no Time to Live."""
    result = world.run("doctor", "--convergence-table", TABLE, "--json")
    findings = {one["check"]: one for one in json.loads(result.stdout)["findings"]}
    assert "Time to Live is not on" in findings["convergence"]["what"]


def test_the_reader_is_an_account_of_its_own_region() -> None:
    """The table is looked for where the account is."""
    assert "ConvergenceTable('fleet')" == repr(Account(TABLE, "eu-west-1").reports(FLEET))
