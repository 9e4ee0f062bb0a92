"""Scan the templates and Terraform modules for what is unsafe, and compare that with what is explained.

    python -m tools.scan CHECKOV

CHECKOV is the program; `make scan` installs it. infra/findings.toml says of each finding why it stays. The
exit code is 1 for a finding that is not explained there, and for an explanation that nothing needs any more.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypedDict, cast

ROOT: Final = Path(__file__).parents[1]
INFRA: Final = ROOT / "infra"
FINDINGS: Final = INFRA / "findings.toml"
DEADLINE_S: Final = 600


class Finding(NamedTuple):
    """A check and the resource that fails it, without the modules and indices that lead to it."""

    check: str
    resource: str


class Explained(TypedDict):
    """A table of infra/findings.toml."""

    finds: str
    because: str
    resources: list[str]


class Failed(TypedDict):
    """What of a failed check is read."""

    check_id: str
    check_name: str
    resource: str


def explained(text: str) -> Mapping[Finding, Explained]:
    """Return what infra/findings.toml explains."""
    tables = cast("Mapping[str, Explained]", tomllib.loads(text))
    return {Finding(check, one): table for check, table in tables.items() for one in table["resources"]}


def found(report: str) -> Mapping[Finding, str]:
    """Return what checkov's report in JSON finds, each with what the check demands."""
    parts = json.loads(report)
    failed = [
        cast("Failed", one)
        for part in (parts if isinstance(parts, list) else [parts])
        for one in part["results"]["failed_checks"]
    ]
    return {Finding(one["check_id"], _plain(one["resource"])): one["check_name"] for one in failed}


def _plain(resource: str) -> str:
    return re.sub(r"^module\.\w+\.|\[\w+\]$", "", resource)


def trouble(findings: Mapping[Finding, str], reasons: Mapping[Finding, Explained]) -> Iterator[str]:
    """Yield what is not explained, and what is explained in vain."""
    for one in sorted(findings.keys() - reasons.keys()):
        yield f"{one.resource}: {one.check}: {findings[one]}"
    for one in sorted(reasons.keys() - findings.keys()):
        yield f"{one.resource}: {one.check}: nothing finds this any more; take it out of {FINDINGS.name}"


def scan(program: str) -> str:
    """Return checkov's report about infra, in JSON. It asks nobody in the network."""
    command = [
        *(program, "--directory", str(INFRA), "--framework", "cloudformation", "terraform"),
        *("--skip-path", "terraform/tests", "--skip-path", "cdk", "--skip-download"),
        *("--quiet", "--compact", "--soft-fail", "--output", "json"),
    ]
    done = subprocess.run(  # noqa: S603 # our own command
        command, capture_output=True, text=True, check=True, timeout=DEADLINE_S
    )
    return done.stdout


def main(program: str) -> int:
    """Scan, and print what is to be mended or explained. Return the exit code."""
    findings, reasons = found(scan(program)), explained(FINDINGS.read_text("utf-8"))
    lines = list(trouble(findings, reasons))
    print("\n".join(lines) or f"checkov: {len(findings)} findings, all explained in {FINDINGS.name}")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
