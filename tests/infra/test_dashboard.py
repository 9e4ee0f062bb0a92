"""The dashboard shows metrics that keyturn and its stack emit, and is the same in template and module."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import cast

import pytest

from keyturn.convergence.counting import Standing
from keyturn.metrics.emf import EmfMetrics
from keyturn.metrics.hook import Metric
from keyturn.model.names import secret_key
from keyturn.model.protocols import SweptTable
from keyturn.testing.fakes import FakeMarkers, FakeSecretsManager
from rotation_listener.counting import line_of
from rotation_listener.listener import Listener, Settings
from tests.hosts import host_of
from tests.listener.test_events import at
from tests.templates import read_template
from tools.build_listener import ROOT
from tools.stack_dashboard import main

OF_AWS: Mapping[str, tuple[str, frozenset[str]]] = {
    "AWS/Lambda": (
        "AWS::Lambda::Function",
        frozenset({"Invocations", "Errors", "Throttles", "AsyncEventAge", "AsyncEventsDropped"}),
    ),
    "AWS/SQS": ("AWS::SQS::Queue", frozenset({"ApproximateNumberOfMessagesVisible"})),
    "AWS/DynamoDB": (
        "AWS::DynamoDB::Table",
        frozenset(
            {
                "ConsumedReadCapacityUnits",
                "ConsumedWriteCapacityUnits",
                "ReadThrottleEvents",
                "WriteThrottleEvents",
            }
        ),
    ),
}
"""Namespace -> what the dimension names, and the metrics by the services' pages on CloudWatch.

DynamoDB has the throttle events of a table by TableName alone; Lambda has its metrics by FunctionName.
"""

DIMENSIONS = {"AWS/Lambda": "FunctionName", "AWS/SQS": "QueueName", "AWS/DynamoDB": "TableName"}
NAMESPACE = "keyturn"
STACK = ("Stack", "${AWS::StackName}")


@pytest.fixture(scope="module")
def template() -> object:
    """The template as JSON."""
    return read_template(ROOT / "infra" / "template.yaml")


@pytest.fixture(scope="module")
def widgets(template: object) -> list[Mapping[str, object]]:
    """The widgets, with the template's names in them."""
    text = str(at(template, "Resources.Overview.Properties.DashboardBody.Fn::Sub"))
    body = json.loads(text.replace('"value":${BehindSeconds}', '"value":1800'))
    return cast("list[Mapping[str, object]]", body["widgets"])


def shown(widgets: list[Mapping[str, object]]) -> Iterator[list[object]]:
    """Each line of each widget with metrics."""
    for widget in widgets:
        if widget["type"] == "metric":
            yield from cast("list[list[object]]", at(widget, "properties.metrics"))


def test_template_and_module_are_as_they_are_made(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m tools.stack_dashboard` would change neither."""
    assert (0, "") == (main(["--check"]), capsys.readouterr().out)


def test_the_metrics_of_aws_are_of_the_stacks_resources(
    widgets: list[Mapping[str, object]], template: object
) -> None:
    """By the dimension of each service, and the name of a resource of that kind."""
    found = 0
    for namespace, name, *more in (line for line in shown(widgets) if str(line[0]).startswith("AWS/")):
        kind, names = OF_AWS[str(namespace)]
        dimension, value = str(more[0]), str(more[1])
        resource = value.removeprefix("${").partition(".")[0].removesuffix("}")
        assert (name in names, dimension) == (True, DIMENSIONS[str(namespace)])
        assert kind == at(template, f"Resources.{resource}.Type")
        found += 1
    assert found >= 9


def test_the_stacks_own_metrics_are_those_of_its_filters(
    widgets: list[Mapping[str, object]], template: object
) -> None:
    """Each filter's metric is shown, none besides, in the filters' namespace and by the stack's name."""
    every = cast("Mapping[str, Mapping[str, object]]", at(template, "Resources"))
    filters = [one["Properties"] for one in every.values() if one["Type"] == "AWS::Logs::MetricFilter"]
    emitted = {
        (at(one, "MetricTransformations[0].MetricNamespace"), at(one, "MetricTransformations[0].MetricName"))
        for one in filters
    }
    assert all(
        [{"Key": "Stack", "Value": "$.stack"}] == at(one, "MetricTransformations[0].Dimensions")
        for one in filters
    )
    lines = {tuple(line) for line in shown(widgets) if line[0] == NAMESPACE}
    assert lines == {(*one, *STACK) for one in emitted}


def test_the_readers_metrics_are_those_that_the_hook_writes(widgets: list[Mapping[str, object]]) -> None:
    """Namespace, dimension and name of each search are in the lines of `EmfMetrics`."""
    lines = list[str]()
    hook = EmfMetrics(service="orders", output=lines.append)
    for metric in Metric:
        hook.record(metric, 1.0)
    hook.flush()
    written = {
        (told["Namespace"], tuple(dimensions), one["Name"])
        for line in lines
        for told in json.loads(line)["_aws"]["CloudWatchMetrics"]
        for dimensions in told["Dimensions"]
        for one in told["Metrics"]
    }
    searches = [str(line[0]["expression"]) for line in shown(widgets) if isinstance(line[0], dict)]
    asked = [
        re.fullmatch(r"SEARCH\('\{(\w+),(\w+)\} MetricName=\"(\w+)\"', '\w+', 300\)", one) for one in searches
    ]
    assert len(asked) >= 8
    for one in asked:
        assert one is not None
        assert (one[1], (one[2],), one[3]) in written


def test_the_queries_name_what_the_listener_logs(widgets: list[Mapping[str, object]]) -> None:
    """The fields and the outcome of a real event's line."""
    secrets = FakeSecretsManager()
    arn = secrets.create("prod/db", "one")
    table = cast("SweptTable", FakeMarkers(secrets.clock))
    listener = Listener(Settings("t"), secrets, table, host_of(secrets.clock))
    event = {"keyturn": "announce", "secret_id": arn, "step": "createSecret"}
    line = listener.handle(event, lambda: False)
    assert ("written", "announced createSecret", secret_key(arn, "prod/db")) == (
        line["outcome"],
        line["reason"],
        line["key"],
    )
    queries = [str(at(one, "properties.query")) for one in widgets if one["type"] == "log"]
    assert 2 == len(queries)
    for query in queries:
        assert query.startswith("SOURCE '${ListenerLog}' | ")
        named = re.findall(r"(?:filter|display|,) (\w+)", query)
        assert set(named) <= line.keys(), query
    assert re.search(r'outcome = "(\w+)"', queries[0])[1] == line["outcome"]  # type: ignore[index] # found
    assert re.search("^announced|Rotation(Failed|Abandoned)", str(line["reason"]))


def test_the_counters_metrics_are_of_its_line(template: object) -> None:
    """What the fleet's widgets show is a number in the line of a count."""
    line = line_of(Standing(3, 1, 12.0, ()))
    for name in ("Environments", "Behind", "OldestBehind"):
        value = str(at(template, f"Resources.{name}.Properties.MetricTransformations[0].MetricValue"))
        assert isinstance(line[value.removeprefix("$.")], int | float)


def test_it_is_only_there_if_it_was_asked_for_and_fits(
    template: object, widgets: list[Mapping[str, object]]
) -> None:
    """CloudWatch bills it, so the default is none. No widget covers another, and all fit into 24 columns."""
    assert ("HasDashboard", "false") == (
        at(template, "Resources.Overview.Condition"),
        at(template, "Parameters.Dashboard.Default"),
    )
    places = {(one["x"], one["y"]) for one in widgets}
    assert len(widgets) == len(places)
    assert all(cast("int", one["x"]) + cast("int", one["width"]) <= 24 for one in widgets)
