"""What `make release` ships beside the library: pins by hash, checksums, provenance, and an honest audit."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tools import release
from tools.hashes import HEAD, PINNED, REQUIREMENTS, TOOLS, TOOLS_WANTED, extras, names, pins
from tools.vulnerabilities import Audit, audit_of, audited

ROOT = Path(__file__).parents[2]
NONE = {"dependencies": [{"name": "boto3", "version": "1.43.106", "vulns": []}]}
ONE = {"dependencies": [{"name": "boto3", "version": "1.0", "vulns": [{"id": "PYSEC-1"}]}]}
SKIPPED = {"dependencies": [*NONE["dependencies"], {"name": "x", "skip_reason": "not found on PyPI"}]}
NOT_FOUND = "ERROR:pip_audit._cli:x: Dependency not found on PyPI and could not be audited: x (1.0)"


@pytest.mark.parametrize("file", [REQUIREMENTS, TOOLS], ids=lambda file: file.name)
def test_the_locks_are_names_versions_and_hashes(file: Path) -> None:
    """Nothing else, above all no address: every line is a comment or belongs to a package."""
    text = file.read_text("utf-8")
    head, _, rest = text.partition("\n")
    assert HEAD.partition("{")[0] in head
    assert rest == "".join(pins(rest)) != ""
    assert not re.search(r"https?:|//|@ |--(?!hash=sha256:)", rest)
    assert len(names(rest)) == len(PINNED.findall(rest))


def test_the_lock_has_what_is_tested() -> None:
    """The versions of constraints.txt, of every package that the library and its extras name."""
    locked = names(REQUIREMENTS.read_text("utf-8"))
    tested = names((ROOT / "constraints.txt").read_text("utf-8"))
    assert locked.items() <= tested.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [
        *project["dependencies"],
        *(one for extra in extras() for one in project["optional-dependencies"][extra]),
    ]
    wanted = {re.split(r"[\[<>=! ]", one)[0] for one in named} - {"keyturn"}
    assert wanted <= locked.keys()
    assert {one.partition("==")[0] for one in TOOLS_WANTED} <= names(TOOLS.read_text("utf-8")).keys()


def test_the_checksums_are_those_of_the_files(tmp_path: Path) -> None:
    """`sha256sum --check` agrees, and no longer once a file is altered."""
    for name in ("b.whl", "a.zip"):
        (tmp_path / name).write_text(name)
    (tmp_path / release.SUMS).write_text(release.sums(tmp_path.iterdir()))
    command = ["sha256sum", "--check", "--strict", release.SUMS]
    assert 0 == subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode
    (tmp_path / "a.zip").write_text("altered")
    assert 1 == subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode


def test_the_provenance_names_every_file_the_commit_and_the_pins(tmp_path: Path) -> None:
    """As an in-toto statement, the same for the same files, and without a trace of the machine."""
    file = tmp_path / "keyturn-0.1.0-py3-none-any.whl"
    file.write_bytes(b"wheel")
    statement = release.provenance([file], "c0ffee", "0.1.0")
    assert "https://in-toto.io/Statement/v1" == statement["_type"]
    assert "https://slsa.dev/provenance/v1" == statement["predicateType"]
    digest = {"sha256": hashlib.sha256(b"wheel").hexdigest()}
    assert [{"name": file.name, "digest": digest}] == statement["subject"]
    text = json.dumps(statement)
    for known in ("c0ffee", release.sha256(REQUIREMENTS), release.sha256(ROOT / "constraints.txt")):
        assert known in text
    assert statement == release.provenance([file], "c0ffee", "0.1.0")
    assert str(tmp_path) not in text
    assert str(ROOT) not in text


def test_nothing_is_released_that_is_of_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that differs from the commit would make the provenance a lie."""
    monkeypatch.setattr(release, "run", lambda *_command: " M src/keyturn/__init__.py\n")
    with pytest.raises(release.ReleaseError, match="1 files differ"):
        release.release(tmp_path, tmp_path / "output")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("output", "errors", "state", "codes"),
    [
        (json.dumps(NONE), "", "CHECKED", (0, 0)),
        (json.dumps(ONE), "Found 1 known vulnerability", "FOUND", (1, 1)),
        (json.dumps(SKIPPED), "", "NOT CHECKED", (0, 3)),
        ("", NOT_FOUND, "NOT CHECKED", (0, 3)),
        ("", "", "NOT CHECKED", (0, 3)),
        ("{}", "", "NOT CHECKED", (0, 3)),
        ('{"dependencies": []}', "", "NOT CHECKED", (0, 3)),
    ],
    ids=["none known", "one known", "one skipped", "no index", "silent", "no report", "no package"],
)
def test_an_audit_that_could_not_look_says_so(
    output: str, errors: str, state: str, codes: tuple[int, int]
) -> None:
    """Loudly, with an exit code of its own where it is required; only a whole report counts as checked."""
    audit = audit_of(output, errors)
    assert state == audit.state
    assert codes == (audit.exit_code({}), audit.exit_code({"KEYTURN_AUDIT": "required"}))
    assert f"KNOWN VULNERABILITIES: {state}" in audit.text()
    assert ("!!!!" in audit.text()) is (state == "NOT CHECKED")


def test_a_known_vulnerability_is_named() -> None:
    """With its package and version; it counts also where other packages were not found."""
    report = {"dependencies": [*ONE["dependencies"], *SKIPPED["dependencies"]]}
    assert Audit("FOUND", ("boto3 1.0: PYSEC-1",)) == audit_of(json.dumps(report), "")


def test_an_audit_runs_what_it_is_told(tmp_path: Path) -> None:
    """Strictly, over each file; what the program writes is the answer."""
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\necho \"$@\" > {tmp_path}/said\ncat <<'END'\n{json.dumps(NONE)}\nEND\n")
    program.chmod(0o755)
    assert "CHECKED" == audited(str(program), [Path("a.txt"), Path("b.txt")]).state
    said = (tmp_path / "said").read_text()
    assert "--strict" in said
    assert "--requirement a.txt --requirement b.txt" in said
