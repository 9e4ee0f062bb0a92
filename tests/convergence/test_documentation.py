"""docs/convergence.md is true: its examples run, its figures are those of the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import boto3
import pytest
from moto import mock_aws

from benchmarks import reports
from keyturn import SecretCache
from keyturn.cache.limits import REPORT_TTL_S
from keyturn.convergence.counting import ENTRY_BYTES, HELD_BYTES_MAX
from keyturn.metrics.emf import EmfMetrics
from tests.docs.pages import ROOT, blocks, python_blocks
from tests.templates import read_template

PAGE = (ROOT / "docs" / "convergence.md").read_text("utf-8")
TEMPLATE = ROOT / "infra" / "template.yaml"


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A cache is made as the page says, and tells of its reports, without an account that has the table."""
    names: dict[str, object] = {}
    examples = python_blocks("docs/convergence.md")
    assert 2 == len(examples)
    with mock_aws():
        boto3.client("secretsmanager", region_name="eu-west-1").create_secret(
            Name="prod/db", SecretString="x"
        )
        for example in examples:
            exec(compile(example, "convergence.md", "exec", dont_inherit=True), names)  # noqa: S102
        cache = names["cache"]
        assert isinstance(cache, SecretCache)
        assert "x" == cache.get_secret_string("prod/db")
    assert "None None None\n" == capsys.readouterr().out


@pytest.mark.proof
@pytest.mark.parametrize("number", [0, 1])
def test_the_templates_of_sink_and_link_are_valid(number: int, tmp_path: Path) -> None:
    """By cfn-lint: types, properties and their patterns."""
    from cfnlint.api import lint_file  # type: ignore[import-untyped]

    found = [block.text for block in blocks("docs/convergence.md") if block.language == "yaml"]
    assert 2 == len(found)
    template = tmp_path / "template.yaml"
    template.write_text(found[number], "utf-8")
    assert [] == [str(match) for match in lint_file(template)]


def test_what_is_shared_is_what_the_stack_and_the_readers_emit() -> None:
    """The link lets the namespaces of the stack and of `EmfMetrics` through, and each name is emitted."""
    every = cast("Mapping[str, object]", read_template(TEMPLATE))["Resources"]
    filters = [
        one["Properties"]["MetricTransformations"][0]
        for one in cast("Mapping[str, dict[str, dict[str, list[dict[str, object]]]]]", every).values()
        if str(one["Type"]) == "AWS::Logs::MetricFilter"
    ]
    row = next(line for line in PAGE.splitlines() if line.startswith("| always | `keyturn` | `Stack` |"))
    assert {one["MetricName"] for one in filters} == set(re.findall(r"`(\w+)`", row.split("|")[4]))
    assert {"keyturn"} == {one["MetricNamespace"] for one in filters}
    assert "Namespace = 'keyturn'" in PAGE
    assert "keyturn" == inspect.signature(EmfMetrics).parameters["namespace"].default


@pytest.mark.proof
def test_its_figures_are_those_of_the_code() -> None:
    """The defaults, what fits an item, and the price of the table that is counted."""
    assert f"{REPORT_TTL_S:g} s" in PAGE
    assert f"{0.8 * REPORT_TTL_S / 2:.0f} to {REPORT_TTL_S / 2:.0f} s" in PAGE
    assert f"{HELD_BYTES_MAX:,} bytes" in PAGE
    usual, longest = 52 + 4 + 36 + ENTRY_BYTES, 52 + 512 + 64 + ENTRY_BYTES
    assert 600 <= HELD_BYTES_MAX // longest < 700
    assert 3900 <= HELD_BYTES_MAX // usual < 4100
    *_, (_, price) = ((row.split("|")[1], row.split("|")[5]) for row in list(reports.table())[2:4])
    assert f"${price.strip()} a month for 1,000 environments of up to five secrets" in " ".join(PAGE.split())
