"""The real servers of the tests: each is started once a session (with pytest-xdist once a worker).

The tests share them. A test that needs an empty account resets it first; the others give their
secrets, tables and database roles names of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from keyturn.testing.embedded import EmbeddedAws, EmbeddedPostgres


@pytest.fixture(scope="session")
def embedded_aws() -> Iterator[EmbeddedAws]:
    """An AWS account in which its own credentials may do everything."""
    from keyturn.testing.embedded import EmbeddedAws

    with EmbeddedAws() as aws:
        yield aws


@pytest.fixture(scope="session")
def _guarded_aws() -> Iterator[EmbeddedAws]:
    from keyturn.testing.embedded import EmbeddedAws

    with EmbeddedAws({"AUTH": "true"}) as aws:
        yield aws


@pytest.fixture(scope="module")
def guarded_aws(_guarded_aws: EmbeddedAws) -> Iterator[EmbeddedAws]:
    """An empty AWS account that enforces IAM, which every SDK of this process and its children uses."""
    _guarded_aws.reset()
    with pytest.MonkeyPatch.context() as patch:
        use(_guarded_aws, patch)
        yield _guarded_aws


def use(aws: EmbeddedAws, patch: pytest.MonkeyPatch) -> None:
    """Let every SDK of this process and its children use this account while `patch` lasts."""
    import boto3

    # A session that earlier tests made would go on with their credentials.
    patch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in aws.environment.items():
        patch.setenv(name, value)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server that logs every statement."""
    from keyturn.testing.embedded import EmbeddedPostgres

    settings = {"logging_collector": "on", "log_statement": "all", "log_min_messages": "info"}
    with EmbeddedPostgres(settings) as server:
        yield server
