"""What makes, rotates and deletes secrets for the contracts: in a fake, or by a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.testing.fakes import FakeSecretsManager

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


@dataclass
class FakeRig:
    """Makes secrets in a `FakeSecretsManager`."""

    secrets: FakeSecretsManager
    rotations: int = 0

    def create(self, name: str, value: str | bytes) -> str:
        return self.secrets.create(name, value)

    def rotate(self, name: str, value: str) -> str:
        self.rotations += 1
        version_id = f"rotated-{self.rotations}"
        self.secrets.put(name, value, version_id)
        return version_id

    def delete(self, name: str) -> None:
        self.secrets.delete(name)


@dataclass(frozen=True)
class ClientRig:
    """Makes secrets by a client."""

    client: SecretsManagerClient

    def create(self, name: str, value: str | bytes) -> str:
        if isinstance(value, bytes):
            return self.client.create_secret(Name=name, SecretBinary=value)["ARN"]
        return self.client.create_secret(Name=name, SecretString=value)["ARN"]

    def rotate(self, name: str, value: str) -> str:
        return self.client.put_secret_value(SecretId=name, SecretString=value)["VersionId"]

    def delete(self, name: str) -> None:
        self.client.delete_secret(SecretId=name)
