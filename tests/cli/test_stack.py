"""`keyturn stack` writes what is to be deployed, `keyturn help` prints pages; neither needs a checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyturn.cli.root import root
from keyturn.stack.files import terraform_files
from tools.build_layer import build as build_layer
from tools.build_listener import ROOT
from tools.build_listener import build as build_listener

NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def ran(*arguments: str, code: int = 0) -> tuple[bytes, str]:
    """What `keyturn` answered on stdout and stderr, and that it ended with `code`."""
    said = CliRunner().invoke(root, list(arguments))
    assert code == said.exit_code, said.output
    return said.stdout_bytes, said.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.proof
def test_everything_at_once(here: Path, tmp_path: Path) -> None:
    """The default names, the same bytes as the make targets', and a line with a hash for each file."""
    _, told = ran("stack", "--template", "--listener-zip", "--layer", "--terraform", "module")
    assert (ROOT / "infra/template.yaml").read_bytes() == (here / "template.yaml").read_bytes()
    zips = {"rotation_listener.zip": build_listener, "keyturn_layer.zip": build_layer}
    for name, build in zips.items():
        made = build(tmp_path / name)
        assert made == (here / name).read_bytes()
        assert f"{name}: {len(made)} bytes, sha256 {hashlib.sha256(made).hexdigest()}" in told
    module = ROOT / "infra/terraform"
    names = list(terraform_files())
    expected = {Path("main.tf"), Path("examples/complete/main.tf"), Path("modules/rotation/main.tf")}
    assert expected <= set(names)
    for file in names:
        assert (module / file).read_bytes() == (here / "module" / file).read_bytes()


def test_a_rotation_functions_template_and_package(here: Path) -> None:
    """The package has the folder's files and the library, and is the same from the same files."""
    code = here / "code"
    (code / "psycopg" / "__pycache__").mkdir(parents=True)
    (code / "app.py").write_text("handler = print\n")
    (code / "psycopg" / "__init__.py").write_text("")
    (code / "psycopg" / "__pycache__" / "x.pyc").write_text("made on this host")
    ran("stack", "--rotation-template", "--rotation-zip", "--rotation-code", "code")
    assert (ROOT / "infra/rotation.yaml").read_bytes() == (here / "rotation.yaml").read_bytes()
    made = (here / "rotation_function.zip").read_bytes()
    names = set(zipfile.ZipFile(here / "rotation_function.zip").namelist())
    assert {"app.py", "psycopg/__init__.py", "keyturn/rotation/wrapper.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("keyturn/cli/")]
    (code / "app.py").touch()
    assert (made, "") == ran("stack", "--rotation-zip", "-", "--rotation-code", "code")
    (code / "keyturn").mkdir()
    (code / "keyturn" / "__init__.py").write_text("another version")
    ran("stack", "--rotation-zip", "own.zip", "--rotation-code", "code")
    with zipfile.ZipFile(here / "own.zip") as archive:
        assert b"another version" == archive.read("keyturn/__init__.py")
        assert "keyturn/client.py" not in archive.namelist()


def test_a_packages_folder_may_have_links(here: Path) -> None:
    """To files and to folders, also twice to the same: a package has what is there."""
    (here / "lib" / "deep").mkdir(parents=True)
    (here / "lib" / "deep" / "driver.py").write_text("")
    (here / "code").mkdir()
    (here / "code" / "lib").symlink_to("../lib")
    (here / "code" / "again").symlink_to("../lib")
    (here / "code" / "app.py").symlink_to("../lib/deep/driver.py")
    ran("stack", "--rotation-zip", "--rotation-code", "code")
    names = set(zipfile.ZipFile(here / "rotation_function.zip").namelist())
    assert {"app.py", "lib/deep/driver.py", "again/deep/driver.py"} <= names


def test_what_may_be_run_may_be_run_from_the_package(here: Path) -> None:
    """A program that a driver brings, and no other file. Who may run it is the same on every host."""
    (here / "code").mkdir()
    modes = {"app.py": 0o600, "program": 0o700, "tool": 0o775}
    for name, mode in modes.items():
        (here / "code" / name).write_text("")
        (here / "code" / name).chmod(mode)
    ran("stack", "--rotation-zip", "--rotation-code", "code")
    with zipfile.ZipFile(here / "rotation_function.zip") as archive:
        packed = {one.filename: one.external_attr >> 16 for one in archive.infolist()}
    assert {"app.py": 0o644, "program": 0o755, "tool": 0o755} == {name: packed[name] for name in modes}
    assert {0o644} == {mode for name, mode in packed.items() if name.startswith("keyturn/")}


def unreadable(path: Path) -> None:
    """Make a file that nobody may read."""
    path.write_text("")
    path.chmod(0)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to("nothing"), "code/odd' cannot be packed: No such file or directory"),
        (lambda path: path.symlink_to("."), "code/odd' cannot be packed: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("odd"), "code/odd' cannot be packed: Too many levels of symb"),
        pytest.param(lambda path: path.mkdir(0), "code/odd' cannot be packed: Permission", marks=NOT_ROOT),
        pytest.param(unreadable, "code/odd' cannot be packed: Permission denied", marks=NOT_ROOT),
        (
            lambda path: Path(os.fsdecode(bytes(path) + b"\xff.py")).touch(),
            "odd\\udcff.py' cannot be packed: its name is no text",
        ),
    ],
    ids=["nowhere", "above", "itself", "a folder", "a file", "a name"],
)
def test_what_cannot_be_packed_is_named(here: Path, make: Callable[[Path], object], said: str) -> None:
    """A package without a part of the folder would fail at the next rotation, so none is written."""
    (here / "code").mkdir()
    make(here / "code" / "odd")
    _, told = ran("stack", "--rotation-zip", "--rotation-code", "code", code=2)
    assert f"--rotation-code: '{said}" in told
    assert ["code"] == [one.name for one in here.iterdir()]


def test_no_temporary_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to do about it is said, and no report of a defect."""
    monkeypatch.setattr(tempfile, "tempdir", str(here / "nothing"))
    _, told = ran("stack", "--listener-zip", "-", code=2)
    said = "no temporary folder can be made: No such file or directory. Name a place for it by TMPDIR."
    assert said in told


@pytest.mark.parametrize("other", ["out", "./below/../out"])
def test_two_files_do_not_fit_into_one(here: Path, other: str) -> None:
    """The second would replace the first, however its path is written. Nothing is written."""
    _, told = ran("stack", "--template", "out", "--rotation-template", other, "--force", code=2)
    assert f"{here / 'out'}: it is named for two files" in told.replace("\n", "")
    assert [] == list(here.iterdir())


def test_two_files_do_not_fit_into_stdout(here: Path) -> None:
    """Nobody could tell where the first ends. Nothing is written, not even what has a path of its own."""
    line = ("stack", "--template", "-", "--listener-zip", "-", "--rotation-template", "rotation.yaml")
    written, told = ran(*line, code=2)
    assert (b"", True) == (written, "-: it is named for two files" in told)
    assert [] == list(here.iterdir())


@pytest.mark.parametrize("option", ["--rotation-zip", "--rotation-code=."])
def test_a_package_is_made_of_a_folder(here: Path, option: str) -> None:
    """The one option without the other is refused."""
    _, told = ran("stack", "--template", option, code=2)
    assert "go together" in told
    assert [] == list(here.iterdir())


def test_a_place_of_ones_own_and_stdout(here: Path) -> None:
    """A file goes where it is wanted, also into a folder that is not there yet, or to stdout alone."""
    ran("stack", "--listener-zip", "build/code.zip")
    assert ["build"] == [one.name for one in here.iterdir()]
    assert (here / "build/code.zip").stat().st_size > 10_000
    assert ((ROOT / "infra/template.yaml").read_bytes(), "") == ran("stack", "--template", "-")


def test_what_is_there_is_not_lost(here: Path) -> None:
    """A file that differs stays, and nothing else is written; the same bytes and --force are no matter."""
    mine = here / "template.yaml"
    mine.write_text("mine")
    _, told = ran("stack", "--template", "--layer", code=2)
    assert "template.yaml: exists and differs" in told
    assert ["template.yaml"] == [one.name for one in here.iterdir()]
    assert "mine" == mine.read_text()
    ran("stack", "--template", "--force")
    assert "mine" != mine.read_text()
    ran("stack", "--template")


def test_a_place_that_cannot_be_written(here: Path) -> None:
    """A file where a folder is needed: the path and what the system says, and no report of a defect."""
    (here / "file").write_text("")
    _, said = ran("stack", "--template", "file/template.yaml", code=2)
    assert "file/template.yaml cannot be written: File exists (file). Choose another path." in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--template", "a"],
        ["--template", "a/x"],
        ["--terraform", "a"],
        ["--terraform", "a/x"],
        ["--rotation-zip", "a", "--rotation-code", "code"],
        ["--rotation-zip", "code/in", "--rotation-code", "code"],
    ],
)
def test_links_in_a_circle_are_no_place(here: Path, arguments: list[str]) -> None:
    """The path and what the system says, before a file is written."""
    (here / "a").symlink_to("b")
    (here / "b").symlink_to("a")
    (here / "code").symlink_to("deep", target_is_directory=True)
    (here / "deep").mkdir()
    _, said = ran("stack", "--listener-zip", "new.zip", *arguments, code=2)
    inside = "code/in: it would be inside of code, and so a part of the next package. Choose another path."
    assert "Too many levels of symbolic links (a" in said or inside in said
    assert {"a", "b", "code", "deep"} == {one.name for one in here.iterdir()}


def finished(here: Path, path: str, *, keeps: Sequence[int] = ()) -> tuple[int, str]:
    """The exit code and stderr of `keyturn stack --template path`, which may have 2 GB of memory."""
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)); "
        "from keyturn.cli import main; sys.argv[0] = 'keyturn'; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "stack", "--template", path],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        pass_fds=keeps,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_pipe_gets_the_file(here: Path) -> None:
    """Nothing is read from it, as it is with a shell's `>(program)`."""
    os.mkfifo(here / "pipe")
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit((here / "pipe").read_bytes)
        try:
            code, told = finished(here, "pipe")
        finally:
            # Ends the reader if nobody has written.
            if not reading.done():
                os.close(os.open(here / "pipe", os.O_RDWR))
        assert (0, True) == (code, told.startswith("pipe: "))
        assert (ROOT / "infra/template.yaml").read_bytes() == reading.result(timeout=60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no such device")
@pytest.mark.parametrize(
    ("device", "code", "said"),
    [("/dev/null", 0, "/dev/null: "), ("/dev/zero", 0, "/dev/zero: "), ("/dev/full", 1, "Error: the output")],
)
def test_a_device_is_not_read(here: Path, device: str, code: int, said: str) -> None:
    """Not one that never ends either. One that is full ends the command as a full disk does."""
    ended, told = finished(here, device)
    assert (code, True) == (ended, told.startswith(said)), told


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no such folder")
def test_a_reader_that_has_gone_is_no_fault_of_the_path(here: Path) -> None:
    """Exit code 1 without a word, as with stdout."""
    reads, writes = os.pipe()
    os.close(reads)
    try:
        assert (1, "") == finished(here, f"/dev/fd/{writes}", keeps=[writes])
    finally:
        os.close(writes)


def test_what_is_no_file_is_not_replaced(here: Path) -> None:
    """A folder is found before anything is written, and a file of another size is not read."""
    (here / "module" / "main.tf").mkdir(parents=True)
    _, said = ran("stack", "--listener-zip", "--terraform", "module", code=2)
    assert "main.tf cannot be written: Is a directory" in said.replace("\n", "")
    assert ["module"] == [one.name for one in here.iterdir()]
    with (here / "large").open("wb") as file:
        file.truncate(2**40)
    _, said = ran("stack", "--template", "large", code=2)
    assert "large: exists and differs" in said


def test_a_package_is_no_part_of_the_next_one(here: Path) -> None:
    """A package inside of the folder that it is made of would grow at each build."""
    (here / "app.py").write_text("handler = print\n")
    _, said = ran("stack", "--rotation-zip", "--rotation-code", ".", code=2)
    assert "rotation_function.zip: it would be inside of ., and so a part of the next package" in said
    assert ["app.py"] == [file.name for file in here.iterdir()]


def test_something_must_be_named(here: Path) -> None:
    """Without an option nothing is written, and the options are named."""
    _, told = ran("stack", code=2)
    assert "--listener-zip" in told
    assert [] == list(here.iterdir())


def test_a_folder_of_the_same_name_is_not_taken_for_ours(tmp_path: Path) -> None:
    """A user's own folder `rotation_listener` changes neither the zip nor the table of the test kit."""
    shadow = tmp_path / "rotation_listener"
    shadow.mkdir()
    (shadow / "__init__.py").write_text("")
    (shadow / "handler.py").write_text("import evil\n")
    program = (
        "from pathlib import Path; from keyturn.stack import listener; from keyturn.testing.account import "
        "table_definition; listener.build(Path('out.zip')); print(table_definition()['BillingMode'])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "src")])}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PAY_PER_REQUEST\n" == done.stdout
    assert build_listener(tmp_path / "ours.zip") == (tmp_path / "out.zip").read_bytes()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_a_bare_python_builds_the_zips(tmp_path: Path) -> None:
    """No package is imported, and no environment is made: `-S` leaves site-packages out."""
    environment = {"PATH": os.defpath, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    for tool in ("build_listener", "build_layer"):
        command = [sys.executable, "-S", "-m", f"tools.{tool}", str(tmp_path / f"{tool}.zip")]
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    said = subprocess.run(
        ["make", "--dry-run", "listener", "layer"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ".venv" not in said.stdout


def test_the_pages_are_at_hand() -> None:
    """`keyturn help` lists every page, and prints one as it stands; a page that is not there is named."""
    listed, _ = ran("help")
    pages = {file.stem for file in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages == {line.split()[0] for line in listed.decode().splitlines()}
    page, _ = ran("help", "operations")
    assert (ROOT / "docs/operations.md").read_bytes() == page
    _, told = ran("help", "nothing", code=2)
    assert "there is no topic 'nothing': keyturn help lists all topics" in told


def test_the_titles_of_the_pages_stand_below_each_other() -> None:
    """Also that of the page with the longest name."""
    listed, _ = ran("help")
    columns = {len(line) - len(line.split(maxsplit=1)[1]) for line in listed.decode().splitlines()}
    assert 1 == len(columns)


@pytest.mark.parametrize(
    ("topic", "meant"), [("operation", "operations"), ("CLI", "cli"), ("django.md", "django")]
)
def test_a_topic_that_is_nearly_right_is_found(topic: str, meant: str) -> None:
    """The error names the topic that was meant."""
    _, told = ran("help", topic, code=2)
    assert f"did you mean {meant}" in told


def test_the_name_of_a_command_is_told_where_its_help_is() -> None:
    """`keyturn help status` is a likely guess."""
    _, told = ran("help", "status", code=2)
    assert "'status' is a command and no topic: keyturn status --help" in told
