"""docs/iam.md: each policy in it is what the command above it prints, and each statement is explained."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from click.testing import CliRunner

from keyturn.cli.root import root
from tools.build_listener import ROOT

TEXT = (ROOT / "docs" / "iam.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\nkeyturn (.*?)```\n\n```json\n(.*?)```\n\n(.*?)\n\n", TEXT, re.DOTALL)


def test_every_role_is_there() -> None:
    """One policy for each role that the command knows."""
    roles = [command.split()[1] for command, *_ in BLOCKS]
    readers = ["reader", "listener", "counter", "announcer", "rotation", "operator"]
    assert [*readers, "table", "table-key"] == roles


@pytest.mark.parametrize(("command", "policy", "table"), BLOCKS, ids=lambda text: text[:15])
def test_each_policy_is_what_its_command_prints(command: str, policy: str, table: str) -> None:
    """Literally, and every statement of it has its reason in the table below."""
    line = shlex.split(command.replace("\\\n", " "))
    assert policy == CliRunner().invoke(root, line, env={"KEYTURN_MARKER_TABLE": ""}).stdout
    for statement in json.loads(policy)["Statement"]:
        assert f"`{statement['Sid']}`" in table
