"""The embedded AWS account, emptied before each end-to-end test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from keyturn.demo.stage import Stack, deploy
from keyturn.testing.embedded import EmbeddedAws
from tests.servers.fixtures import use
from tools.build_listener import ROOT, build_listener

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


@pytest.fixture
def aws(embedded_aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> EmbeddedAws:
    """An empty account, which every SDK of this process and of its children uses."""
    embedded_aws.reset()
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    use(embedded_aws, monkeypatch)
    return embedded_aws


@pytest.fixture
def session(aws: EmbeddedAws) -> boto3.Session:
    """A session in the empty account."""
    return boto3.Session(region_name=aws.environment["AWS_REGION"])


@pytest.fixture
def client(session: boto3.Session) -> Iterator[SecretsManagerClient]:
    """Secrets Manager in the empty account."""
    client = session.client("secretsmanager")
    yield client
    client.close()


@pytest.fixture(scope="session")
def listener_zip() -> Path:
    """The listener as it is shipped."""
    return build_listener()


@pytest.fixture
def stack(aws: EmbeddedAws, listener_zip: Path) -> Stack:
    """The deployed template, in an empty account."""
    return deploy(listener_zip, ROOT / "infra" / "template.yaml")
