"""The contract of `SecretSource`, kept by each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from moto import mock_aws

from keyturn.assembly import secrets_manager
from keyturn.aws.clients import ClientFactory
from keyturn.aws.extension import ExtensionSettings, ExtensionSource
from keyturn.testing.fakes import FakeSecretsManager
from tests.aws.extension_server import Answer, Extension, listening, serving
from tests.aws.rigs import ClientRig, FakeRig
from tests.aws.source_contract import Scene, SourceContract
from tests.serve.endpoint import TOKEN as ENDPOINT_TOKEN
from tests.serve.endpoint import Endpoint


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
            yield Scene(
                secrets_manager(client, ClientFactory()), ClientRig(client), names_any_character=False
            )


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
