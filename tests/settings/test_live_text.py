"""What a text of a secret may be before a settings field gets it."""

from __future__ import annotations

import json
from typing import Annotated

import boto3
import pytest
from moto import mock_aws
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_settings import SettingsConfigDict

from keyturn import ParameterFieldError, SecretCache, SecretFieldError
from keyturn.live import FromParameter, FromSecret, LiveSettings
from tests.cache.test_secrecy import shown
from tests.world import NAME, World

CANARY = "c4n4ry-Pa55w0rd"
PATH = "/prod/hosts"


class Database(BaseModel):
    """A login as a model of its own."""

    username: str
    password: SecretStr
    tags: list[str] = []


class Login(LiveSettings):
    """The fields of a login, one by one."""

    user: Annotated[str, FromSecret(NAME, key="username")]
    password: Annotated[SecretStr, FromSecret(NAME, key=("password",))]
    certificate: Annotated[str | None, FromSecret(NAME, key=("tls", "certificate"))]


class Whole(LiveSettings):
    """A secret as it is."""

    value: Annotated[SecretStr | None, FromSecret(NAME)]


class Structured(LiveSettings):
    """A secret as a model."""

    database: Annotated[Database, FromSecret(NAME)]


class Strict(LiveSettings):
    """A text, of what may be a number."""

    tenant: Annotated[str, FromSecret(NAME, key="tenant")]


class Loose(Strict):
    """The same, by a model that takes numbers as texts."""

    model_config = SettingsConfigDict(coerce_numbers_to_str=True)

    hidden: Annotated[SecretStr, FromSecret(NAME, key="tenant")]


class Blob(LiveSettings):
    """A secret as bytes."""

    value: Annotated[SecretBytes, FromSecret(NAME)]


class Hosts(LiveSettings):
    """A list from Parameter Store."""

    hosts: Annotated[list[str], FromParameter(PATH)]


def value(**changed: object) -> str:
    """The JSON of a login."""
    fields = {"username": "app", "password": f"{CANARY} '\"\N{KEY}", "tls": {"certificate": "a\r\n\tb"}}
    return json.dumps({**fields, **changed})


def test_what_is_fit_arrives_exactly(world: World) -> None:
    """An odd password, and a certificate with lines."""
    world.secrets.put(NAME, value(), "v2")
    settings = Login.live(world.cache())
    assert ("app", "a\r\n\tb") == (settings.user, settings.certificate)
    assert f"{CANARY} '\"\N{KEY}" == settings.password.get_secret_value()


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("user", {"username": f"{CANARY}\0"}),
        ("user", {"username": f"{CANARY}\n"}),
        ("user", {"username": f"{CANARY}\u202e"}),
        ("password", {"password": f"{CANARY}\n"}),
        ("password", {"password": f"{CANARY}\x9b"}),
        ("certificate", {"tls": {"certificate": f"{CANARY}\x1b[2J"}}),
        ("certificate", {"tls": {"certificate": f"{CANARY}\0"}}),
        ("user", {"other": "\ud800"}),
        ("user", {"other": [[]] * 3 + [json.loads("[" * 66 + "]" * 66)]}),
    ],
)
def test_what_is_not_fit_is_named_not_shown(world: World, field: str, changed: dict[str, object]) -> None:
    """The error names the field and the secret."""
    world.secrets.put(NAME, value(**changed), "v2")
    with pytest.raises(SecretFieldError, match=rf"Login\.{field}\b") as caught:
        Login.live(world.cache())
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize(
    "stored", [f"{CANARY}\0", f"{CANARY}\x1b", f"{CANARY}\0".encode(), CANARY.encode() + b"\xff"]
)
def test_a_whole_value_is_judged_also_where_it_was_binary(world: World, stored: str | bytes) -> None:
    """Binary for a field of text is UTF-8, or no text at all."""
    world.secrets.put(NAME, stored, "v2")
    with pytest.raises(SecretFieldError, match=r"Whole\.value") as caught:
        Whole.live(world.cache())
    assert CANARY not in shown(caught.value)


def test_binary_is_text_where_it_is_utf_8_and_bytes_where_they_are_asked_for(world: World) -> None:
    """A field of bytes gets any byte."""
    world.secrets.put(NAME, "é\n".encode(), "v2")
    found = Whole.live(world.cache()).value
    assert found is not None
    assert "é\n" == found.get_secret_value()
    world.secrets.put(NAME, b"\0\xff", "v3")
    assert b"\0\xff" == Blob.live(world.cache()).value.get_secret_value()


@pytest.mark.parametrize(
    "changed", [{"username": "a\n"}, {"password": "a\0"}, {"tags": ["a", "b\x1b"]}, {"more": {"a\0": "b"}}]
)
def test_every_text_of_a_structure_is_judged(world: World, changed: dict[str, object]) -> None:
    """At every depth, names too."""
    world.secrets.put(NAME, value(**changed), "v2")
    with pytest.raises(SecretFieldError, match=r"Structured\.database .*control character"):
        Structured.live(world.cache())


def test_a_field_of_a_login_inside_a_structure_is_named(world: World) -> None:
    """The error says which field of the structure it is."""
    world.secrets.put(NAME, value(password=12345), "v2")
    with pytest.raises(SecretFieldError, match=r"Structured\.database .*the field password is a number"):
        Structured.live(world.cache())


@pytest.mark.parametrize("number", [8080, 1.5, True])
def test_a_number_is_no_text_unless_the_model_says_so(world: World, number: float) -> None:
    """pydantic's own setting decides. It speaks of numbers alone."""
    world.secrets.put(NAME, value(tenant=number), "v2")
    with pytest.raises(SecretFieldError, match=r"Strict\.tenant .*string_type"):
        Strict.live(world.cache())
    if number is not True:
        loose = Loose.live(world.cache())
        assert (str(number), str(number)) == (loose.tenant, loose.hidden.get_secret_value())


def test_the_items_of_a_list_are_judged() -> None:
    """Of a StringList as well."""
    with mock_aws():
        boto3.client("ssm").put_parameter(Name=PATH, Value="a,b\x1b", Type="StringList")
        with pytest.raises(ParameterFieldError, match=r"Hosts\.hosts .*control character"):
            Hosts.live(SecretCache(marker_table=False))


def test_a_value_that_became_unfit_leaves_the_last_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A writer of the secret stops no process, and is not quoted by the log."""
    world.rotate("v2", value())
    settings = Login.live(world.covered())
    assert "app" == settings.user
    world.rotate("v3", value(username=f"{CANARY}\x1b]0;"))
    world.clock.advance(5)
    assert "app" == settings.user
    assert "keeps its last values" in caplog.text
    assert CANARY not in caplog.text
