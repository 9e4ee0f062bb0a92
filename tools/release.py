"""Build what is shipped, with what shows where it comes from: `python -m tools.release TOOLS [OUTPUT]`.

TOOLS is the folder of the programs of `tools/release-tools.lock`; `make release` makes it. In OUTPUT
(`build/release`) are then, from the files of one commit:

    keyturn-*.whl, keyturn-*.tar.gz         the library
    rotation_listener.zip, keyturn_layer.zip    what Lambda runs
    requirements.lock                       what the extras consist of, pinned by hash
    sbom.cdx.json                           the packages that are installed with it (CycloneDX)
    VULNERABILITIES.txt                     what pip-audit found, or NOT CHECKED
    provenance.json                         an in-toto statement (SLSA provenance) about all of these
    SHA256SUMS                              for `sha256sum --check`

The statement is not signed, and the builder is whoever ran this: it says which commit and which pins the
files claim to be of, so that somebody else can build them again and compare. It proves nothing by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from keyturn.model.fields import Json
from tools import build_layer, build_listener
from tools.hashes import REQUIREMENTS
from tools.vulnerabilities import audited

ROOT: Final = Path(__file__).parents[1]
OUTPUT: Final = ROOT / "build" / "release"
SUMS: Final = "SHA256SUMS"
PROVENANCE: Final = "provenance.json"
SBOM: Final = "sbom.cdx.json"
AUDIT: Final = "VULNERABILITIES.txt"
BUILD_TYPE: Final = "urn:keyturn:make-release:1"
BUILDER: Final = "urn:keyturn:whoever-ran-make-release"


class ReleaseError(RuntimeError):
    """Nothing can be released as things are. The message says why."""


def run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Return what a command printed. Raises `ReleaseError` with its last lines if it fails."""
    settings = {**os.environ, **(environment or {})}
    answer = subprocess.run(  # noqa: S603 # our own commands
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=settings
    )
    if answer.returncode:
        said = (answer.stdout + answer.stderr).strip()[-2000:]
        raise ReleaseError(f"{command[0]} failed: {said}")
    return answer.stdout


def commit_of_a_clean_tree() -> tuple[str, str]:
    """Return the commit and its time in epoch seconds. Raises `ReleaseError` if a file differs from it."""
    changed = run("git", "status", "--porcelain").splitlines()
    if changed:
        raise ReleaseError(f"{len(changed)} files differ from the commit, such as {changed[0]}: commit first")
    commit, time_s = run("git", "log", "-1", "--format=%H %ct").split()
    return commit, time_s


def sha256(file: Path) -> str:
    """Return a file's hash."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def sums(files: Iterable[Path]) -> str:
    """Return the lines that `sha256sum --check` reads."""
    return "".join(f"{sha256(file)}  {file.name}\n" for file in sorted(files))


def provenance(files: Iterable[Path], commit: str, version: str) -> dict[str, Json]:
    """Return an in-toto statement about the files, by the terms of SLSA's provenance v1."""
    subjects: list[Json] = [{"name": file.name, "digest": {"sha256": sha256(file)}} for file in sorted(files)]
    pins: list[Json] = [
        {"name": file.name, "digest": {"sha256": sha256(file)}}
        for file in (ROOT / "constraints.txt", REQUIREMENTS)
    ]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"command": "make release", "version": version},
                "internalParameters": {"python": sys.version.split()[0]},
                "resolvedDependencies": [{"name": "keyturn", "digest": {"gitCommit": commit}}, *pins],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }


def sbom(tools: Path, wheel: Path, output: Path) -> None:
    """Write the components of an environment with the wheel and every pinned package, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="keyturn-sbom-") as folder:
        venv.create(folder, with_pip=False)
        python = str(Path(folder, "bin", "python"))
        install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps")
        run(*install, "--require-hashes", "--requirement", str(REQUIREMENTS))
        run(*install, "--no-index", str(wheel))
        # It says in which folder of this machine the wheel was.
        for told in Path(folder).rglob("direct_url.json"):
            told.unlink()
        settings = ("--pyproject", "pyproject.toml", "--output-reproducible", "--output-file", str(output))
        run(str(tools / "cyclonedx-py"), "environment", *settings, python)


def release(tools: Path, output: Path) -> None:
    """Build everything into `output`, which is emptied before. Raises `ReleaseError`."""
    commit, time_s = commit_of_a_clean_tree()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    version = str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])
    # The archives have the commit's time instead of the moment of the build.
    run(
        *(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output)),
        environment={"SOURCE_DATE_EPOCH": time_s},
    )
    build_listener.build(output / build_listener.OUTPUT.name)
    build_layer.build(output / build_layer.OUTPUT.name)
    shutil.copy(REQUIREMENTS, output)
    (wheel,) = output.glob("*.whl")
    sbom(tools, wheel, output / SBOM)
    audit = audited(str(tools / "pip-audit"), [REQUIREMENTS])
    (output / AUDIT).write_text(audit.text() + "\n", "utf-8")
    statement = provenance(output.iterdir(), commit, version)
    (output / PROVENANCE).write_text(json.dumps(statement, indent=2) + "\n", "utf-8")
    (output / SUMS).write_text(sums(output.iterdir()), "utf-8")
    print((output / SUMS).read_text("utf-8"), end="")
    print(f"of commit {commit}; provenance is not signed")
    print(audit.text(), file=sys.stderr)
    if audit.exit_code(os.environ):
        raise ReleaseError("the audit for known vulnerabilities does not allow it")


def main(tools: str, output: str = str(OUTPUT)) -> int:
    """Release, and return 0; or say why not, and return 1."""
    try:
        release(Path(tools), Path(output))
    except ReleaseError as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
