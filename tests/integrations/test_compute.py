"""docs/compute.md is true: its examples run, durable functions on a stand-in for AWS's SDK."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Self

import boto3
import pytest
from moto import mock_aws

from benchmarks.operations import VCPU_PROCESSES, checks
from tests.docs.pages import ROOT, python_blocks

PAGE = (ROOT / "docs" / "compute.md").read_text("utf-8")
NAMES = {"Lambda Managed Instances": 0, "MicroVMs": 1, "durable": 2, "its test": 3}
KEY = "canary-of-the-payments"


@dataclass
class Result:
    """What a run of the stand-in has stored."""

    steps: list[str]
    result: str


class Context:
    """A `DurableContext` that stores what steps return, as JSON."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, call: Callable[[object], object]) -> object:
        self.steps.append(json.dumps(call(None)))
        return json.loads(self.steps[-1])


class Runner:
    """AWS's test runner, as far as the page uses it."""

    def __init__(self, handler: Callable[[Mapping[str, str], Context], object]) -> None:
        self._handler = handler

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End nothing."""

    def run(self, *, input: str, execution_timeout: int) -> Result:  # noqa: A002 # its name
        assert execution_timeout
        context = Context()
        result = self._handler(json.loads(input), context)
        return Result(context.steps, json.dumps(result))


def durable_step(function: Callable[..., object]) -> Callable[..., Callable[[object], object]]:
    """Bind a step's arguments, and leave its context to be given."""
    return lambda *arguments: lambda context: function(context, *arguments)


@pytest.fixture
def _sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that the page imports of AWS's SDK and of its test runner."""
    names: dict[str, dict[str, object]] = {
        "aws_durable_execution_sdk_python": {
            "DurableContext": Context,
            "StepContext": object,
            "durable_execution": lambda function: function,
            "durable_step": durable_step,
        },
        "aws_durable_execution_sdk_python_testing": {},
        "aws_durable_execution_sdk_python_testing.runner": {"DurableFunctionTestRunner": Runner},
    }
    for name, members in names.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)


def run(*which: str) -> dict[str, object]:
    """Run blocks of the page one after the other, and return their names."""
    examples = python_blocks("docs/compute.md")
    assert len(NAMES) == len(examples)
    names: dict[str, object] = {"__name__": "page"}
    for one in which:
        exec(compile(examples[NAMES[one]], "page", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code
    return names


@pytest.mark.usefixtures("_sdk")
def test_the_page_stores_no_secret_and_its_test_would_see_one() -> None:
    """The example's test passes; it fails as soon as the step returns the key."""
    with mock_aws():
        boto3.client("secretsmanager").create_secret(Name="prod/payments", SecretString=KEY)
        names = run("durable", "its test")
        test = names["test_no_key_is_stored"]
        assert callable(test)
        test()
        cache = names["cache"]
        names["charge"] = durable_step(lambda _, order: cache.get("prod/payments").text() + order)  # type: ignore[attr-defined] # a SecretCache
        with pytest.raises(AssertionError, match=r"steps\[0\] holds the value of secret 'prod/payments'"):
            test()


def test_the_other_examples_run() -> None:
    """The handler logs in, and the application is behind the hooks."""
    with mock_aws():
        value = json.dumps({"username": "app", "password": "word"})
        boto3.client("secretsmanager").create_secret(Name="prod/orders", SecretString=value)
        handler = run("Lambda Managed Instances")["handler"]
        assert callable(handler)
        assert "logged in as app" == handler({}, None)
    assert callable(run("MicroVMs")["app"])


def test_the_price_of_checks_is_what_is_computed() -> None:
    """Of a process and of a vCPU with its 16 processes, at 5 s."""
    process, words = checks(5.0), " ".join(PAGE.split())
    assert f"a process costs ${process:.3f} a month" in words
    assert f"16 processes ${VCPU_PROCESSES * process:.2f}" in words
