"""The Lambda layer: the same bytes each time, nothing to compile, and enough beside botocore."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.build_layer import ROOT, SIZE_MAX, build

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import keyturn
for name in set(keyturn.__all__) - {"KeyturnSettings"}:
    getattr(keyturn, name)
from keyturn.integrations.awslambda import extension_source
keyturn.SecretCache(peers=keyturn.Peers(source=extension_source()), marker_table="markers")
assert keyturn.__file__.startswith(sys.argv[1]), keyturn.__file__
"""


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built layer."""
    path = tmp_path_factory.mktemp("layer") / "layer.zip"
    build(path)
    return path


def test_the_same_sources_give_the_same_bytes(layer: Path, tmp_path: Path) -> None:
    """Built again, also in another process, the layer is the same: its hash names its content."""
    other = tmp_path / "other" / "layer.zip"
    command = [sys.executable, "-m", "tools.build_layer", str(other)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    assert other.read_bytes() == layer.read_bytes()


def test_the_bytecode_is_beside_its_source_wherever_this_python_keeps_its_own(tmp_path: Path) -> None:
    """PYTHONPYCACHEPREFIX names a folder of this machine: it is in no name, and nothing is written there."""
    source, kept = tmp_path / "one.py", tmp_path / "kept"
    source.write_text("", "utf-8")
    program = (
        "import sys, pathlib; from keyturn.stack.bytecode import compiled; "
        "print(*compiled({'python/a/one.py': pathlib.Path(sys.argv[1])}, unpacked_in='/opt'))"
    )
    command = [sys.executable, "-B", "-X", f"pycache_prefix={kept}", "-c", program, str(source)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert [f"python/a/__pycache__/one.{sys.implementation.cache_tag}.pyc"] == done.stdout.split()
    assert not kept.exists()


def test_the_layer_is_small_and_holds_what_functions_use(layer: Path) -> None:
    """Under `python/`, where Lambda looks; no tests, no servers, no command line."""
    names = zipfile.ZipFile(layer).namelist()
    assert layer.stat().st_size < SIZE_MAX
    assert {"python/keyturn/__init__.py", "python/keyturn/rotation/function.py"} <= set(names)
    assert [name for name in names if not name.startswith("python/keyturn/")] == []
    assert not {"testing", "demo", "cli", "__main__.py"} & {name.split("/")[2] for name in names}


def test_every_module_comes_with_its_bytecode(layer: Path, tmp_path: Path) -> None:
    """Nothing is compiled in a function: what its sources say is not even looked at."""
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(tmp_path)
    sources = list((tmp_path / "python").rglob("*.py"))
    for source in sources:
        source.write_text("this is no Python", "utf-8")
    command = [sys.executable, "-I", "-S", "-c", RUN, str(tmp_path / "python")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert len(sources) == len(list((tmp_path / "python").rglob("*.pyc")))


def test_tracebacks_name_the_place_where_lambda_unpacks(layer: Path) -> None:
    """The bytecode knows its source below /opt, and no folder of the machine that built it."""
    with zipfile.ZipFile(layer) as archive:
        contents = {name: archive.read(name) for name in archive.namelist() if name.endswith(".pyc")}
    for name, content in contents.items():
        assert f"/opt/{importlib.util.source_from_cache(name)}".encode() in content


def test_every_public_name_works_with_the_layer_alone(layer: Path, tmp_path: Path) -> None:
    """In a Python without any package; only `KeyturnSettings` needs pydantic beside it."""
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(tmp_path)
    command = [sys.executable, "-I", "-S", "-c", RUN, str(tmp_path / "python")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
