"""The template of the examples: it is deployable, and its policies are the printed ones."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from keyturn.cli.root import root
from tests.listener.test_events import at
from tests.templates import read_template
from tools.build_layer import ROOT

EXAMPLES = ROOT / "examples"
PATH = EXAMPLES / "template.yaml"
LINE = re.compile(r"^  (?P<name>\w+):$|^      # keyturn (?P<command>policy .*)$", re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    """Each function that has a policy, and the command that is written above it."""
    name = ""
    for found in LINE.finditer(PATH.read_text("utf-8")):
        name = found["name"] or name
        if found["command"]:
            yield name, found["command"]


@pytest.fixture(scope="module")
def template() -> object:
    """The template as JSON."""
    return read_template(PATH)


def functions(template: object) -> dict[str, object]:
    """The functions by their names."""
    resources = at(template, "Resources")
    assert isinstance(resources, dict)
    return {name: one for name, one in resources.items() if one["Type"] == "AWS::Serverless::Function"}


def test_each_function_has_the_policy_that_the_command_prints(template: object) -> None:
    """The command above each policy prints that policy, and no function is without one."""
    told = dict(commands())
    assert functions(template).keys() == told.keys()
    for name, command in told.items():
        printed = CliRunner().invoke(root, shlex.split(command), env={"KEYTURN_MARKER_TABLE": ""})
        assert [json.loads(printed.stdout)] == at(functions(template)[name], "Properties.Policies")


def test_each_example_is_deployed(template: object) -> None:
    """Every folder with a handler is a function's code, and every function has such a folder."""
    folders = {str(at(one, "Properties.CodeUri")) for one in functions(template).values()}
    assert {f"{file.parent.name}/" for file in EXAMPLES.glob("*/app.py")} == folders


def test_the_readme_shows_each_example() -> None:
    """One row for each of them, and none for what is not there."""
    text = (EXAMPLES / "README.md").read_text("utf-8")
    shown = re.findall(r"^\| \[`(\w+)`\]\((\w+)/app\.py\)", text, re.MULTILINE)
    assert {(file.parent.name,) * 2 for file in EXAMPLES.glob("*/app.py")} == set(shown)


def test_the_examples_are_small() -> None:
    """At most 40 lines each, so that one can be read at a glance."""
    assert {} == {
        file.parent.name: length
        for file in EXAMPLES.glob("*/app.py")
        if (length := len(file.read_text("utf-8").splitlines())) > 40
    }
