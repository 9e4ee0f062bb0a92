"""One embedded AWS with the deployed listener, and a proxy before it, for all tests of faults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import pytest

from keyturn.demo.stage import DeploymentError, Stack, deploy
from keyturn.testing.embedded import EmbeddedAws
from tests.faults.figures import measured, table
from tests.faults.proxy import FaultProxy
from tests.servers.fixtures import use
from tools.build_listener import ROOT, build_listener

WARM_UPS = 5


@dataclass(frozen=True)
class Chain:
    """The whole chain: reader and listener talk to AWS through the proxy, tests themselves directly."""

    aws: EmbeddedAws
    proxy: FaultProxy
    stack: Stack


@pytest.fixture(scope="module")
def whole_chain() -> Iterator[Chain]:
    """The chain, made once, with three copies of the head: a reader draws one of them."""
    with EmbeddedAws() as aws, FaultProxy(aws.endpoint_url) as proxy, pytest.MonkeyPatch.context() as patch:
        use(aws, patch)
        stack = deploy(build_listener(), ROOT / "infra" / "template.yaml", {"HeadCopies": "3"})
        through_the_proxy(stack, proxy)
        warmed_up(stack)
        yield Chain(aws, proxy, stack)


@pytest.fixture
def chain(whole_chain: Chain) -> Iterator[Chain]:
    """The chain, with nothing broken before and after."""
    whole_chain.proxy.heal()
    whole_chain.proxy.forget()
    yield whole_chain
    whole_chain.proxy.heal()


def through_the_proxy(stack: Stack, proxy: FaultProxy) -> None:
    """Let the deployed function's clients use the proxy."""
    functions = boto3.client("lambda")
    environment = functions.get_function_configuration(FunctionName=stack.listener)["Environment"]
    functions.update_function_configuration(
        FunctionName=stack.listener,
        Environment={"Variables": environment["Variables"] | {"AWS_ENDPOINT_URL": proxy.url}},
    )


def warmed_up(stack: Stack) -> None:
    """Sweep until it succeeds: on a busy machine the emulator's first answers take longer than a time-out."""
    for _ in range(WARM_UPS):
        with contextlib.suppress(DeploymentError):
            return stack.sweep()
    raise DeploymentError(f"{WARM_UPS} sweeps have failed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if measured:
        terminalreporter.section("faults on the real chain")
        for line in table(measured):
            terminalreporter.write_line(line)
