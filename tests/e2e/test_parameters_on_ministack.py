"""Parameter Store of the embedded AWS, as the cache and the sweep read it."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from tests.aws.parameter_contract import ParameterSourceContract, Scene, client_scene

pytestmark = pytest.mark.e2e


class TestParametersOnMinistack(ParameterSourceContract):
    """The contract, over HTTP."""

    @pytest.fixture
    def scene(self, session: boto3.Session) -> Iterator[Scene]:
        client = session.client("ssm")
        yield client_scene(client, knows_labels=True, lists_arns=True)
        client.close()
