"""The contract of `SecretSource`, kept by each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_secretsmanager import SecretsManagerClient

from keyturn.sources.extension import ExtensionSettings, ExtensionSource
from keyturn.testing.fakes import FakeSecretsManager
from keyturn.wiring import secrets_manager
from tests.serve.endpoint import TOKEN as ENDPOINT_TOKEN
from tests.serve.endpoint import Endpoint
from tests.sources.extension_server import Answer, Extension, listening, serving
from tests.sources.source_contract import Scene, SourceContract


@dataclass
class FakeRig:
    """Makes secrets in a `FakeSecretsManager`."""

    secrets: FakeSecretsManager
    versions: Iterator[int] = field(default_factory=lambda: count(2))

    def create(self, name: str, value: str | bytes) -> str:
        return self.secrets.create(name, value)

    def rotate(self, name: str, value: str) -> str:
        version_id = f"v{next(self.versions)}"
        self.secrets.put(name, value, version_id)
        return version_id


@dataclass
class MotoRig:
    """Makes secrets in moto."""

    client: SecretsManagerClient

    def create(self, name: str, value: str | bytes) -> str:
        if isinstance(value, bytes):
            return self.client.create_secret(Name=name, SecretBinary=value)["ARN"]
        return self.client.create_secret(Name=name, SecretString=value)["ARN"]

    def rotate(self, name: str, value: str) -> str:
        return self.client.put_secret_value(SecretId=name, SecretString=value)["VersionId"]


class TestFake(SourceContract):
    """The fake that all other tests rest on."""

    @pytest.fixture
    def scene(self) -> Scene:
        secrets = FakeSecretsManager()
        return Scene(secrets, FakeRig(secrets))


class TestSecretsManager(SourceContract):
    """A boto3 client on moto."""

    @pytest.fixture
    def scene(self) -> Iterator[Scene]:
        with mock_aws():
            client = boto3.client("secretsmanager", region_name="eu-west-1")
            yield Scene(secrets_manager(client), MotoRig(client), names_any_character=False)


class TestExtension(SourceContract):
    """The extension, where it passes AWS's reason on."""

    @pytest.fixture
    def scene(self) -> Iterator[Scene]:
        with serving(Extension(FakeSecretsManager())) as extension:
            yield Scene(extension.source(), FakeRig(extension.secrets))


@dataclass
class ServedRig(FakeRig):
    """Makes secrets behind an endpoint, whose cache hears of a rotation at once."""

    endpoint: Endpoint = field(default_factory=Endpoint)

    def rotate(self, name: str, value: str) -> str:
        version_id = super().rotate(name, value)
        self.endpoint.world.clock.advance(5)
        self.endpoint.cache.invalidate(name)
        return version_id


class TestServe(SourceContract):
    """`keyturn serve` in the extension's place: its application and guard, and the same client."""

    @pytest.fixture
    def scene(self) -> Iterator[Scene]:
        endpoint = Endpoint()

        def answer(target: str, token: str | None) -> Answer:
            answered = endpoint.ask(target, {"X-Aws-Parameters-Secrets-Token": token or ""})
            return Answer(answered.status_code, answered.content)

        with listening(answer) as port:
            settings = ExtensionSettings(port=port)
            source = ExtensionSource(settings, token=lambda: ENDPOINT_TOKEN, sleep=lambda _: None)
            secrets = endpoint.world.secrets
            yield Scene(source, ServedRig(secrets, endpoint=endpoint))
