"""docs/settings.md and docs/migrating.md are true: their examples run as they stand."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from keyturn import KeyturnSettings
from keyturn.runtime.host import ENVIRONMENT_PREFIX
from tests.architecture.sources import ROOT, Module, shipped_modules
from tests.docs.pages import python_blocks

VARIABLE = re.compile(r"KEYTURN_[A-Z_]+")


def run(examples: list[str]) -> dict[str, object]:
    """Run every example of a page, one after the other; the names that they leave."""
    names: dict[str, object] = {"__name__": "page"}
    assert len(examples) >= 3
    for example in examples:
        exec(compile(example, "page", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code
    return names


@pytest.fixture(autouse=True)
def _account() -> object:
    """An account with what the pages read, and without a marker table: that is nobody's error."""
    with mock_aws():
        secrets, parameters = boto3.client("secretsmanager"), boto3.client("ssm")
        value = json.dumps({"username": "app", "password": "word"})
        secrets.create_secret(Name="prod/db", SecretString=value)
        secrets.create_secret(Name="prod/signing-key", SecretBinary=b"\x00")
        parameters.put_parameter(Name="/prod/host", Value="db.example", Type="String")
        yield


def test_the_page_about_settings_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The settings are filled, and a change reaches the page's own callback."""
    names = run(python_blocks("docs/settings.md"))
    assert "postgresql://app:word@db.example/orders" == names["url"]
    value = json.dumps({"username": "app", "password": "new"})
    boto3.client("secretsmanager").put_secret_value(SecretId="prod/db", SecretString=value)
    names["cache"].invalidate("prod/db")  # type: ignore[attr-defined] # a SecretCache
    assert "new" == names["settings"].password.get_secret_value()  # type: ignore[attr-defined]
    assert "app has a new password\n" == capsys.readouterr().out


def test_the_page_about_migrating_runs() -> None:
    """Both libraries' ways to read have their counterparts."""
    names = run(python_blocks("docs/migrating.md"))
    assert ("word", "db.example") == (names["password"], names["host"])
    assert "app logs in" == names["connect"]()  # type: ignore[operator] # a function
    assert len(str(names["login"])) == names["whole"]()  # type: ignore[operator] # as well


def variables_of(module: Module) -> Iterator[str]:
    """The names of variables in a module: as one text, or as the prefix and the rest."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Constant(value=str(text)) if VARIABLE.fullmatch(text):
                yield text
            case ast.BinOp(left=ast.Name(id="ENVIRONMENT_PREFIX"), right=ast.Constant(value=str(rest))):
                yield ENVIRONMENT_PREFIX + rest


def test_the_page_names_every_variable() -> None:
    """Whatever of keyturn, the listener or a rotation function reads it. No other variable is on the page."""
    read = {name for module in shipped_modules().values() for name in variables_of(module)}
    read |= {ENVIRONMENT_PREFIX + name.upper() for name in KeyturnSettings.model_fields}
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert read == set(VARIABLE.findall(page))
