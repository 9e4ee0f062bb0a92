"""The account that the places of the canary use: real HTTP, and a session token that is watched, too."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from tests.security.canary.service import Service, serving
from tests.security.canary.watched import TOKEN


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """AWS over HTTP, for all clients that are made from the environment."""
    with serving() as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL", one.url)
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        # One that an earlier test made would go on with the credentials of before.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        yield one
