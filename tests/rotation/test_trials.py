"""Rotation functions, each through every trial of the test kit, on a real server where there is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from keyturn.rotation import RotationFunction, announcing
from keyturn.rotation.apikeys import ApiKeys, IssuedKey
from keyturn.testing import TRIALS, RotationSubject, RotationTrial
from keyturn.testing.moto import mend_moto
from tests.rotation.conftest import Stage
from tests.rotation.test_announcing import Template, Told

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


@pytest.mark.e2e
@pytest.mark.proof
@pytest.mark.parametrize("strategy", ["single", "alternating"])
@pytest.mark.parametrize("trial", TRIALS)
def test_postgresql(stage: Stage, strategy: str, trial: RotationTrial) -> None:
    """On a real server. With two users in turn it takes AWSCURRENT at any time, and AWSPREVIOUS too."""
    is_alternating = strategy == "alternating"
    function = stage.function(stage.alternating() if is_alternating else None)

    def lets_in(value: str) -> bool:
        fields: dict[str, str] = json.loads(value)
        return stage.accepts(fields["username"], fields["password"])

    if is_alternating:
        RotationSubject(stage.client, stage.name, function).rotation().run()
    trial(RotationSubject(stage.client, stage.name, function, lets_in, keeps_previous=is_alternating))


class Api:
    """An API that issues keys, in memory. The same token gets the same key."""

    def __init__(self) -> None:
        self.keys = {"key-0": "value-0"}
        self.issued: dict[str, str] = {}

    def issue(self, token: str) -> IssuedKey:
        key_id = self.issued.setdefault(token, f"key-{len(self.issued) + 1}")
        self.keys[key_id] = f"value of {key_id}"
        return IssuedKey(key_id, self.keys[key_id])

    def test(self, value: str) -> str | None:
        return next((key_id for key_id, known in self.keys.items() if known == value), None)

    def revoke(self, key_id: str) -> None:
        self.keys.pop(key_id, None)


@pytest.fixture
def secrets() -> Iterator[SecretsManagerClient]:
    """Secrets Manager, in memory."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        yield client


def enabled(client: SecretsManagerClient, name: str, value: object) -> None:
    """Make a secret whose rotation is on."""
    client.create_secret(Name=name, SecretString=json.dumps(value))
    client.rotate_secret(SecretId=name, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False)


def unheard(secret_id: str, *, version_id: str, step: str) -> None:
    """Announce nothing."""


@pytest.mark.proof
@pytest.mark.parametrize("trial", TRIALS)
def test_api_keys(secrets: SecretsManagerClient, trial: RotationTrial) -> None:
    """Both keys work at any time, and none is left over but those of versions with a label."""
    api = Api()
    enabled(secrets, "prod/api", {"id": "key-0", "value": "value-0"})
    function = RotationFunction(ApiKeys(api), secrets, announce=unheard)

    def lets_in(value: str) -> bool:
        fields: dict[str, str] = json.loads(value)
        return api.test(fields["value"]) == fields["id"]

    subject = RotationSubject(secrets, "prod/api", function, lets_in)
    subject.rotation().run()
    trial(RotationSubject(secrets, "prod/api", function, lets_in, keeps_previous=True))
    subject.rotation().run()
    assert 3 >= len(api.keys)


@pytest.mark.parametrize("trial", TRIALS)
def test_a_function_of_awss_that_is_announced(secrets: SecretsManagerClient, trial: RotationTrial) -> None:
    """A handler in the manner of AWS's templates, wrapped."""
    enabled(secrets, "app/db", {"username": "app", "password": "one"})
    template = Template(secrets)

    def lets_in(value: str) -> bool:
        return bool(json.loads(value)["password"] == template.server)

    handler = announcing(template.lambda_handler, announce=Told(secrets))
    trial(RotationSubject(secrets, "app/db", handler, lets_in))
