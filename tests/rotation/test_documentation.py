"""docs/rotation-functions.md is true: its programs run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from keyturn.rotation import RotationFunction
from keyturn.testing import Rotation
from keyturn.testing.moto import mend_moto
from tests.docs.pages import blocks, python_blocks

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

BLOCKS = python_blocks("docs/rotation-functions.md")


@pytest.fixture
def client() -> Iterator[SecretsManagerClient]:
    """Secrets Manager."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        yield client


def secret(client: SecretsManagerClient, value: object) -> str:
    """A new secret whose rotation is on; its name."""
    client.create_secret(Name="prod/app", SecretString=json.dumps(value))
    client.rotate_secret(
        SecretId="prod/app", RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
    )
    return "prod/app"


def run(example: str, names: dict[str, object]) -> None:
    """Run an example of the page."""
    exec(compile(example, "page", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code


def test_the_line_that_announces(
    client: SecretsManagerClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line wraps the handler of a file. Without a table the log says so, and the handler still runs."""
    monkeypatch.delenv("KEYTURN_MARKER_TABLE", raising=False)
    called: list[str] = []

    def lambda_handler(event: dict[str, str], context: object) -> None:
        called.append(event["Step"])

    names: dict[str, object] = {"lambda_handler": lambda_handler}
    run(BLOCKS[0], names)
    Rotation(client, secret(client, {}), names["lambda_handler"]).create()  # type: ignore[arg-type] # a handler
    assert ["createSecret"] == called
    assert "createSecret of prod/app was not announced" in caplog.text


@pytest.mark.parametrize("made", ["SingleUser(", "mysql import TwoPasswords", "redis import TwoPasswords"])
def test_the_functions_are_made_as_the_page_says(made: str) -> None:
    """tests/rotation and tests/servers rotate on real servers with such functions."""
    program = next(block for block in BLOCKS if made in block)
    names: dict[str, object] = {}
    run(program, names)
    assert isinstance(names["lambda_handler"], RotationFunction)


def test_the_function_that_retires(client: SecretsManagerClient) -> None:
    """The page's event is answered. A secret that has just changed keeps both credentials."""
    program = next(block for block in BLOCKS if "Retirement(" in block)
    (event,) = [block.text for block in blocks("docs/rotation-functions.md") if block.language == "json"]
    names: dict[str, object] = {}
    run(program, names)
    name = secret(client, {"username": "app", "password": "one"})
    said = names["lambda_handler"]({**json.loads(event), "SecretId": name}, None)  # type: ignore[operator] # the page's function
    assert said["retired"] is False
    assert "the earliest time is in" in said["why"]
