"""Pin packages to their files: `python -m tools.hashes PIP_COMPILE` writes the two files with hashes anew.

`requirements.lock` has what an installation of keyturn with the extras that users run consists of, in the
versions of `constraints.txt`; `tools/release-tools.lock` has the tools of `make audit` and `make release`.
Both have names, versions and hashes, and no address: where a package comes from is the installer's affair,
and that it is the same package is the hash's.

    pip install --require-hashes --no-deps -r requirements.lock
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
REQUIREMENTS: Final = ROOT / "requirements.lock"
TOOLS: Final = ROOT / "tools" / "release-tools.lock"
OF_DEVELOPERS: Final = frozenset({"cdk", "demo", "testing"})
"""The extras that run on a developer's machine; all others are for what users run."""

TOOLS_WANTED: Final = ("cyclonedx-bom==7.5.0", "pip-audit==2.10.1", "pip-tools==7.6.2", "zizmor==1.32.0")
OPTIONS: Final = (
    *("--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header", "--no-annotate"),
    *("--no-emit-options", "--quiet"),
)
PINNED: Final = re.compile(
    r"[a-z0-9-]+==[\w.]+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n", re.MULTILINE
)
HEAD: Final = "# Made by `python -m tools.hashes`: names, versions and hashes of {what}.\n"


def extras() -> list[str]:
    """Return the names of the extras for what users run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return sorted(project["optional-dependencies"].keys() - OF_DEVELOPERS)


def pins(text: str) -> Iterator[str]:
    """Yield each package with its hashes. What is no such thing, such as keyturn itself, is left out."""
    yield from (found.group() for found in PINNED.finditer(text))


def names(text: str) -> dict[str, str]:
    """Return the version of each package in a file with hashes, or in the constraints."""
    found = (line.partition("==") for line in text.splitlines() if re.match(r"[\w.-]+==", line))
    return {name.lower().replace("_", "-"): re.split(r"[\s;]", version)[0] for name, _, version in found}


def compiled(program: str, arguments: Sequence[str], asked: str = "") -> str:
    """Return what pip-compile makes of a project file, or of these lines."""
    command = [program, *OPTIONS, *arguments, "--output-file=-"]
    answer = subprocess.run(  # noqa: S603 # our own command
        command, input=asked, capture_output=True, text=True, check=True, cwd=ROOT
    )
    return answer.stdout


def main(program: str) -> int:
    """Write both files."""
    chosen = [f"--extra={extra}" for extra in extras()]
    of_users = compiled(program, ["pyproject.toml", *chosen, "--constraint=constraints.txt"])
    of_tools = compiled(program, ["-"], "\n".join(TOOLS_WANTED))
    for file, text, what in (
        (REQUIREMENTS, of_users, f"what keyturn[{','.join(extras())}] needs"),
        (TOOLS, of_tools, "the tools of `make audit` and `make release`"),
    ):
        file.write_text(HEAD.format(what=what) + "".join(pins(text)), "utf-8")
        print(f"{file.relative_to(ROOT)}: {len(list(pins(text)))} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
