"""Every command in the pages exists, with its options; and here it is said which of them were run."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from typing import Final, NamedTuple

import click
import pytest

from keyturn.cli.root import root
from tests.docs.pages import ROOT, blocks, pages, spans

SHELL: Final = ("sh", "shell", "bash", "console", "")
PROGRAMS: Final = ("make", "keyturn", "python", "pip", "aws", "sam", "terraform", "curl")

RUN: Final[Mapping[str, str]] = {
    "make listener": "cli/test_stack.py",
    "make demo": "e2e/test_demo.py",
    "make layer": "packaging/test_layer.py",
    "make simulate": "simulation/test_simulation.py",
    "make bugs": "simulation/test_simulation.py",
    "aws s3": "docs/test_install.py",
    "aws cloudformation": "docs/test_install.py",
    "aws cloudtrail": "runbook/test_findings.py",
    "aws dynamodb": "runbook/test_findings.py",
    "aws ec2": "runbook/test_findings.py",
    "aws events": "runbook/test_findings.py",
    "aws lambda": "runbook/test_findings.py",
    "aws logs": "runbook/test_alarms.py",
    "aws sqs": "runbook/test_alarms.py",
    "aws sts": "runbook/test_findings.py",
    "keyturn announce": "cli/test_announce_and_sweep.py",
    "keyturn demo": "cli/test_demo.py",
    "keyturn doctor": "cli/test_doctor.py",
    "keyturn help": "cli/test_stack.py",
    "keyturn policy": "policies/test_documentation.py",
    "keyturn serve": "e2e/test_serve.py",
    "keyturn stack": "cli/test_stack.py",
    "keyturn status": "docs/test_tutorial.py",
    "keyturn sweep": "docs/test_tutorial.py",
    "keyturn watch": "cli/test_watch.py",
    "make sam": "infra/test_sam.py",
    "sam deploy": "infra/test_sam.py",
    "sam delete": "infra/test_sam.py",
    "python cloud.py": "docs/test_tutorial.py",
    "python deploy.py": "docs/test_tutorial.py",
    "python create.py": "docs/test_tutorial.py",
    "python app.py": "docs/test_tutorial.py",
    "python rotate.py": "docs/test_tutorial.py",
}
"""What a test runs, at least by what is behind it; the test, below tests/."""

_CI: Final = (
    "test proofs pythons faults servers-packages servers compat lint scan sidecar cdk prose docs"
    " browser-packages site audit soak"
)
IN_CI: Final = frozenset(f"make {target}" for target in _CI.split(" "))
"""What `.ci/run` runs."""

BY_HAND: Final[Mapping[str, str]] = {
    "aws iam": "docs/iam.md",
    "aws secretsmanager": "docs/deploying-rotation.md",
    "curl": "docs/serve.md",
}
"""What was run by hand against the embedded AWS: on 2026-11-28 with AWS CLI 1.46.3, and those of
docs/deploying-rotation.md on 2026-11-30 with 1.45.11. It knows no cancel-rotate-secret."""

NOT_RUN: Final[Mapping[str, str]] = {
    "make bench": "a quarter of an hour; docs/performance.md says when it was run",
    "make screenshots": "its pictures are for people; `make site` opens the same pages",
    "make format": "it writes into the checkout",
    "make terraform": "it needs terraform",
    "make verdicts": "it writes records into the checkout; `make servers` tries what it records",
    "make stories": "it writes docs/login.md; `make servers` tells the short forms",
    "make release": "it installs its tools; packaging/test_release.py runs its parts",
    "make hashes": "it needs a package index; packaging/test_release.py judges what it wrote",
    "make mutants": "it installs its tool; docs/simulation.md says when it was run",
    "make coverage": "it runs all tests once more",
    "python -X": "an option of Python that a figure names",
    "python -m": "each module is there: `test_every_command_exists`",
    "pip install": "keyturn comes from a registry there; the extras are there: `test_every_command_exists`",
    "pip freeze": "it is about somebody's environment",
    "terraform init": "it needs terraform; `make terraform` does it",
    "terraform apply": "it needs terraform; `make terraform` does it",
    "aws ssm": "the public parameter of the extension's layer is AWS's",
}
"""What nobody ran, and why."""


class Command(NamedTuple):
    """One command of a page; `is_shown`: in a block, rather than named in a sentence."""

    page: str
    line: str
    is_shown: bool

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)

    @property
    def kind(self) -> str:
        """The program, and what it is asked for: `make lint`, `keyturn doctor`."""
        words = [word for word in self.words if "=" not in word]
        return " ".join(words[: 1 if words[0] == "curl" else 2])


def commands() -> Iterator[Command]:
    """Every command of the pages that names one of the programs."""
    for page in pages():
        for block in blocks(page):
            if block.language in SHELL:
                lines = block.text.replace("\\\n", " ").splitlines()
                yield from (Command(page, line.strip().removeprefix("$ "), is_shown=True) for line in lines)
        for span in spans(page):
            if span.type == "code_inline":
                yield Command(page, span.content, is_shown=False)


def is_command(command: Command) -> bool:
    """Whether it begins with a program and something asked of it; what keyturn says is none."""
    program, _, rest = command.line.partition(" ")
    says = ("serve needs", "demo needs", "demo builds", "COMMAND", "--debug")
    return program in PROGRAMS and bool(rest) and not rest.startswith(says)


COMMANDS: Final = [command for command in commands() if is_command(command)]


def make_trouble(words: list[str]) -> str | None:
    """What the Makefile does not know of `make …`: the target, or a variable."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for word in words[1:]:
        name, equals, _ = word.partition("=")
        pattern = rf"^{re.escape(name)}\s*\?=" if equals else rf"^{re.escape(name)}:"
        if not re.search(pattern, makefile, re.MULTILINE):
            return word
    return None


def keyturn_trouble(words: list[str]) -> str | None:
    """What click does not know of `keyturn …`: the sub-command, or an option."""
    command: click.Command = root
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        with click.Context(command) as context:
            found = command.get_command(context, rest[0])
        if found is None:
            return rest[0]
        command, rest = found, rest[1:]
    rest = [word for word in takewhile(lambda word: word != ">", rest) if word != "..."]
    try:
        with click.Context(command) as context:
            command.make_parser(context).parse_args(rest)
    except click.UsageError as error:
        return error.message
    return None


def python_trouble(words: list[str]) -> str | None:
    """A module that is not there."""
    if words[1] != "-m":
        return None
    return None if words[2] == "pip" or importlib.util.find_spec(words[2]) else words[2]


def pip_trouble(words: list[str]) -> str | None:
    """An extra that there is not."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"keyturn\[(.+)\]", " ".join(words))
    every = [extra for some in named for extra in some.split(",")]
    return next((one for one in every if one not in extras), None)


TROUBLE: Final[Mapping[str, Callable[[list[str]], str | None]]] = {
    "make": make_trouble,
    "keyturn": keyturn_trouble,
    "python": python_trouble,
    "pip": pip_trouble,
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page}: {command.line[:40]}")
def test_every_command_exists(command: Command) -> None:
    """Target, sub-command, option, module and extra are there."""
    find = TROUBLE.get(command.words[0])
    assert find is None or find(command.words) is None


def test_of_every_command_it_is_said_whether_it_was_run() -> None:
    """By a test that is there, by CI, by hand, or not at all: in one of the four tables, and in one only."""
    tables = (RUN.keys(), IN_CI, BY_HAND.keys(), NOT_RUN.keys())
    assert {one.kind for one in COMMANDS if sum(one.kind in table for table in tables) != 1} == set()
    assert {test for test in RUN.values() if not (ROOT / "tests" / test).is_file()} == set()
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    ci = re.findall(r"^(?:\w+=\w+ |as_root )?(make [\w-]+)", script, re.MULTILINE)
    assert IN_CI == set(ci)


def test_no_table_is_of_the_past() -> None:
    """What is in a table is in a page."""
    told = {*RUN, *IN_CI, *BY_HAND, *NOT_RUN}
    assert told - {one.kind for one in COMMANDS} == set()


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "make test NOTHING=1",
        "keyturn nothing",
        "keyturn status --nothing",
        "keyturn policy nobody",
        "keyturn policy reader --nothing x",
        "python -m keyturn.nothing",
        "pip install 'keyturn[nothing]'",
    ],
)
def test_a_command_that_does_not_exist_is_seen(line: str) -> None:
    """A target, variable, sub-command, option, module and extra that there is not."""
    words = shlex.split(line)
    assert TROUBLE[words[0]](words) is not None


def test_a_right_of_a_rotation_function_is_told_for_its_stack_too() -> None:
    """Whoever deployed the template changes its parameter, and prints no policy. It is for two strategies."""
    texts = ((ROOT / page).read_text("utf-8") for page in pages() if page.startswith("docs/"))
    parts = [part for text in texts for part in re.split(r"\n\n|\n(?=[-|] ?)", text)]
    asking = [part for part in parts if "ListSecretVersionIds" in part and "| `ListVersions` |" not in part]
    assert len(asking) >= 5
    assert [] == [part for part in asking if "`ListsVersions=true`" not in part]
    (explained,) = (part for part in parts if part.startswith("| `ListsVersions=true`"))
    assert "`ApiKeys`" in explained
    assert "`AlternatingUsers`" in explained
