"""The `keyturn` command itself: what it lists, loads and exits with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner, Result

from keyturn import __version__
from keyturn.cli import policy
from keyturn.cli.doctor.command import CHECKS
from keyturn.cli.doctor.convergence import checks_of
from keyturn.cli.doctor.network import NETWORK
from keyturn.cli.ending import EXIT_INTERRUPTED
from keyturn.cli.output import echo_json, json_option
from keyturn.cli.root import (
    COMMANDS,
    EXIT_DEFECT,
    EXIT_NO,
    EXIT_UNANSWERED,
    LazyGroup,
    Listed,
    root,
)
from keyturn.errors import (
    ConfigurationError,
    InvalidSecretIdError,
    KeyturnError,
    SecretDeletedError,
    SecretNotFoundError,
    UnavailableError,
)
from tests.testing.processes import heed_interrupts

MADE = "keyturn_made_command"
PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def run(monkeypatch: pytest.MonkeyPatch, command: object, *arguments: str) -> Result:
    """What `keyturn made ...` does, where `made` is this command."""
    module = ModuleType(MADE)
    vars(module)["command"] = command
    monkeypatch.setitem(sys.modules, MADE, module)
    group = LazyGroup(listed={"made": Listed(MADE, "Made for a test.")}, help="A test.")
    return CliRunner().invoke(group, ["made", *arguments])


def raising(error: Exception) -> click.Command:
    """A command that fails like this."""

    @click.command
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_no_text_is_too_much_for_the_locale(encoding: str) -> None:
    """What its encoding lacks is written as an escape: in a table, and in JSON as one that JSON knows."""
    program = """
import sys
import click
from keyturn.cli import main, root
from keyturn.cli.output import console, echo_json, table_of

@click.command
def command():
    console().print(table_of("", ("",), [("caf\\udcff \\u20ac",)]))
    click.echo("caf\\u00e9 \\u20ac")
    echo_json({"name": "caf\\u00e9 \\u20ac \\U0001f511 \\udcff"})

root.root = command
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (0, b"") == (done.returncode, done.stderr)
    # click itself writes UTF-8 where the locale has nothing but ASCII.
    shown = done.stdout.decode("utf-8" if encoding == "ascii" else encoding)
    assert {"name": "caf\u00e9 \u20ac \U0001f511 \udcff"} == json.loads(shown[shown.index("{") :])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("no marker table"), 2),
        (InvalidSecretIdError("", "0 characters long"), 2),
        (SecretNotFoundError("prod/db"), 1),
        (SecretDeletedError("prod/db"), 1),
        (UnavailableError("prod/db", "timed out"), 3),
        (KeyturnError("something else"), 3),
    ],
)
def test_each_error_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: KeyturnError, code: int
) -> None:
    """keyturn's own errors are one line on stderr and an exit code, without a traceback."""
    result = run(monkeypatch, raising(error))
    assert (code, "") == (result.exit_code, result.stdout)
    assert str(error) in result.stderr
    assert "Traceback" not in result.stderr


def test_what_nobody_foresaw_is_a_defect_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign error's text could hold anything, so its name alone is shown; exit code 4."""
    result = run(monkeypatch, raising(RuntimeError("canary")))
    assert (4, "") == (result.exit_code, result.stdout)
    assert "RuntimeError" in result.stderr
    assert "canary" not in result.stderr


def test_debug_shows_where_an_error_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code stays; the traceback is there for who asks."""
    module = ModuleType(MADE)
    vars(module)["command"] = raising(UnavailableError("prod/db", "timed out"))
    monkeypatch.setitem(sys.modules, MADE, module)
    group = LazyGroup(listed={"made": Listed(MADE, "Made for a test.")}, help="A test.")
    result = CliRunner().invoke(group, ["--debug", "made"])
    assert (3, True) == (result.exit_code, "Traceback" in result.stderr)


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """As every shell has it, without a traceback."""

    @click.command
    def command() -> None:
        raise KeyboardInterrupt

    assert run(monkeypatch, command).exit_code == 130


def test_a_command_that_does_not_exist_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong name is refused with exit code 2."""
    group = LazyGroup(listed={}, help="A test.")
    assert CliRunner().invoke(group, ["nothing"]).exit_code == 2


def test_a_command_that_is_nearly_right_is_found() -> None:
    """The error names the command that was meant."""
    result = CliRunner().invoke(root, ["statsu"])
    assert (2, True) == (result.exit_code, "No such command 'statsu'. Did you mean status?" in result.stderr)


def test_no_line_of_the_list_of_policies_is_cut() -> None:
    """click ends a line that is too long for it with an ellipsis."""
    told = CliRunner().invoke(root, ["policy", "--help"]).stdout
    assert (
        "Print the policy of the counting function." in told,
        "..." in told.partition("Commands:")[2],
    ) == (True, False)


@pytest.mark.parametrize("table", ["", "a b", "arn:aws:s3:::bucket", "ssm:"])
@pytest.mark.parametrize(
    "command",
    [
        ["doctor"],
        ["status"],
        ["sweep"],
        ["watch"],
        ["announce", "prod/db"],
        ["status", "prod/db", "--wait", "9"],
    ],
)
def test_a_table_that_cannot_be_is_refused_before_any_request(command: list[str], table: str) -> None:
    """Every command says so by itself, with exit code 2, and names the option."""
    result = CliRunner().invoke(root, [*command, "--marker-table", table, "--region", "eu-west-1"])
    assert (2, True) == (result.exit_code, "--marker-table" in result.stderr), result.output


@pytest.mark.parametrize("command", ["doctor", "status"])
def test_a_convergence_table_that_cannot_be_is_refused(command: str) -> None:
    """With the option in the text, before any request."""
    arguments = [
        command,
        "--marker-table",
        "keyturn-markers",
        "--convergence-table",
        "a b",
        "--region",
        "eu-west-1",
    ]
    result = CliRunner().invoke(root, arguments)
    assert (2, True) == (result.exit_code, "--convergence-table: 'a b' is neither" in result.stderr)


@pytest.mark.parametrize("command", [["doctor"], ["status"], ["sweep"], ["watch"], ["announce", "prod/db"]])
def test_a_missing_table_is_asked_for_by_option_and_variable(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same words by every command."""
    monkeypatch.delenv("KEYTURN_MARKER_TABLE", raising=False)
    result = CliRunner().invoke(root, command)
    assert "Missing option '--marker-table' (env var: 'KEYTURN_MARKER_TABLE')." in result.stderr


def test_the_help_lists_commands_without_loading_them() -> None:
    """`keyturn --help` names each command and imports none: this one could not be."""
    group = LazyGroup(listed={"made": Listed("keyturn.no_such_module", "Made for a test.")}, help="A test.")
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    assert "made  Made for a test." in result.stdout


def test_json_goes_to_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--json` answers with one document, readable by a program and by people."""

    @click.command
    @json_option
    def command(*, as_json: bool) -> None:
        echo_json({"asked": as_json})

    assert run(monkeypatch, command, "--json").stdout == '{\n  "asked": true\n}\n'


def test_every_listed_command_exists() -> None:
    """Each name in the list loads and has a help of its own."""
    group = LazyGroup(listed=COMMANDS, help="A test.")
    exits = {name: CliRunner().invoke(group, [name, "--help"]).exit_code for name in COMMANDS}
    assert exits == dict.fromkeys(COMMANDS, 0)


def test_no_help_sends_its_reader_to_a_file_of_the_checkout() -> None:
    """A user who installed keyturn by pip has none of them, also not of those that `policy` names."""
    group = LazyGroup(listed=COMMANDS, help="A test.")
    lines = [[name] for name in COMMANDS] + [["policy", role] for role in sorted(policy.command.commands)]
    helps = {" ".join(line): CliRunner().invoke(group, [*line, "--help"]).stdout for line in lines}
    files = re.compile(r"\b(?:docs|infra|tests|tools|examples)/\S*")
    assert [] == [(line, found) for line, text in helps.items() for found in files.findall(text)]


def test_every_command_answers_a_program() -> None:
    """Each has `--json`, but those that answer with JSON always, over HTTP, or with a file."""
    group = LazyGroup(listed=COMMANDS, help="A test.")
    help_of = {name: CliRunner().invoke(group, [name, "--help"]).stdout for name in COMMANDS}
    assert {"help", "policy", "serve", "stack"} == {
        name for name, text in help_of.items() if "--json" not in text
    }


def test_the_command_starts_without_an_aws_client() -> None:
    """`python -m keyturn --version` and that of keyturn.cli answer, and load no AWS client and no server."""
    probe = (
        "import sys; from click.testing import CliRunner; from keyturn.cli.root import root; "
        "print(CliRunner().invoke(root, ['--help']).exit_code, 'botocore' in sys.modules, "
        "'starlette' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["0", "False", "False"]
    for package in ("keyturn", "keyturn.cli"):
        version = [sys.executable, "-m", package, "--version"]
        shown = subprocess.run(version, capture_output=True, text=True, check=True)
        assert shown.stdout == f"keyturn, version {__version__}\n"


def first_cells(heading: str) -> list[str]:
    """The first column of the table under a heading of docs/cli.md, without its head."""
    _, _, rest = PAGE.read_text("utf-8").partition(f"# {heading}\n")
    rows = [line for line in rest.partition("\n#")[0].splitlines() if line.startswith("|")]
    return [row.split("|")[1].strip() for row in rows[2:]]


def word(cell: str) -> str:
    """What is named in code at the start of a cell."""
    return cell.strip("`").partition(" ")[0]


def test_the_page_has_every_command_check_and_exit_code() -> None:
    """docs/cli.md lists what there is, and nothing else."""
    codes = {0, EXIT_NO, 2, EXIT_UNANSWERED, EXIT_DEFECT, EXIT_INTERRUPTED, 143}
    assert set(COMMANDS) == {word(cell) for cell in first_cells("The `keyturn` command")}
    assert {NETWORK, *CHECKS, *checks_of("a-table"), "clients", "parameter", "secret"} == {
        word(cell) for cell in first_cells("What `doctor` looks at")
    }
    assert codes == {int(cell) for cell in first_cells("Exit codes")}


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ConfigurationError("no marker table"), "ConfigurationError", 2),
        (UnavailableError("prod/db", "timed out"), "UnavailableError", 3),
        (RuntimeError("canary"), "RuntimeError", 4),
    ],
)
def test_an_error_is_json_too_where_json_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, code: int
) -> None:
    """One document on stdout, the same line on stderr, and the same exit code; a foreign text in neither."""

    @click.command
    @json_option
    def command(*, as_json: bool) -> None:
        raise error

    result = run(monkeypatch, command, "--json")
    told = json.loads(result.stdout)["error"]
    assert (kind, code, code) == (told["kind"], told["exit_code"], result.exit_code)
    assert told["message"] in result.stderr
    assert "canary" not in result.output
    assert "" == run(monkeypatch, command).stdout


def test_a_wrong_command_line_is_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an option that does not exist, before or after `--json`."""

    @click.command
    @json_option
    def command(*, as_json: bool) -> None: ...

    for line in (("--json", "--nothing"), ("--nothing", "--json")):
        result = run(monkeypatch, command, *line)
        assert (2, 2) == (result.exit_code, json.loads(result.stdout)["error"]["exit_code"])


@pytest.mark.parametrize(
    "arguments", [["--help"], ["policy", "table", "--help"], ["help", "cli"], ["status", "--json"]]
)
def test_output_that_does_not_fit_is_one_line(arguments: list[str]) -> None:
    """A full disk is no defect of keyturn: the line says what the system says, and the exit code is 1."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "keyturn.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (1, ["Error: the output cannot be written: No space left on device"]) == (
        done.returncode,
        done.stderr.splitlines(),
    )


def test_a_closed_output_is_no_error() -> None:
    """`keyturn help cli >&-` has nowhere to print to, and says nothing."""
    command = 'exec "$0" -m keyturn.cli help cli >&-'
    done = subprocess.run(["sh", "-c", command, sys.executable], stderr=subprocess.PIPE, check=False)
    assert (0, b"") == (done.returncode, done.stderr)


LOSES_IT = """
import contextlib, signal
with contextlib.suppress(BaseException):
    signal.raise_signal(signal.SIGINT)
print("it went on")
"""
IMPORTED = """
from keyturn.cli.root import LazyGroup, Listed
LazyGroup(listed={"made": Listed("loses_it", "")}, help="A test.").main(["made"])
"""
MADE_FOR_A_CLIENT = """
from keyturn.cli.account import Account
class Clients:
    def make(self, *given, **named):
        import loses_it
Account("keyturn-markers", clients=Clients()).client("dynamodb")
"""


@pytest.mark.parametrize("program", [IMPORTED, MADE_FOR_A_CLIENT], ids=["command", "client"])
def test_ctrl_c_ends_the_command_where_a_package_loses_it(tmp_path: Path, program: str) -> None:
    """While a command is imported or a client made, Ctrl-C ends the process, whatever the package catches."""
    (tmp_path / "loses_it.py").write_text(LOSES_IT)
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"],
        capture_output=True,
        check=False,
        preexec_fn=heed_interrupts,  # the test has no threads
    )
    assert (EXIT_INTERRUPTED, b"", b"") == (done.returncode, done.stdout, done.stderr)
