"""docs/metrics.md is true: its examples run, and its table is the list of metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from keyturn import Metric
from keyturn.metrics.emf import EmfMetrics
from tests.docs.pages import python_blocks
from tests.metrics.emf_rules import breaches

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")


def test_the_table_has_every_metric_with_its_name_and_unit() -> None:
    """One row for each, in the order of the code, and no row for another."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| `(\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    assert [(one.name, one.value, one.unit) for one in Metric] == rows


def test_the_examples_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The handler's metrics come out as lines that CloudWatch takes, by keyturn and by Powertools."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders-api")
    handler, otel, powertools, recorded = python_blocks("docs/metrics.md")
    names: dict[str, object] = {}
    with mock_aws():
        boto3.client("secretsmanager").create_secret(Name="prod/orders", SecretString="value")
        exec(compile(handler, "docs/metrics.md", "exec"), names)  # noqa: S102 # the page's own code
        names["handler"]({}, None)  # type: ignore[operator] # a function
        metrics = names["metrics"]
        assert isinstance(metrics, EmfMetrics)
        metrics.flush()
        exec(compile(powertools, "docs/metrics.md", "exec"), names)  # noqa: S102 # the same
        names["handler"]({}, None)  # type: ignore[operator] # with the first cache: a hit
        names["cache"].get("prod/orders")  # type: ignore[attr-defined] # a SecretCache
        names["powertools"].flush_metrics()  # type: ignore[attr-defined] # Powertools' Metrics
        exec(compile(otel, "docs/metrics.md", "exec"), names)  # noqa: S102 # the same
        names["cache"].get("prod/orders")  # type: ignore[attr-defined] # a SecretCache
        exec(compile(recorded, "docs/metrics.md", "exec"), names)  # noqa: S102 # the same
    ours, theirs = capsys.readouterr().out.splitlines()
    assert [[], []] == [breaches(ours), breaches(theirs)]
    assert ["orders-api", "orders"] == [json.loads(line)["service"] for line in (ours, theirs)]
    assert all("ReadTime" in json.loads(line) for line in (ours, theirs))
