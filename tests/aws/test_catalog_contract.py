"""The contract of `Catalog`, kept by the fake and by a boto3 client."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from keyturn.testing.fakes import FakeSecretsManager
from tests.aws.catalog_contract import Account, CatalogContract, account_of
from tests.aws.rigs import FakeRig


class TestFake(CatalogContract):
    """The fake that the tests of the listener rest on."""

    @pytest.fixture
    def account(self) -> Account:
        secrets = FakeSecretsManager()
        return Account(secrets, secrets, FakeRig(secrets))


class TestMoto(CatalogContract):
    """A boto3 client on moto."""

    @pytest.fixture
    def account(self) -> Iterator[Account]:
        with mock_aws():
            yield account_of(boto3.client("secretsmanager", region_name="eu-west-1"))
