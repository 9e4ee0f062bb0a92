"""Look for known vulnerabilities in every pinned package, by pip-audit, and say loudly if nobody could.

    python -m tools.vulnerabilities PIP_AUDIT [REQUIREMENTS ...]        (default: constraints.txt)

The advisories are at PyPI and OSV, which not every machine can reach. An audit that finds no package there
and ends well would be worse than none. So the answer is one of three: CHECKED and none is known, exit code 0;
FOUND, 1; and NOT CHECKED, 0 with a banner, or 3 if KEYTURN_AUDIT=required.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PINNED: Final = ROOT / "constraints.txt"
REQUIRED: Final = "KEYTURN_AUDIT"
EXIT_FOUND: Final = 1
EXIT_NOT_CHECKED: Final = 3
OPTIONS: Final = ("--strict", "--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json")
"""`--strict` ends at the first package that the index does not know, instead of passing over it."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The result: `state` is CHECKED, FOUND or NOT CHECKED, and `detail` says more, a line each."""

    state: str
    detail: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the result in words."""
        line = "!" * 78
        if self.state == "NOT CHECKED":
            told = (
                f"KNOWN VULNERABILITIES: {self.state}. No advisory index could be asked about every package:"
            )
            return "\n".join((line, told, *self.detail, "Run it where PyPI or OSV can be reached.", line))
        return "\n".join((f"KNOWN VULNERABILITIES: {self.state}", *self.detail))

    def exit_code(self, environment: Mapping[str, str]) -> int:
        """Return 0 if none is known, 1 if one is, and for NOT CHECKED 0, or 3 where an audit is required."""
        if self.state == "NOT CHECKED":
            return EXIT_NOT_CHECKED if environment.get(REQUIRED) == "required" else 0
        return EXIT_FOUND if self.state == "FOUND" else 0


def audit_of(output: str, errors: str) -> Audit:
    """Read what pip-audit wrote. Only a whole report about every package counts as checked."""
    try:
        report: object = json.loads(output)
    except ValueError:
        report = None
    packages = report.get("dependencies") if isinstance(report, dict) else None
    if not isinstance(packages, list) or not packages:
        said = [line for line in errors.splitlines() if line.startswith("ERROR")] or errors.splitlines()
        return Audit("NOT CHECKED", tuple(said[-1:] or ["pip-audit gave no report"]))
    skipped = [str(one.get("name")) for one in packages if "skip_reason" in one]
    found = [
        f"{one.get('name')} {one.get('version')}: {vulnerability.get('id')}"
        for one in packages
        for vulnerability in one.get("vulns", ())
    ]
    if found:
        return Audit("FOUND", tuple(found))
    if skipped:
        return Audit("NOT CHECKED", (f"{len(skipped)} of {len(packages)}, such as {skipped[0]}",))
    return Audit("CHECKED", (f"{len(packages)} packages, none is known to be vulnerable",))


def audited(program: str, files: Sequence[Path]) -> Audit:
    """Run pip-audit over these files."""
    requirements = [word for file in files for word in ("--requirement", str(file))]
    answer = subprocess.run(  # noqa: S603 # our own command
        [program, *OPTIONS, *requirements], capture_output=True, text=True, check=False
    )
    return audit_of(answer.stdout, answer.stderr)


def main(program: str, *files: str) -> int:
    """Audit, print the result and return the exit code."""
    audit = audited(program, [Path(file) for file in files] or [PINNED])
    print(audit.text(), file=sys.stderr if audit.state != "CHECKED" else sys.stdout)
    return audit.exit_code(os.environ)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
