"""Reading a version by its id alone, through a real client."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from keyturn import Peers, SecretCache, SecretNotFoundError, StageNotFoundError
from keyturn.aws.secretsmanager import VersionSource

VERSION_IDS = tuple(f"{number:032d}" for number in range(3))


def test_a_version_is_read_by_its_id_alone() -> None:
    """Any version that is still there is found, once per version; an unknown one is a missing version."""
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        client.create_secret(Name="prod/db", SecretString="0", ClientRequestToken=VERSION_IDS[0])
        for number in (1, 2):
            client.put_secret_value(
                SecretId="prod/db", SecretString=str(number), ClientRequestToken=VERSION_IDS[number]
            )
        cache = SecretCache(peers=Peers(source=VersionSource(lambda: client)))
        found = [cache.get("prod/db", stage=version_id).string for version_id in VERSION_IDS * 2]
        assert found == ["0", "1", "2"] * 2
        with pytest.raises(StageNotFoundError):
            cache.get("prod/db", stage=32 * "9")
        with pytest.raises(SecretNotFoundError):
            cache.get("prod/other", stage=VERSION_IDS[0])
