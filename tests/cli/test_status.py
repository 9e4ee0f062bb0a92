"""`keyturn status`: what it shows of the table, and that it finds what differs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import cast

import pytest

from keyturn.cache.limits import DEFAULTS
from keyturn.cli.account import Account
from keyturn.cli.status.looking import of_all
from keyturn.cli.status.overview import EVENTS_MAX, Overview, Verdict, compared
from keyturn.cli.status.shown import head_line
from keyturn.errors import AccessDeniedError
from keyturn.markers.table import MarkerTable
from keyturn.model.markers import Head, Marker
from keyturn.model.names import name_in
from keyturn.model.protocols import Catalog
from keyturn.model.versions import Described
from tests.cli.conftest import TABLE, World

KEY = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db"
MARKER = Marker(KEY, KEY + "-AbCdEf", {"AWSCURRENT": "v1"})
TRUTH = Described(KEY + "-AbCdEf", "db", {"AWSCURRENT": "v1"})


def verdicts(answer: Mapping[str, object]) -> list[object]:
    """What each item was found to be."""
    return [one["verdict"] for one in cast("list[dict[str, object]]", answer["secrets"])]


def test_after_a_sweep_all_is_well(world: World) -> None:
    """Exit code 0: the lease holds and the marker agrees; the sweep's word is 5 minutes old by design."""
    world.run("sweep")
    result = world.run("status")
    assert result.exit_code == 0
    assert "complete up to 30" in result.stdout
    assert "none of 1 need attention" in result.stdout
    assert "sweep: first seen" in result.stdout


def test_a_move_that_no_marker_tells_of_is_shown(world: World) -> None:
    """Both version ids stand side by side, and the exit code is 1."""
    world.run("sweep")
    version_id = world.rotate("prod/db")
    result = world.run("status")
    assert (1, True) == (result.exit_code, version_id in result.stdout)
    assert "differs: the staging labels have moved" in result.stdout
    (secret,) = cast("list[dict[str, dict[str, object]]]", world.asked("status", "prod/db")["secrets"])
    current = cast("dict[str, object]", secret["stages"]["AWSCURRENT"])
    assert (version_id, True) == (current["secrets_manager"], current["differs"])


def test_an_empty_table_is_not_well(world: World) -> None:
    """Without a head nothing is covered, and a named secret has no marker."""
    assert world.run("status").exit_code == 1
    answer = world.asked("status", "prod/db")
    assert (False, None, ["no marker"]) == (answer["well"], answer["head"], verdicts(answer))


def test_a_broken_item_is_named(world: World) -> None:
    """An item that readers take for none is not hidden."""
    world.run("sweep")
    world.dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": KEY}, "schema": {"N": "9"}})
    assert set(verdicts(world.asked("status"))) == {"agrees", "no usable marker"}


def test_a_parameter_is_not_compared(world: World) -> None:
    """Its marker says that it changed, not to what."""
    key = "arn:aws:ssm:eu-west-1:111122223333:parameter/p"
    table = Account(TABLE, "eu-west-1").markers()
    table.write([(table.look(key), Marker(key, key, {}, token="event"))])
    assert verdicts(world.asked("status")) == ["not compared"]


class DenyingCatalog:
    """A role without secretsmanager:DescribeSecret."""

    def describe(self, secret_id: str) -> Described:
        raise AccessDeniedError(secret_id)

    def list(self) -> Iterator[Described]:
        raise AccessDeniedError("*")


def test_what_may_not_be_described_is_said_so(world: World) -> None:
    """One denied secret does not hide the others; the action to allow is named."""
    world.run("sweep")
    account = Account(TABLE, "eu-west-1")
    (found,) = of_all(account.markers(), DenyingCatalog())
    assert (Verdict.UNKNOWN, True) == (found.verdict, "allow secretsmanager:DescribeSecret" in found.why)


class MeetingCatalog:
    """Answers DescribeSecret only once two calls are under way."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._meeting = threading.Barrier(2, timeout=5.0)

    def describe(self, secret_id: str) -> Described:
        self._meeting.wait()
        return self._catalog.describe(secret_id)

    def list(self) -> Iterator[Described]:
        return iter(self._catalog.list())


def test_secrets_are_described_side_by_side(world: World) -> None:
    """One after the other, the 10,000 secrets of an account take minutes. The order is that of the keys."""
    for name in ("prod/c", "prod/a", "prod/b"):
        world.create(name)
    world.run("sweep")
    account = Account(TABLE, "eu-west-1")
    found = list(of_all(account.markers(), MeetingCatalog(account.catalog())))
    assert {Verdict.AGREES} == {one.verdict for one in found}
    assert ["prod/a", "prod/b", "prod/c", "prod/db"] == [name_in(one.key) for one in found]


def test_what_a_marker_says_cannot_steer_the_terminal(world: World) -> None:
    """Whoever may write the table chooses a reason: neither escapes nor markup reach the terminal."""
    world.run("sweep")
    key = f"{next(iter(world.secrets.list_secrets()['SecretList']))['ARN'][:-7]}"
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": key}},
        UpdateExpression="SET reason = :reason",
        ExpressionAttributeValues={":reason": {"S": "\x1b[2J[bold]x[/nope]"}},
    )
    result = world.run("status")
    assert (0, False) == (result.exit_code, "\x1b" in result.stdout)
    assert "[2J[bold]x[/nope]" in result.stdout


@pytest.mark.parametrize(
    ("described", "verdict", "why"),
    [
        (TRUTH, Verdict.AGREES, ""),
        (None, Verdict.DIFFERS, "there is no such secret"),
        (
            TRUTH._replace(arn=KEY + "-FeDcBa"),
            Verdict.DIFFERS,
            "the secret was re-created and has another ARN",
        ),
        (TRUTH._replace(deleted=True), Verdict.DIFFERS, "the secret is scheduled for deletion"),
        (TRUTH._replace(stages={"AWSCURRENT": "v2"}), Verdict.DIFFERS, "the staging labels have moved"),
    ],
)
def test_each_difference_has_its_words(described: Described | None, verdict: Verdict, why: str) -> None:
    """What differs is said, not only that it does."""
    found = compared(KEY, MARKER, described)
    assert (verdict, why) == (found.verdict, found.why)


def test_restored_is_a_difference() -> None:
    """A marker that says deleted of a secret that is there again."""
    assert compared(KEY, MARKER._replace(deleted=True), TRUTH).why == "the secret was restored"


@pytest.mark.parametrize(
    ("age_s", "well", "says"),
    [
        (300.0, True, "complete up to 300 s"),
        (DEFAULTS.lease_s, False, "no marker counts"),
        (None, False, "never"),
    ],
)
def test_the_lease_is_judged_by_the_tables_clock(*, age_s: float | None, well: bool, says: str) -> None:
    """Age is the answer's Date minus the sweep's word; at the lease's end all is uncovered."""
    swept = 10_000.0 - age_s if age_s is not None else None
    overview = Overview(Head("e", 1, swept, 10_000.0), ())
    assert (well, True) == (overview.is_well, says in head_line(overview))


def test_the_last_changes_are_few_and_in_order() -> None:
    """The latest first, and no more than fit a screen."""
    markers = [MARKER._replace(changed_at_s=float(at)) for at in range(EVENTS_MAX + 5)]
    found = Overview(None, [compared(KEY, marker, TRUTH) for marker in markers]).events
    assert [float(at) for at in reversed(range(5, EVENTS_MAX + 5))] == [one.changed_at_s for one in found]


def test_a_secret_that_does_not_exist_is_a_row(world: World) -> None:
    """Exit code 1, and the other secrets that were asked for are shown."""
    result = world.run("status", "nope", "prod/db", "--json")
    told = {one["key"]: one["verdict"] for one in json.loads(result.stdout)["secrets"]}
    assert (1, "no such secret") == (result.exit_code, told.pop("nope"))
    assert 1 == len(told)
    assert "prod/db" in world.run("status", "nope", "prod/db").stdout


def test_every_copy_of_the_head_is_shown(world: World) -> None:
    """As text and as JSON; one that lost its lease makes the table unwell, and is named."""
    account = Account(TABLE, "eu-west-1")
    world.run("sweep")
    client, table = world.dynamodb, account.markers()
    MarkerTable(client, TABLE, copies=3, pace_s=2.0).renew(table.now_s() - 200)
    result = world.run("status")
    assert (0, True) == (result.exit_code, "Copies: 3 heads, the others complete up to 20" in result.stdout)
    copies = cast("list[dict[str, object]]", world.asked("status")["copies"])
    assert [("head#1", True), ("head#2", True)] == [(one["key"], one["lease"]) for one in copies]
    client.delete_item(TableName=TABLE, Key={"pk": {"S": "head#2"}})
    result = world.run("status")
    assert (1, True) == (result.exit_code, "3 heads, but head#2 not swept" in result.stdout)
    copies = cast("list[dict[str, object]]", world.asked("status")["copies"])
    assert {"key": "head#2", "lease": False} == copies[1]
