"""How reports are counted: who counts, who is behind, and what is said of a secret that nobody reports."""

from __future__ import annotations

from keyturn.convergence.counting import Convergence, Holders, counted, living
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
    reports = [report("e1", {}, at_s=NOW_S + 299), report("e2", {}, at_s=NOW_S + 301)]
    assert ["e1"] == [one.environment for one in living(reports, NOW_S)]
