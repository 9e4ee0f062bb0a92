"""The rotation driver on moto, in-process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from keyturn.testing.moto import mend_moto
from tests.testing.rotation_contract import RotationContract, Stage, stage

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

__all__ = ["stage"]


def new_client() -> SecretsManagerClient:
    """One that nobody has mended."""
    return boto3.client(
        "secretsmanager",
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@pytest.fixture
def client() -> Iterator[SecretsManagerClient]:
    """Secrets Manager by moto."""
    with mock_aws():
        yield new_client()


class TestRotationOnMoto(RotationContract):
    @pytest.fixture(autouse=True)
    def mended(self, client: SecretsManagerClient) -> None:
        mend_moto(client)


def test_moto_still_needs_mending(stage: Stage) -> None:
    """Unmended moto answers the old version after a move of AWSCURRENT: if not, drop `mend_moto`."""
    stage.rotation().run()
    assert stage.read() == "one"


def test_labels_that_another_client_moved(client: SecretsManagerClient, stage: Stage) -> None:
    """A rotation function with a client of its own: the mended client puts on what it left."""
    stage.rotation().run()
    mended = new_client()
    mend_moto(mended)
    mended.put_secret_value(SecretId=stage.name, SecretString="three")
    assert [1] == [len(holders) for label, holders in stage.labels().items() if label == "AWSCURRENT"]
    assert stage.read() == "three"


def test_labels_that_a_mended_client_moved(client: SecretsManagerClient, stage: Stage) -> None:
    """A client of the code under test finds them mended at once, without a call of the mended one."""
    mend_moto(client)
    rotation = stage.rotation()
    rotation.run()
    assert "one'" == new_client().get_secret_value(SecretId=stage.name)["SecretString"]
    rotation.rollback()
    assert "one" == new_client().get_secret_value(SecretId=stage.name)["SecretString"]
