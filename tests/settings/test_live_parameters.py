"""`FromParameter`: fields of a settings model that follow parameters of Parameter Store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import boto3
import pytest
from moto import mock_aws
from pydantic import SecretStr

from keyturn import ParameterFieldError, ParameterNotFoundError, Peers, SecretCache
from keyturn.settings.live import FromParameter, FromSecret, LiveSettings
from keyturn.testing.fakes import FakeClock
from tests.settings.test_live import CANARY, shown

if TYPE_CHECKING:
    from mypy_boto3_ssm.literals import ParameterTypeType


class Settings(LiveSettings):
    """A parameter of each type, one key of a JSON parameter, a secret, and a secret by its reference."""

    host: Annotated[str, FromParameter("/prod/host")]
    hosts: Annotated[list[str], FromParameter("/prod/hosts")]
    port: Annotated[int, FromParameter("/prod/database", key="port")]
    token: Annotated[SecretStr, FromParameter("/prod/token")]
    ciphertext: Annotated[str, FromParameter("/prod/token", decrypt=False)]
    first: Annotated[str, FromParameter("/prod/host:1")]
    password: Annotated[SecretStr, FromSecret("prod/db")]
    referred: Annotated[SecretStr, FromParameter("/aws/reference/secretsmanager/prod/db")]


def put(name: str, value: str, kind: ParameterTypeType = "String") -> None:
    """Store the next version."""
    boto3.client("ssm").put_parameter(Name=name, Value=value, Type=kind, Overwrite=True)


@pytest.fixture
def clock() -> FakeClock:
    """The cache's clock."""
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> object:
    """A cache without markers, on an account with all that the settings name."""
    with mock_aws():
        put("/prod/host", "a.example")
        put("/prod/hosts", "a,b", "StringList")
        put("/prod/database", json.dumps({"port": 5432}))
        put("/prod/token", CANARY, "SecureString")
        boto3.client("secretsmanager").create_secret(Name="prod/db", SecretString="word")
        yield SecretCache(peers=Peers(clock=clock))


def test_every_type_of_parameter_fills_a_field(cache: SecretCache) -> None:
    """A String, a StringList, a key of JSON, a SecureString decrypted and not, a version, a reference."""
    settings = Settings.live(cache)
    assert ("a.example", ["a", "b"], 5432) == (settings.host, settings.hosts, settings.port)
    assert CANARY == settings.token.get_secret_value()
    assert settings.ciphertext.endswith(CANARY) and settings.ciphertext != CANARY  # noqa: PT018 # one fact
    assert "word" == settings.password.get_secret_value() == settings.referred.get_secret_value()


def test_a_field_follows_its_parameter(cache: SecretCache, clock: FakeClock) -> None:
    """A new version is served as by the cache; what names a version stays on it."""
    settings = Settings.live(cache)
    told: list[str] = []
    settings.on_change(lambda new: told.append(new.host))
    put("/prod/host", "b.example")
    clock.advance(301)
    assert ("b.example", "a.example") == (settings.host, settings.first)
    assert ["b.example"] == told


def test_a_parameter_that_does_not_fit_is_named_not_shown(cache: SecretCache) -> None:
    """The error is the parameter's, with its name and the field's, and without the value."""
    put("/prod/database", json.dumps({"port": CANARY}))
    with pytest.raises(ParameterFieldError, match=r"Settings\.port .*, key 'port'") as caught:
        Settings.live(cache)
    assert "/prod/database" == caught.value.secret_id
    assert str(caught.value).startswith("parameter '/prod/database' ")
    assert CANARY not in shown(caught.value)
    put("/prod/database", json.dumps({"host": CANARY}))
    cache.invalidate("/prod/database")
    with pytest.raises(ParameterFieldError, match="no key 'port'") as caught:
        Settings.live(cache)
    assert CANARY not in shown(caught.value)


def test_a_parameter_that_is_missing_says_what_it_is_for(cache: SecretCache) -> None:
    """The cache's own error, with a note of the fields that need the parameter."""
    boto3.client("ssm").delete_parameter(Name="/prod/hosts")
    with pytest.raises(ParameterNotFoundError) as caught:
        Settings.live(cache)
    assert ["It is for Settings: hosts."] == caught.value.__notes__
