"""What must not be in the repository: traces of one machine, of a package index, of a merge half done."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Brackets keep each pattern from matching its own text.
TRACES = re.compile(
    r"""
    (?<![\w.~-])/(wor[k]|roo[t])/                           # a checkout or a home folder
    | (?<![\w.~-])/(hom[e]|User[s])/\w+/                    # somebody's home folder
    | /opt/pyp[i]
    | ^(<{7}|>{7})\s                                         # both sides of a conflict
    | (extra-)?index[-_]ur[l] | find-link[s] | pyp[i]\.org/simple | pythonhoste[d]
    """,
    re.VERBOSE | re.IGNORECASE,
)


def traces(text: str) -> Iterator[str]:
    """Each mention of a machine's path or a package index, as `line: mention`."""
    for number, line in enumerate(text.splitlines(), start=1):
        yield from (f"{number}: {found.group()}" for found in TRACES.finditer(line))


def tracked_files() -> list[Path]:
    """The files that a clone would have."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    files = (ROOT / name for name in listing.split("\0") if name)
    return [file for file in files if file.is_file()]


def test_no_file_tells_of_a_machine_an_index_or_a_conflict() -> None:
    """No tracked file has a developer's absolute path, a package index, or both sides of a conflict."""
    files = tracked_files()
    assert ROOT / "pyproject.toml" in files
    found = {
        str(file.relative_to(ROOT)): list(traces(file.read_bytes().decode("utf-8", "replace")))
        for file in files
    }
    assert {name: mentions for name, mentions in found.items() if mentions} == {}


@pytest.mark.parametrize(
    "text",
    [
        "see |work|main|x.py",
        "path='|root|.venv",
        "cd |home|alice|keyturn",
        "cd |Users|alice|keyturn",
        "--extra+index+url x",
        "--find+links x",
        "https:||pypi.org|simple",
        "<<<<<<< HEAD",
        ">>>>>>> main",
    ],
)
def test_a_trace_is_seen(text: str) -> None:
    """Each kind of trace is found."""
    # Written with other signs, or this file would be found itself.
    assert len(list(traces(text.replace("|", "/").replace("+", "-")))) == 1


@pytest.mark.parametrize(
    "text",
    ["arn:aws:iam::123456789012:root", "https://docs.aws.amazon.com/x/work/y", "a/root/b", "GET /home/"],
)
def test_what_only_looks_like_a_trace_is_none(text: str) -> None:
    """Words and addresses that hold the same letters are left alone."""
    assert list(traces(text)) == []


def test_the_constraints_are_names_and_versions_only() -> None:
    """Each pinned package is `name==version`: no address, no hash, no local file."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", pin)] == []
    assert len(pins) == len({pin.partition("==")[0] for pin in pins})
