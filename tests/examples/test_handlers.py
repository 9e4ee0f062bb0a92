"""What the examples answer, each imported once: a change is noticed by the process that is warm."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Iterator

import boto3
import pytest
from moto import mock_aws

from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.aws.extension_server import TOKEN, Extension, serving
from tests.examples.test_template import EXAMPLES

API_KEY = "/my-frontend-app/production/api-key"
SECRET_ID = "/my-frontend-app/production/stripe-key"
CANARY = "canary-of-the-examples"
TTL_S = 0.2

Handler = Callable[[object, object], dict[str, object]]


def handler_of(example: str) -> Handler:
    """The handler of a new environment: its module is loaded now."""
    spec = importlib.util.spec_from_file_location(example, EXAMPLES / example / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Handler = module.handler
    return handler


def answer(handler: Handler) -> tuple[object, dict[str, object]]:
    """Status and body of an invocation."""
    said = handler({}, None)
    assert CANARY not in repr(said)
    body: dict[str, object] = json.loads(str(said["body"]))
    return said["statusCode"], body


@pytest.fixture
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account with the secret and the parameter, and no marker table."""
    monkeypatch.delenv("KEYTURN_MARKER_TABLE", raising=False)
    monkeypatch.setenv("KEYTURN_UNCOVERED_TTL_S", str(TTL_S))
    with mock_aws():
        boto3.client("secretsmanager").create_secret(Name=SECRET_ID, SecretString=CANARY)
        boto3.client("ssm").put_parameter(Name=API_KEY, Value=CANARY, Type="SecureString")
        yield


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Iterator[Extension]:
    """The extension of an environment, which holds the secret and caches nothing."""
    secrets = FakeSecretsManager(FakeClock())
    secrets.create(SECRET_ID, CANARY, "v1")
    with serving(Extension(secrets)) as extension:
        monkeypatch.setenv("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", str(extension.port))
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        monkeypatch.setenv("KEYTURN_UNCOVERED_TTL_S", str(TTL_S))
        monkeypatch.setenv("SECRETS_MANAGER_TTL", "0")
        yield extension


@pytest.mark.usefixtures("_aws")
@pytest.mark.parametrize("example", ["secret_at_init", "parameter_at_init"])
def test_what_is_read_at_init_is_not_read_again(example: str) -> None:
    """The value is there before the first request, and requests ask nobody."""
    handler = handler_of(example)
    boto3.client("secretsmanager").delete_secret(SecretId=SECRET_ID)
    boto3.client("ssm").delete_parameter(Name=API_KEY)
    assert [200, 200] == [answer(handler)[0] for _ in range(2)]


@pytest.mark.usefixtures("_aws")
@pytest.mark.parametrize(
    ("example", "says"),
    [
        ("secret_at_init", "Failed to load Stripe configuration"),
        ("parameter_at_init", "Failed to load API key"),
        ("with_ttl", "Failed to load API key"),
        ("all_together", "Missing configuration"),
    ],
)
def test_what_is_not_there_is_an_answer_of_500(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, example: str, says: str
) -> None:
    """The environment starts, the request is answered, and the log says what to do."""
    monkeypatch.setenv("TABLE_NAME", "orders")
    boto3.client("secretsmanager").delete_secret(SecretId=SECRET_ID)
    boto3.client("ssm").delete_parameter(Name=API_KEY)
    assert (500, {"error": says}) == answer(handler_of(example))
    assert "What to do" in caplog.text


@pytest.mark.usefixtures("_aws")
def test_a_missing_table_name_is_missing_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variable counts as much as the values do."""
    monkeypatch.delenv("TABLE_NAME", raising=False)
    assert (500, {"error": "Missing configuration"}) == answer(handler_of("all_together"))
    monkeypatch.setenv("TABLE_NAME", "orders")
    status, body = answer(handler_of("all_together"))
    assert (200, "All configuration loaded", "orders") == (status, body["message"], body["table"])


@pytest.mark.e2e
@pytest.mark.usefixtures("_aws")
@pytest.mark.parametrize(("ttl_s", "version"), [(3600, 1), (TTL_S, 2)])
def test_with_a_ttl_the_same_environment_reads_again(
    monkeypatch: pytest.MonkeyPatch, ttl_s: float, version: int
) -> None:
    """Within the TTL nothing is asked; after it the changed value is served."""
    monkeypatch.setenv("KEYTURN_UNCOVERED_TTL_S", str(ttl_s))
    handler = handler_of("with_ttl")
    assert 1 == answer(handler)[1]["version"]
    boto3.client("ssm").put_parameter(Name=API_KEY, Value=CANARY + "2", Overwrite=True)
    time.sleep(2 * TTL_S)
    assert version == answer(handler)[1]["version"]


@pytest.mark.e2e
def test_the_extension_is_asked_in_the_handler_and_again(extension: Extension) -> None:
    """Nothing is read at import, where the extension may not serve; a rotation is noticed while warm."""
    handler = handler_of("extension")
    assert [] == extension.requests
    assert "v1" == answer(handler)[1]["version"]
    extension.secrets.put(SECRET_ID, CANARY + "2", "v2")
    time.sleep(2 * TTL_S)
    assert "v2" == answer(handler)[1]["version"]


@pytest.mark.usefixtures("extension")
def test_an_extension_without_a_token_is_an_answer_of_500(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which variable is missing."""
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    assert 500 == answer(handler_of("extension"))[0]
    assert "AWS_SESSION_TOKEN" in caplog.text
