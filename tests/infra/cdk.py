"""AWS's CDK in an environment of its own, which `make cdk` makes, and what its apps become."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from tools.build_listener import ROOT

Template = Mapping[str, Mapping[str, Mapping[str, object]]]

APP = ROOT / "infra" / "cdk"
ALONE = ["unshare", "--net"]
MADE_ID = re.compile(r"\bKeyturnTemplate(?:Conditions|Outputs)?([A-Za-z0-9]+?)[0-9A-F]{8}\b")
"""How the CDK names what it includes, as long as the construct's id is Keyturn."""


def environment() -> Path:
    """The folder with the CDK for Python and its command; without it a test is skipped."""
    folder = os.environ.get("KEYTURN_TEST_CDK")
    if folder is None:
        pytest.skip("KEYTURN_TEST_CDK is not set: `make cdk` does it")
    return Path(folder).resolve()


def may_be_alone() -> bool:
    """Whether this process may start another in a network of its own."""
    if shutil.which(ALONE[0]) is None:
        return False
    return subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0


def run(folder: Path, *command: str, offline: bool = False) -> str:
    """What a command of that environment prints in this folder; it must succeed.

    `offline`: in a network of its own that leads nowhere, where this process may make one.
    """
    home = environment()
    alone = ALONE if offline and may_be_alone() else []
    path = os.pathsep.join([str(home / "bin"), str(home / "node_modules" / ".bin"), os.environ["PATH"]])
    settings = {
        "PATH": path,
        "HOME": str(folder),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        # A release of Node that AWS supports no longer says so in twelve lines.
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "true",
    }
    done = subprocess.run(
        [*alone, *command], cwd=folder, env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def synthesised(folder: Path, app: Path = APP) -> Path:
    """The folder of what `cdk synth` makes of a copy of an app, without network."""
    shutil.copytree(app, folder, ignore=shutil.ignore_patterns("cdk.out", "*.zip"), dirs_exist_ok=True)
    run(folder, "keyturn", "stack", "--layer")
    run(folder, "cdk", "synth", "--quiet", "--no-notices", offline=True)
    return folder / "cdk.out"


PLAIN = """
from aws_cdk import App, Stack
from keyturn.cdk import Keyturn

app = App()
Keyturn(Stack(app, "plain"), "Keyturn", {"CodeBucket": "code", "CodeKey": "key.zip"})
app.synth()
"""


def plain_stack(folder: Path) -> Template:
    """The stack of an app that has the construct and nothing besides, synthesised in this empty folder."""
    (folder / "app.py").write_text(PLAIN)
    shutil.copy(APP / "cdk.json", folder)
    run(folder, "cdk", "synth", "--quiet", "--no-notices", "--no-version-reporting", offline=True)
    return read_stack(folder / "cdk.out", "plain")


def read_stack(made: Path, name: str) -> Template:
    """A synthesised stack, in which what is included has the names and the spelling of the template."""
    text = (made / f"{name}.template.json").read_text("utf-8")
    return cast("Template", json.loads(MADE_ID.sub(r"\1", text), object_hook=_spelled))


def _spelled(node: dict[str, object]) -> dict[str, object]:
    """`Fn::GetAtt` as a list, and one dependency as a text; of both CloudFormation takes either."""
    match node:
        case {"Fn::GetAtt": str(path)}:
            return {"Fn::GetAtt": path.split(".", 1)}
        case {"DependsOn": [one]}:
            return {**node, "DependsOn": one}
    return node
