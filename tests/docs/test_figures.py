"""Figures that stand on two pages are the same on both."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHES = ("keyturn get", "Powertools parameters", "aws-secretsmanager-caching")


def test_the_readmes_costs_of_a_hit_are_those_of_the_last_benchmark() -> None:
    """In microseconds, to two figures; the page about performance has them in nanoseconds."""
    readme = (ROOT / "README.md").read_text("utf-8")
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    (said,) = re.findall(r"^\| a hit costs \| (.+?) µs \| (.+?) µs \| (.+?) µs \|", readme, re.MULTILINE)
    hits = page[page.index("## A hit\n") : page.index("## Hits from 8 threads at once")]
    measured = [re.findall(rf"^\| {name} \| ([\d,.]+) ns \|", hits, re.MULTILINE) for name in CACHES]
    assert [[f"{float(one.replace(',', '')) / 1000:.2g}"] for (one,) in measured] == [[one] for one in said]


def test_the_readmes_costs_of_a_month_are_those_of_the_page() -> None:
    """The stack alone, with 1,000 environments, and polling: in whole dollars from 10 on."""
    readme = (ROOT / "README.md").read_text("utf-8")
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (alone,) = re.findall(r"^\| 0 \| 5 s \| ([\d.]+) \|", page, re.MULTILINE)
    ((thousand, polling),) = re.findall(
        r"^\| 1,000 \| 5 s \| ([\d.]+) \| .* \| ([\d.,]+) \|$", page, re.MULTILINE
    )
    said = re.findall(r"^\| (?:the stack|1,000|the same).* \| ([\d.,]+) \|$", readme, re.MULTILINE)
    assert [alone, f"{float(thousand):.0f}", polling.removesuffix(".00")] == said
