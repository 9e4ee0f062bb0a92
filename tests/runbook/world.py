"""A deployed stack on an embedded AWS, a shell that is typed into, and what the doctor finds there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import boto3
import pytest
from botocore.config import Config
from click.testing import CliRunner

from keyturn.cli.doctor.command import Clients, diagnose, document
from keyturn.cli.doctor.finding import Aws, Subject
from keyturn.cli.root import root
from keyturn.testing.embedded import EmbeddedAws
from tests.docs.pages import ROOT, blocks, tokens
from tests.docs.terminal import Terminal
from tests.docs.test_install import awscli

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient

PAGE = "docs/runbook.md"
SECRET = "prod/db"  # it is a name
HEAD = {"pk": {"S": "head"}}
OURS = re.compile(r"(AWS|KEYTURN)_\w+|NO_PROXY|STACK|TABLE|FUNCTION|ROLE|LOG|QUEUE|LISTENER")

Answer = Callable[[], Mapping[str, object]]


def sections() -> dict[str, str]:
    """Heading of the third level -> the commands below it, typed one block after the other."""
    found: dict[str, str] = {}
    heading = ""
    parsed = iter(tokens(PAGE))
    for token in parsed:
        if token.type == "heading_open":
            text = next(parsed).content
            heading = text if token.tag == "h3" else ""
            if heading:
                found[heading] = ""
        elif token.type == "fence" and heading:
            found[heading] += token.content
    return found


@dataclass
class World:
    """The account with the stack, and the reader of the page, who types into one shell.

    `answers` replaces answers of AWS: service and operation -> what answers instead. `skew_s` is how far off
    this host's clock is. `of_doctor` are variables that the doctor alone has, as with another role.
    """

    aws: EmbeddedAws
    folder: Path
    terminal: Terminal
    answers: dict[str, Answer] = field(default_factory=dict)
    skew_s: float = 0.0
    within_s: float = 10.0
    of_doctor: dict[str, str] = field(default_factory=dict)
    start: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def session(self) -> boto3.Session:
        return boto3.Session(region_name=self.aws.environment["AWS_REGION"])

    @property
    def dynamodb(self) -> DynamoDBClient:
        return self.session.client("dynamodb")

    @property
    def events(self) -> EventBridgeClient:
        return self.session.client("events")

    @property
    def functions(self) -> LambdaClient:
        """Without retries, since what is throttled is not to be asked for long."""
        return self.session.client("lambda", config=Config(retries={"total_max_attempts": 1}))

    def type(self, block: str) -> str:
        """Type a block; what it printed. It fails with the first command that fails."""
        return self.terminal.run(block)

    def export(self, **variables: str) -> None:
        """Set variables of the shell."""
        self.type("\n".join(f"export {name}='{value}'" for name, value in variables.items()))

    @property
    def variables(self) -> dict[str, str]:
        """The shell's variables of AWS, of keyturn and of the page."""
        file = self.folder / "variables"
        self.type(f"env -0 > {file}")
        pairs = (line.partition("=") for line in file.read_text().split("\0"))
        return {name: value for name, _, value in pairs if OURS.fullmatch(name)}

    def named(self, variable: str) -> str:
        """The value of any variable of the shell."""
        return self.type(f'printf "%s\\n" "${variable}"').strip()

    def part(self, name: str) -> str:
        """The physical id of a resource of the stack."""
        stacks = self.session.client("cloudformation")
        found = stacks.describe_stack_resource(StackName=self.start["STACK"], LogicalResourceId=name)
        return found["StackResourceDetail"]["PhysicalResourceId"]

    def calm(self) -> None:
        """Take back what a story did to this host."""
        self.answers.clear()
        self.of_doctor.clear()
        self.skew_s, self.within_s = 0.0, 10.0
        gone = self.variables.keys() - self.start.keys()
        self.type("\n".join(["true", *(f"unset {name}" for name in gone)]))
        self.export(**self.start)

    def doctor(self, *options: str) -> list[dict[str, str]]:
        """What `keyturn doctor` finds with the shell's variables."""
        with environment({**self.variables, **self.of_doctor}):
            if not (self.answers or self.skew_s or self.within_s < 10.0):
                said = CliRunner().invoke(root, ["doctor", "--json", *options]).stdout
                return cast("list[dict[str, str]]", json.loads(said)["findings"])
            table, region = os.environ["KEYTURN_MARKER_TABLE"], os.environ["AWS_REGION"]
            aws = Replaced(Clients(None), self.answers)
            subject = Subject(aws, table, region, lambda: time.time() + self.skew_s)
            return [document(one) for one in diagnose(subject, within_s=self.within_s)]

    def sweep(self) -> Mapping[str, object]:
        """What Lambda answers if the listener is told to sweep."""
        told = json.dumps({"keyturn": "sweep"}).encode()
        answer = self.functions.invoke(FunctionName=self.start["FUNCTION"], Payload=told)
        answer["Payload"].read()
        return cast("Mapping[str, object]", answer)

    def logged(self, since_s: float) -> list[dict[str, object]]:
        """The lines of the listener's log since then."""
        logs = self.session.client("logs")
        events = logs.filter_log_events(logGroupName=self.start["LOG"], startTime=int(since_s * 1000))[
            "events"
        ]
        lines = [event["message"] for event in events]
        return [json.loads(line) for line in lines if line.startswith("{")]


@dataclass(frozen=True)
class Replaced:
    """Answers some calls itself, and passes on the others."""

    aws: Aws
    answers: Mapping[str, Answer]

    def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
        answer = self.answers.get(f"{service}:{operation}")
        return answer() if answer is not None else self.aws.call(service, operation, **request)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let this process have these variables of AWS and keyturn, and no others of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [one for one in os.environ if one.startswith(("AWS_", "KEYTURN_"))]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def programs(folder: Path) -> Path:
    """A folder for PATH: `keyturn` of this checkout, `aws`, and a `sudo` that only notes what it is given."""
    bin_ = folder / "bin"
    bin_.mkdir()
    aws = shutil.which("aws") or installed_aws(folder)
    scripts = {
        "keyturn": f'PYTHONPATH={ROOT / "src"} exec {sys.executable} -m keyturn.cli "$@"',
        # The AWS CLI 1 takes the endpoint of SQS from the option alone.
        "aws": f'exec {aws} --endpoint-url "$AWS_ENDPOINT_URL" "$@"',
        "sudo": f'echo "$@" >> {folder / "sudo"}',
    }
    for name, script in scripts.items():
        file = bin_ / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    return bin_


def first_block() -> str:
    """The variables that the page sets once."""
    return next(block.text for block in blocks(PAGE) if block.language == "sh")


def installed_aws(folder: Path) -> str:
    """The AWS CLI that is pinned, in an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", awscli()]
    subprocess.run(install, check=True)
    return str(folder / "venv" / "bin" / "aws")
