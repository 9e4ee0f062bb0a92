"""docs/parameters.md is true: its examples run."""

from __future__ import annotations

import re

import boto3
import pytest
from moto import mock_aws

from tests.docs.pages import python_blocks


def test_the_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of the page gives something of an account that has what it names."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    (example,) = python_blocks("docs/parameters.md")
    with mock_aws():
        ssm = boto3.client("ssm", region_name="eu-west-1")
        for number in range(3):
            ssm.put_parameter(Name="/prod/db/host", Value=f"host-{number}", Type="String", Overwrite=True)
        ssm.label_parameter_version(Name="/prod/db/host", ParameterVersion=2, Labels=["live"])
        ssm.put_parameter(Name="/prod/zones", Value="a,b", Type="StringList")
        ssm.put_parameter(Name="/prod/db/password", Value="one", Type="SecureString")
        secrets = boto3.client("secretsmanager", region_name="eu-west-1")
        secrets.create_secret(Name="prod/db", SecretString='{"user": "app"}')
        answers: list[object] = []
        names: dict[str, object] = {"answers": answers}
        kept = re.sub(r"^(cache\..*?)(  #.*)?$", r"answers.append(\1)", example, flags=re.MULTILINE)
        exec(compile(kept, "docs/parameters.md", "exec"), names)  # noqa: S102 # the page's own code
    host, zones, version, live, ciphertext, named, by_path, secret = answers
    assert ["host-2", ("a", "b"), 3, "host-1"] == [host, zones, version, live]
    assert "one" != ciphertext
    assert isinstance(named, dict)
    assert isinstance(by_path, dict)
    assert {"/prod/db/host", "/prod/zones"} == set(named)
    assert 3 == len(by_path)
    assert {"user": "app"} == secret
