"""docs/operations.md: what it says of cost, settings and alarms is what the code and the template say."""

from __future__ import annotations

import re
from typing import cast

import pytest

from benchmarks import push, reports
from benchmarks.cost import ALARMS, METRICS, TELLING, WATCHING
from benchmarks.operations import around, by_changes, checks, nat_gateway, share, table
from tests.templates import read_template
from tools.build_listener import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")


def template() -> dict[str, dict[str, dict[str, object]]]:
    """The template as JSON."""
    return cast("dict[str, dict[str, dict[str, object]]]", read_template(ROOT / "infra" / "template.yaml"))


@pytest.mark.proof
def test_the_cost_table_is_what_is_counted() -> None:
    """Line by line as `python -m benchmarks.operations` prints it."""
    assert "\n".join(table()) in PAGE


def test_the_costs_by_changes_and_of_a_nat_gateway_are_what_is_computed() -> None:
    """As the same command prints them; the largest process costs 4.5 cents at most, 16 copies included."""
    assert "\n".join(by_changes()) in PAGE
    networks = (ROOT / "docs" / "networks.md").read_text("utf-8")
    assert all(f"would cost ${nat_gateway():.3f} a month" in page for page in (PAGE, networks))
    assert share(1_000, 3, 16) <= 0.045


@pytest.mark.proof
def test_what_other_services_bill_is_computed() -> None:
    """As the same command prints it; the record of the checks costs sixteen times what the checks cost."""
    assert "\n".join(around()) in PAGE
    (record,) = (line for line in around() if "data events" in line)
    recorded = float(record.split("|")[3].replace(",", ""))
    assert "sixteen" in PAGE
    assert 15.5 < recorded / (1_000 * checks(5.0)) < 16.5


def test_push_against_polling_is_computed() -> None:
    """As `python -m benchmarks.push` prints it into docs/decisions.md, with the copies of the head."""
    decisions = (ROOT / "docs" / "decisions.md").read_text("utf-8")
    assert "\n".join(push.table()) in decisions
    one, two, three = (push.copies(processes, 5.0) for processes in push.PROCESSES)
    assert f"for each copy: {one}, {two} and {three} copies at 5 s" in decisions
    beside, polled = (50_000 * one for one in (push.connected() + checks(60.0), checks(5.0)))
    assert f"a fifth: ${beside:.0f} instead of ${polled:,.0f}" in " ".join(decisions.split())


@pytest.mark.proof
def test_the_cost_of_reporting_is_what_is_counted() -> None:
    """As `python -m benchmarks.reports` prints it; a rotation is one write of each environment."""
    assert "\n".join(reports.table()) in PAGE
    assert 1 == reports.writes().per_rotation


ALARM_TYPES = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")


def test_what_watches_is_counted() -> None:
    """As many alarms and metrics as the template has by default, and their price; and what a topic adds."""
    every = template()["Resources"].values()
    kinds = [one["Type"] for one in every if "Condition" not in one]
    assert (ALARMS, METRICS) == (
        kinds.count("AWS::CloudWatch::Alarm"),
        kinds.count("AWS::Logs::MetricFilter"),
    )
    assert f"all {ALARMS} alarms and {METRICS} metrics (${WATCHING:.2f}" in PAGE
    added = [str(one["Type"]) for one in every if one.get("Condition") == "HasAlarmTopic"]
    assert list(ALARM_TYPES) == added
    assert f"`AlarmTopicArn` adds two alarms, ${TELLING:.2f}" in PAGE


def test_every_setting_and_alarm_is_explained() -> None:
    """Each parameter of the template and each alarm has its row, and no row is of another."""
    stack = template()
    settings = re.findall(r"^\| (`[A-Z].*?) \| `[a-z0-9_]+` \|", PAGE, re.MULTILINE)
    assert [f"`{name}`" for name in stack["Parameters"]] == ", ".join(settings).split(", ")
    alarms = {name for name, one in stack["Resources"].items() if one["Type"] in ALARM_TYPES}
    told = re.findall(r"^\| (`(?:\w+Alarm|LeaseLost)`(?:, `\w+Alarm`)*) \|", PAGE, re.MULTILINE)
    assert alarms == set(re.findall(r"\w+Alarm|LeaseLost", " ".join(told)))
