"""What belongs to which extra, on which Pythons it is tried, and which tests do without any."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.extras import (
    EXTRAS,
    ROOT,
    extra_of,
    foreign_packages,
    module_name,
    needs,
    runtime_imports,
    sources_of,
)
from tools.pythons import (
    VERSIONS,
    Outcome,
    Table,
    absent,
    found,
    imported_without,
    run,
    tried,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OPTIONAL: Mapping[str, list[str]] = PROJECT["optional-dependencies"]

ALSO = {
    "aws-cdk-lib": ["aws_cdk"],
    "boto3": ["botocore"],
    "opentelemetry-api": ["opentelemetry"],
    "pydantic-settings": ["pydantic", "pydantic_core"],
    "pyyaml": ["yaml"],
}
"""What a distribution gives to import under another name than its own."""

CORE_TESTS = ("tests/cache/test_freshness.py", "tests/packaging/test_layer.py", "tests/fuzz/test_settings.py")


def imported_by(requirements: list[str]) -> Iterator[str]:
    """The packages that these requirements give, those of our own extras too."""
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        if name == "keyturn":
            for extra in requirement.extras:
                yield from imported_by(OPTIONAL[extra])
            continue
        yield from (name.replace("-", "_"), *ALSO.get(name, [name]))


def strangers(file: Path, extra: str | None) -> list[str]:
    """What a module imports that neither the core nor its extra brings."""
    allowed = [*PROJECT["dependencies"], *OPTIONAL.get(extra or "", [])]
    return sorted(foreign_packages(file) - set(imported_by(allowed)))


def test_every_extra_has_a_purpose() -> None:
    """The table has each extra of pyproject.toml and no other; each purpose is there to import."""
    assert sorted(OPTIONAL) == sorted(EXTRAS)
    own = [one for purposes in EXTRAS.values() for one in purposes if one.startswith("keyturn.")]
    assert [one for one in own if not sources_of(one)] == []


def test_no_module_imports_what_it_does_not_bring() -> None:
    """The core imports packages of the core alone; what an extra is for, those of this extra besides."""
    files = [file for package in ("keyturn", "rotation_listener") for file in sources_of(package)]
    assert len(files) > 60
    strange = {module_name(file): strangers(file, extra_of(module_name(file))) for file in files}
    assert {name: packages for name, packages in strange.items() if packages} == {}


def test_a_stranger_is_seen(tmp_path: Path) -> None:
    """A module of one extra that needs the package of another, also inside a function; not for types."""
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nimport redis, boto3, botocore\n"
        "def f():\n    from click import echo\nif TYPE_CHECKING:\n    import rich\n"
    )
    assert strangers(file, "redis") == ["click"]
    assert strangers(file, None) == ["click", "redis"]


@pytest.mark.parametrize("test", CORE_TESTS)
def test_a_test_that_needs_no_extra(test: str) -> None:
    """It is run where keyturn is alone: beside the core it needs the tools of tests."""
    core = set(imported_by(PROJECT["dependencies"])) | {"hypothesis", "pytest"}
    assert needs(ROOT / test) - core == set()


@pytest.mark.parametrize(
    ("test", "package"),
    [
        ("tests/cache/test_on_moto.py", "moto"),
        ("tests/testing/test_kit.py", "yaml"),
        ("tests/simulation/test_simulation.py", "greenlet"),
        ("tests/packaging/test_distributions.py", "build"),
        ("tests/cli/test_output.py", "rich"),
    ],
    ids=["itself", "by a fixture", "by a program", "as a program", "by keyturn"],
)
def test_a_test_that_needs_more(test: str, package: str) -> None:
    """Whichever way it comes by the package."""
    assert package in needs(ROOT / test)


def test_the_core_is_never_excused() -> None:
    """Whatever a module of the core imports, its tests run without an extra, and would fail."""
    assert needs(ROOT / "src" / "keyturn" / "cli" / "output.py") == {"click", "rich"}
    text = "from keyturn.client import SecretCache"
    assert list(runtime_imports(text)) == ["keyturn.client.SecretCache"]
    assert extra_of("keyturn.client") is None
    assert "keyturn.client" in imported_without()
    assert "keyturn.cli.output" not in imported_without()


@pytest.mark.proof
def test_what_is_left_out_is_told() -> None:
    """Under `--without-extras` a test that misses a package is not collected; the others are."""
    program = (
        "import sys, pytest; sys.modules['moto'] = None; "
        "sys.exit(pytest.main(['--without-extras', '--collect-only', '-q', 'tests/cache']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not collected: tests/cache/test_on_moto.py needs moto" in done.stdout
    assert "test_on_moto.py::" not in done.stdout
    assert "test_freshness.py::" in done.stdout


def test_the_declared_pythons_are_tried() -> None:
    """Each Python of the classifiers is looked for."""
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert len(declared) >= 3
    assert set(declared) <= set(VERSIONS)


def test_pythons_are_found_by_what_they_say(tmp_path: Path) -> None:
    """By the variable, this one, PATH and pyenv; a shim that does not start is passed over."""
    for python in (
        "shims/python3.12",
        "pyenv/versions/3.12.1/bin/python3.12",
        "pyenv/versions/3.13.0/bin/python3.13",
    ):
        file = tmp_path / python
        file.parent.mkdir(parents=True)
        file.touch(mode=0o755)
    environment = {
        "KEYTURN_TEST_PYTHONS": "/opt/python-next",
        "PATH": str(tmp_path / "shims"),
        "PYENV_ROOT": str(tmp_path / "pyenv"),
    }
    versions = {
        "/opt/python-next": "3.14.1",
        sys.executable: "3.11.9",
        str(tmp_path / "pyenv/versions/3.12.1/bin/python3.12"): "3.12.1",
    }
    pythons = found(environment, versions.get)
    assert list(pythons) == ["3.11.9", "3.12.1", "3.14.1"]
    assert pythons["3.14.1"] == "/opt/python-next"
    assert absent(list(pythons)) == ["3.13"]


def test_a_failure_ends_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """What a failed command said is shown, the table says FAILED, and the others have been tried."""

    def fail() -> Outcome:
        return Outcome(run(sys.executable, "-c", "raise SystemExit('no such module')", folder=ROOT))

    table = Table(["3.11.9", "3.12.1"])
    told: list[bool] = []
    for column, do in (("3.11.9", lambda: Outcome("2 imports")), ("3.12.1", fail)):
        table.cells["cli", column] = tried("cli", do)
        told.append(table.has_failed)
    table.cells["sdist", "3.11.9"] = Outcome("67 imports")
    assert told == [False, True]
    assert "no such module" in capsys.readouterr().out
    assert [line.split() for line in table.lines()] == [
        ["3.11.9", "3.12.1"],
        ["cli", "2", "imports", "FAILED"],
        ["sdist", "67", "imports", "-"],
    ]
