"""Secrets Manager of the embedded AWS, as the cache reads it and the listener describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.assembly import secrets_manager
from keyturn.aws.clients import ClientFactory
from tests.aws.catalog_contract import Account, CatalogContract, account_of
from tests.aws.rigs import ClientRig
from tests.aws.source_contract import Scene, SourceContract

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.e2e


class TestSecretsOnMinistack(SourceContract):
    """The contract of what reads values, over HTTP."""

    @pytest.fixture
    def scene(self, client: SecretsManagerClient) -> Scene:
        return Scene(secrets_manager(client, ClientFactory()), ClientRig(client), names_any_character=False)


class TestCatalogOnMinistack(CatalogContract):
    """The contract of what describes secrets, over HTTP."""

    @pytest.fixture
    def account(self, client: SecretsManagerClient) -> Account:
        return account_of(client)
