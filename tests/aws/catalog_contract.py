"""What every `Catalog` keeps, in memory or behind a client: what is known of secrets without a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from keyturn.assembly import secrets_manager
from keyturn.aws.catalog import SecretsManagerCatalog
from keyturn.aws.clients import ClientFactory
from keyturn.errors import SecretDeletedError, SecretNotFoundError
from keyturn.model.protocols import Catalog, SecretSource
from keyturn.model.versions import Described
from tests.aws.rigs import ClientRig, FakeRig

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CANARY = "canary-9Ld4"


@dataclass(frozen=True, slots=True)
class Account:
    """Secrets, what reads their values, and what describes them."""

    catalog: Catalog
    source: SecretSource
    rig: FakeRig | ClientRig


def account_of(client: SecretsManagerClient) -> Account:
    """What keyturn sees by a client."""
    return Account(SecretsManagerCatalog(client), secrets_manager(client, ClientFactory()), ClientRig(client))


class CatalogContract:
    """Every implementation inherits these tests and brings its own `account`, empty."""

    def test_a_secret_by_name_and_by_arn(self, account: Account) -> None:
        """Its ARN, its name, which version has each label; no value."""
        arn = account.rig.create("prod/db", CANARY)
        first = account.source.read("prod/db", stage="AWSCURRENT").version_id
        expected = Described(arn, "prod/db", {"AWSCURRENT": first}, deleted=False)
        found = [account.catalog.describe(one) for one in ("prod/db", arn)]
        assert [expected, expected] == [one._replace(changed_s=None) for one in found]
        assert CANARY not in repr(expected) + repr(account.catalog.describe(arn))

    def test_the_moment_of_the_last_change_is_told(self, account: Account) -> None:
        """By both calls alike, and later after a rotation."""
        account.rig.create("prod/db", "one")
        (listed,) = account.catalog.list()
        before = account.catalog.describe("prod/db").changed_s
        assert listed.changed_s == before
        assert before is not None
        account.rig.rotate("prod/db", "two")
        after = account.catalog.describe("prod/db").changed_s
        assert after is not None
        assert after >= before

    def test_labels_follow_a_rotation(self, account: Account) -> None:
        """AWSPREVIOUS is on the version that AWSCURRENT has left, and on no other."""
        account.rig.create("prod/db", "one")
        account.rig.rotate("prod/db", "two")
        second = account.source.read("prod/db", stage="AWSCURRENT").version_id
        third = account.rig.rotate("prod/db", "three")
        stages = account.catalog.describe("prod/db").stages
        assert {"AWSCURRENT": third, "AWSPREVIOUS": second} == stages

    def test_all_are_listed_as_they_are_described(self, account: Account) -> None:
        """Every secret once, also one that is deleted."""
        for name in ("prod/db", "prod/token", "old"):
            account.rig.create(name, "one")
        account.rig.rotate("prod/db", "two")
        account.rig.delete("old")
        listed = {one.name: one for one in account.catalog.list()}
        assert listed == {name: account.catalog.describe(name) for name in ("prod/db", "prod/token", "old")}
        assert ["old"] == [name for name, one in listed.items() if one.deleted]

    def test_a_deleted_secret_is_described_and_not_read(self, account: Account) -> None:
        """Its deletion is told, and its value is `SecretDeletedError`."""
        account.rig.create("prod/db", "one")
        account.rig.delete("prod/db")
        assert account.catalog.describe("prod/db").deleted
        with pytest.raises(SecretDeletedError, match="prod/db"):
            account.source.read("prod/db", stage="AWSCURRENT")

    def test_a_secret_that_is_not_there(self, account: Account) -> None:
        """`SecretNotFoundError`; and an empty account lists none."""
        with pytest.raises(SecretNotFoundError, match="nowhere"):
            account.catalog.describe("nowhere")
        assert [] == list(account.catalog.list())
