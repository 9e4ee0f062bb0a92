"""What is in the wheel and the sdist, built as for a release."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from keyturn.stack.files import terraform_files

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> dict[str, bytes]:
    """The wheel's files by name."""
    (file,) = dist.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, bytes]) -> Message:
    """The wheel's METADATA."""
    (name,) = (name for name in wheel if name.endswith(".dist-info/METADATA"))
    return BytesParser().parsebytes(wheel[name])


def test_the_wheel_has_both_packages_and_nothing_else(wheel: dict[str, bytes]) -> None:
    """Installing keyturn adds the two packages: no tests, tools or docs land in site-packages."""
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"keyturn", "rotation_listener"}
    assert [name for name in wheel if "test_" in name] == []


def test_the_wheel_is_typed(wheel: dict[str, bytes]) -> None:
    """Type checkers of users see the annotations of both packages."""
    assert {"keyturn/py.typed", "rotation_listener/py.typed"} <= wheel.keys()


def test_the_wheel_has_every_module(wheel: dict[str, bytes]) -> None:
    """No module is left behind, byte for byte."""
    bases = {"keyturn": ROOT / "src", "rotation_listener": ROOT}
    sources = {
        file.relative_to(base).as_posix(): file.read_bytes()
        for package, base in bases.items()
        for file in (base / package).rglob("*.py")
    }
    assert {name: text for name, text in wheel.items() if name.endswith(".py")} == sources


def test_the_wheel_carries_the_template(wheel: dict[str, bytes]) -> None:
    """Whoever installs from PyPI can deploy: templates and modules are data of `keyturn.stack`."""
    for template in ("template.yaml", "rotation.yaml"):
        assert wheel[f"keyturn/stack/{template}"] == (ROOT / "infra" / template).read_bytes()
    module = ROOT / "infra" / "terraform"
    for name in terraform_files():
        assert wheel[f"keyturn/stack/terraform/{name.as_posix()}"] == (module / name).read_bytes()


def test_the_wheel_carries_the_pages(wheel: dict[str, bytes]) -> None:
    """`keyturn help` has every page."""
    for page in (ROOT / "docs").glob("*.md"):
        if page.stem != "index":
            assert wheel[f"keyturn/cli/docs/{page.name}"] == page.read_bytes()


def test_the_sdist_carries_what_the_tests_need(dist: Path) -> None:
    """A distributor can build and test from the sdist alone."""
    (file,) = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "Makefile", "README.md", "constraints.txt", "infra/template.yaml", "pyproject.toml"}
    assert needed - names == set()
    assert "tests/conftest.py" in names


def test_the_core_has_three_dependencies(metadata: Message) -> None:
    """boto3, the upstream cache and pydantic-settings; whatever else there is belongs to an extra."""
    requirements = map(Requirement, metadata.get_all("Requires-Dist") or [])
    core = {one.name: str(one.specifier) for one in requirements if "extra" not in str(one.marker)}
    assert core.keys() == {"boto3", "aws-secretsmanager-caching", "pydantic-settings"}
    assert core["aws-secretsmanager-caching"] == "<2,>=1.2"


def test_an_index_shows_no_dead_link(metadata: Message) -> None:
    """The description is the README, and has no relative link."""
    told = str(metadata.get_payload())
    assert "text/markdown" == metadata["Description-Content-Type"]
    assert told.startswith("# keyturn\n")
    assert [] == re.findall(r"\]\((?!https?:)\S*\)", told)


def test_the_licence_is_named_and_shipped(metadata: Message, wheel: dict[str, bytes]) -> None:
    """The wheel says Apache-2.0 and carries its text."""
    assert metadata["License-Expression"] == "Apache-2.0"
    assert [name for name in wheel if name.endswith("licenses/LICENSE")] != []
