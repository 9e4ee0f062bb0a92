"""How reports are counted: who counts, who is behind, and what is said of a secret that nobody reports."""

from __future__ import annotations

import pytest

from keyturn.convergence.counting import (
    ENTRY_BYTES,
    HELD_BYTES_MAX,
    Convergence,
    Current,
    Holders,
    LastReport,
    Standing,
    counted,
    fitting,
    is_due,
    living,
    merged,
    standing,
)
from keyturn.model.instant import Instant
from keyturn.model.markers import Report

DB, API = "arn:…:secret:prod/db", "arn:…:secret:prod/api"
NOW_S = 10_000.0


def report(environment: str, held: dict[str, str], *, at_s: float = 9_900.0, label: str = "orders") -> Report:
    """A report that lasts 900 s."""
    return Report(environment, held, at_s, at_s + 900, label)


def test_all_on_the_current_version_is_complete() -> None:
    """41 of 41."""
    reports = [report(f"e{number}", {DB: "v2"}) for number in range(41)]
    (one,) = counted(reports, {DB: "v2"})
    assert (41, 41, (), True) == (one.on_current, one.environments, one.behind, one.is_complete)


def test_those_behind_are_told_by_version_and_label_with_the_last_report() -> None:
    """An operator sees which functions hold what, and how long ago they said so."""
    reports = [
        report("e1", {DB: "v2"}),
        report("e2", {DB: "v1"}, at_s=9_500, label="billing"),
        report("e3", {DB: "v1"}, at_s=9_400, label="billing"),
        report("e4", {DB: "v1"}, at_s=9_300, label=""),
        report("e5", {DB: "v0"}, at_s=9_200),
    ]
    (one,) = counted(reports, {DB: "v2"})
    assert (1, 5, False) == (one.on_current, one.environments, one.is_complete)
    assert (
        Holders("v1", 3, {"billing": 2, "": 1}, 9_500),
        Holders("v0", 1, {"orders": 1}, 9_200),
    ) == one.behind


def test_an_environment_counts_for_what_it_holds() -> None:
    """One that does not hold a secret is neither on its version nor behind."""
    reports = [report("e1", {DB: "v2", API: "a1"}), report("e2", {API: "a1"}), report("e3", {})]
    api, db = counted(reports, {DB: "v2", API: "a1"})
    assert (2, 1) == (api.environments, db.environments)


def test_a_secret_that_nobody_reports_is_not_complete() -> None:
    """0 of 0 must not end the waiting of a deployment."""
    assert (Convergence(DB, "v2", ()),) == counted([], {DB: "v2"})
    assert not counted([], {DB: "v2"})[0].is_complete


def test_without_the_truth_nobody_is_on_it() -> None:
    """What is reported of a secret that was not described is told, and called neither right nor wrong."""
    (one,) = counted([report("e1", {DB: "v2"})], {})
    assert (None, 0, 1, False) == (one.current, one.on_current, one.environments, one.is_complete)


def test_a_report_past_its_end_does_not_count() -> None:
    """DynamoDB's deletion is some days late."""
    reports = [report("e1", {DB: "v1"}, at_s=9_100), report("e2", {DB: "v1"}, at_s=9_100.5)]
    assert ["e2"] == [one.environment for one in living(reports, NOW_S)]


def test_a_report_from_the_future_does_not_count() -> None:
    """A clock that is minutes fast is forgiven; one that is further off could not sign its calls."""
    reports = [report(f"e{ahead_s}", {}, at_s=NOW_S + ahead_s) for ahead_s in (299, 300, 301)]
    assert ["e299", "e300"] == [one.environment for one in living(reports, NOW_S)]


def test_secrets_stand_in_the_order_of_their_keys_and_versions_by_their_holders() -> None:
    """Of two versions that as many hold the ids decide, so that two looks at one fleet are alike."""
    reports = [report("e1", {DB: "v2", API: "a1"}), report("e2", {DB: "v1"})]
    api, db = counted(reports, {DB: "v2"})
    assert (API, DB) == (api.key, db.key)
    assert ["v1", "v2"] == [version.version_id for version in db.holders]


# Who waits


def test_a_fleet_stands_as_far_as_its_slowest_environment() -> None:
    """Each environment counts once, whatever it is behind with; what is not in the truth is passed over."""
    reports = [
        report("e1", {DB: "v2", API: "a1", "gone": "x"}),
        report("e2", {DB: "v1", API: "a0"}),
        report("e3", {DB: "v1"}),
    ]
    truth = {DB: Current("v2", NOW_S - 30), API: Current("a1", NOW_S - 20), "unused": Current("u", 0.0)}
    assert Standing(3, 2, 30.0, (DB, API)) == standing(reports, truth, NOW_S)
    assert Standing(1, 0, 0.0, ()) == standing(reports[:1], truth, NOW_S)
    assert Standing(0, 0, 0.0, ()) == standing([], truth, NOW_S)


@pytest.mark.parametrize(("since_s", "waits_s"), [(NOW_S - 0.5, 0.5), (NOW_S + 1, 0.0), (None, 0.0)])
def test_a_wait_is_never_below_nothing(since_s: float | None, waits_s: float) -> None:
    """Another host's clock may be ahead, and nobody may know since when the label is there."""
    found = standing([report("e1", {DB: "v1"})], {DB: Current("v2", since_s)}, NOW_S)
    assert Standing(1, 1, waits_s, (DB,)) == found


# What is reported


@pytest.mark.parametrize(
    ("age_s", "moves", "due"),
    [
        (9.9, 8, False),
        (10.0, 8, True),
        (10.0, 7, False),
        (449.9, 7, False),
        (450.0, 7, True),
    ],
)
def test_a_report_is_due_after_a_change_or_half_of_its_life(
    age_s: float,
    moves: int,
    due: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """And not before the pause after the last one is over. The first report is due at once."""
    last = LastReport("e1", 7, Instant(1000.0, 50.0), pause_s=10.0)
    now = Instant(1000.0 + age_s, 50.0 + age_s)
    assert due is is_due(last, moves, now, 450.0)
    assert is_due(None, moves, now, 450.0)


def test_of_two_versions_of_a_parameter_the_earlier_one_is_held() -> None:
    """One cache of the process is behind, so the process is. The numbers count as numbers."""
    parts = [{"a": "9", "b": "2", "c": "3"}, {"a": "10", "b": "1"}, {"a": "11", "d": "7"}]
    assert {"a": "9", "b": "1", "c": "3", "d": "7"} == merged(parts) == merged(reversed(parts))
    assert {} == merged([])


def test_as_much_is_reported_as_fits() -> None:
    """The bytes count, not the characters. What does not fit ends the report, so all begin alike."""
    room = HELD_BYTES_MAX - len("a") - len("v1") - ENTRY_BYTES - len("ü".encode()) - ENTRY_BYTES
    held = {"ü": "x" * room, "a": "v1"}
    assert held == fitting(held)
    assert ["a", "ü"] == list(fitting(held))
    assert {"a": "v1"} == fitting({**held, "ü": "x" * (room + 1), "ÿ": ""})
    assert {"a": "v1"} == fitting({**held, "ü": "x" * room + "é"})
