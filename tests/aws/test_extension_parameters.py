"""Parameters through the extension: what is sent, what comes, and what each mistake is called."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Iterator

import pytest

from keyturn import Peers, SecretCache
from keyturn.aws.extension import ExtensionSettings, ExtensionSource
from keyturn.aws.extension_parameters import ExtensionParameters
from keyturn.errors import (
    ConfigurationError,
    InvalidParameterNameError,
    ParameterAccessDeniedError,
    ParameterDecryptionError,
    ParameterError,
    ParameterNotFoundError,
    ParameterUnavailableError,
    ParameterVersionNotFoundError,
)
from keyturn.testing.fakes import FakeSecretsManager
from tests.aws.extension_server import TOKEN, Answer, Extension, Stored, serving

NAME = "/prod/db/password"
CANARY = "canary-7Kq2"


@pytest.fixture
def extension() -> Iterator[Extension]:
    """The extension before one SecureString of two versions, and a list."""
    with serving(Extension(FakeSecretsManager())) as served:
        served.parameters[NAME] = Stored("SecureString", ("old", CANARY), {"blue": 1})
        served.parameters["hosts"] = Stored("StringList", ("a,b",))
        yield served


def cache(extension: Extension) -> SecretCache:
    """A cache before it, with the extension's clock."""
    return SecretCache(
        peers=Peers(
            source=extension.source(),
            parameter_source=lambda decrypt: extension.parameter_source(decrypt=decrypt),
            clock=extension.secrets.clock,
            random=lambda: 0.0,
        )
    )


def test_the_requests_are_as_documented(extension: Extension) -> None:
    """Name escaped; a version or a label of its own; decryption said each time."""
    one = cache(extension)
    one.get_parameter(NAME)
    one.get_parameter(NAME, version=1)
    one.get_parameter(NAME, label="blue", decrypt=False)
    one.get_parameter(f"{NAME}:2")
    path = "/systemsmanager/parameters/get?name=%2Fprod%2Fdb%2Fpassword"
    assert [
        f"{path}&withDecryption=true",
        f"{path}&version=1&withDecryption=true",
        f"{path}&label=blue&withDecryption=false",
        f"{path}&version=2&withDecryption=true",
    ] == extension.requests


def test_a_parameter_with_all_that_the_answer_tells(extension: Extension) -> None:
    """Value, version, type, ARN and date; decrypted or not; a list in its parts."""
    one = cache(extension)
    parameter = one.get_parameter(NAME)
    assert (CANARY, 2, "SecureString") == (parameter.value, parameter.version, parameter.type)
    assert "arn:aws:ssm:us-east-1:111122223333:parameter/prod/db/password" == parameter.arn
    assert 1703775451.359 == parameter.created_s
    assert CANARY not in repr(parameter)
    assert f"cipher({CANARY})" == one.get_parameter(NAME, decrypt=False).value
    assert ("a", "b") == one.get_parameters(["hosts", NAME])["hosts"].values


def test_the_bound_includes_the_extensions_ttl(extension: Extension) -> None:
    """SSM_PARAMETER_STORE_TTL, for parameters as SECRETS_MANAGER_TTL for secrets."""
    bounds = []
    for ttl_s in (0.0, 300.0):
        extension.ttl_s = ttl_s
        one = cache(extension)
        one.get_parameter(NAME)
        bounds.append(one.status().parameters[0].bound_s)
    assert [bounds[0], bounds[0] + 600] == bounds


def test_each_service_has_a_ttl_of_its_own() -> None:
    """What the variables say of parameters is not what they say of secrets."""
    settings = ExtensionSettings(secrets_ttl_s=1, parameters_ttl_s=2)
    secrets = ExtensionSource(settings, token=lambda: TOKEN, sleep=lambda _: None)
    parameters = ExtensionParameters(settings, decrypt=True, token=lambda: TOKEN, sleep=lambda _: None)
    assert (1, 2) == (secrets.ttl_s, parameters.ttl_s)


@pytest.mark.parametrize(
    ("status", "body", "error", "advice"),
    [
        (400, "", ParameterUnavailableError, "ERROR line in the function's log"),
        (400, "api error ParameterNotFound: ", ParameterNotFoundError, "leading slash"),
        (400, "api error ParameterVersionNotFound: none", ParameterVersionNotFoundError, "History"),
        (
            400,
            "api error AccessDeniedException: not authorized",
            ParameterAccessDeniedError,
            "ssm:GetParameter",
        ),
        (400, "api error InvalidKeyId: disabled", ParameterDecryptionError, "KMS key"),
        (
            400,
            'ValidationException: Parameter name: can\'t be prefixed with "ssm" (case-insensitive).',
            InvalidParameterNameError,
            "leading slash",
        ),
        (401, "", ParameterAccessDeniedError, "AWS_SESSION_TOKEN"),
        (403, "", ParameterAccessDeniedError, "ssm:GetParameter"),
        (404, "", ParameterUnavailableError, "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"),
        (500, "", ParameterUnavailableError, "try again"),
        (200, f'{{"Parameter": "{CANARY}"}}', ParameterUnavailableError, "proxy"),
        (200, CANARY, ParameterUnavailableError, "port"),
    ],
)
def test_each_refusal_is_a_typed_error(
    extension: Extension, status: int, body: str, error: type[ParameterError], advice: str
) -> None:
    """As for secrets: AWS's own code counts, else the status; no body is shown."""
    extension.instead = [Answer(status, body.encode())]
    with pytest.raises(ParameterError) as caught:
        extension.parameter_source().read(NAME, stage="AWSCURRENT")
    assert type(caught.value) is error
    assert advice in caught.value.advice
    shown = "".join(traceback.format_exception(caught.value))
    assert CANARY not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize("explains", [True, False])
def test_a_version_that_is_not_there(extension: Extension, *, explains: bool) -> None:
    """Also where the extension gives no reason, if the parameter itself can be read."""
    extension.explains = explains
    with pytest.raises(ParameterVersionNotFoundError, match=NAME):
        cache(extension).get_parameter(NAME, version=9)


def test_what_is_refused_without_a_reason_is_not_given_up(extension: Extension) -> None:
    """A parameter that cannot be read at all may be there: what is held of it is served on."""
    one = cache(extension)
    one.get_parameter(NAME)
    extension.explains = False
    del extension.parameters[NAME]
    extension.secrets.clock.advance(400)
    assert CANARY == one.get_parameter(NAME).value
    assert "HTTP 400" in str(one.status().parameters[0].last_error)


def test_paths_are_not_to_be_had(extension: Extension) -> None:
    """The extension has no such request: an error at once, not an empty answer."""
    with pytest.raises(ConfigurationError, match="no paths"):
        cache(extension).get_parameters_by_path("/prod")


def test_no_sdk_is_loaded(extension: Extension) -> None:
    """From the environment to the parameter and the secret: nothing but keyturn and the standard library."""
    program = """
        import sys
        before = set(sys.modules)
        from keyturn import Peers, SecretCache
        from keyturn.integrations.awslambda import extension_parameters, extension_source
        cache = SecretCache(peers=Peers(source=extension_source(), parameter_source=extension_parameters))
        assert 11 == len(cache.get_parameter("/prod/db/password").value)
        assert ("a", "b") == cache.get_parameter("hosts").values
        print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
    """
    variables = {
        "AWS_SESSION_TOKEN": TOKEN,
        "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": str(extension.port),
        "SSM_PARAMETER_STORE_TTL": "0",
    }
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, check=True, timeout=60
    )
    assert {"keyturn"} == set(done.stdout.split()) - sys.stdlib_module_names
