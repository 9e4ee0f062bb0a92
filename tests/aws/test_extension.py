"""The extension as a source: what is sent, what is waited for, and what each mistake is called."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Iterator

import pytest

from keyturn import ConfigurationError, Peers, SecretCache
from keyturn.aws.extension import ExtensionSettings, ExtensionSource
from keyturn.errors import (
    AccessDeniedError,
    DecryptionError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.testing.fakes import FakeSecretsManager
from tests.aws.extension_server import TOKEN, Answer, Extension, body_of, serving
from tests.docs.pages import python_blocks
from tests.world import NAME

CANARY = "canary-7Kq2"
NOT_READY = Answer(400, b"not ready to serve traffic, please wait")


@pytest.fixture
def extension() -> Iterator[Extension]:
    """The extension before a secret whose value is the canary."""
    secrets = FakeSecretsManager()
    secrets.create(NAME, CANARY, "v1")
    with serving(Extension(secrets)) as served:
        yield served


def failure(source: ExtensionSource, stage: str = "AWSCURRENT") -> SecretError:
    """The error of one read, which shows neither value nor token, whatever is printed of it."""
    with pytest.raises(SecretError) as caught:
        source.read(NAME, stage=stage)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(source)
    assert CANARY not in shown
    assert TOKEN not in shown
    return caught.value


# What is sent


def test_the_request_is_as_documented(extension: Extension) -> None:
    """Path and query as in AWS's guide; every character of an id but the unreserved ones is escaped."""
    arn = extension.secrets.create("/a b/c", "x")
    extension.source().read(arn, stage="AWSCURRENT", version_id="v1")
    id_sent = arn.replace(":", "%3A").replace("/", "%2F").replace(" ", "%20")
    assert [
        f"/secretsmanager/get?secretId={id_sent}&versionId=v1&versionStage=AWSCURRENT"
    ] == extension.requests


def test_the_token_is_that_of_the_moment(extension: Extension) -> None:
    """It is asked for at each call: a restored environment has another one than its snapshot."""
    tokens = ["of the snapshot", TOKEN]
    source = ExtensionSource(extension.settings(), token=lambda: tokens.pop(0), sleep=lambda _: None)
    with pytest.raises(AccessDeniedError):
        source.read(NAME, stage="AWSCURRENT")
    assert CANARY == source.read(NAME, stage="AWSCURRENT").text()


def test_no_connection_outlives_its_call(extension: Extension) -> None:
    """So threads and forks have none to share, and a freeze none to break."""
    source = extension.source()
    for _ in range(3):
        source.read(NAME, stage="AWSCURRENT")
    assert 3 == len(extension.peers)


def test_a_proxy_of_the_environment_is_not_asked(extension: Extension) -> None:
    """`http_proxy` does not send the token to somebody else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", "http://127.0.0.1:1")
        assert CANARY == extension.source().read(NAME, stage="AWSCURRENT").text()


# What is waited for


def test_not_ready_is_waited_for(extension: Extension) -> None:
    """During INIT the extension asks to wait: a few more tries, ever later."""
    extension.instead = [NOT_READY] * 3
    slept: list[float] = []
    extension.source(slept).read(NAME, stage="AWSCURRENT")
    assert [0.02, 0.04, 0.08] == slept
    assert 4 == len(extension.requests)


def test_not_ready_is_not_waited_for_without_end(extension: Extension) -> None:
    """An extension that serves only after INIT: an error in well under a second, which says so."""
    extension.instead = [NOT_READY] * 99
    slept: list[float] = []
    error = failure(extension.source(slept))
    assert isinstance(error, UnavailableError)
    assert "in the handler" in error.advice
    assert sum(slept) < 1
    assert 6 == len(extension.requests)


# What each mistake is called

ACCESS = "User: arn:aws:sts::111122223333:assumed-role/f/x is not authorized to perform"


@pytest.mark.parametrize(
    ("status", "body", "error", "advice"),
    [
        (400, "", UnavailableError, "ERROR line in the function's log"),
        (400, "an unexpected error occurred", UnavailableError, "ERROR line"),
        (400, f"api error AccessDeniedException: {ACCESS}", AccessDeniedError, "GetSecretValue"),
        (
            400,
            "api error ResourceNotFoundException: Secrets Manager can't find it",
            SecretNotFoundError,
            "Region",
        ),
        (400, '{"__type":"ResourceNotFoundException","message":"gone"}', SecretNotFoundError, "Region"),
        (
            400,
            '{"__type":"com.amazonaws#InvalidRequestException","message":"marked for deletion"}',
            SecretDeletedError,
            "restore",
        ),
        (
            400,
            "api error DecryptionFailure: Secrets Manager can't decrypt",
            DecryptionError,
            "KMS key is enabled",
        ),
        (400, "api error ThrottlingException: Rate exceeded", UnavailableError, "quota"),
        (401, "", AccessDeniedError, "AWS_SESSION_TOKEN"),
        (403, "", AccessDeniedError, "GetSecretValue"),
        (403, "Bad Token", AccessDeniedError, "AWS_SESSION_TOKEN"),
        (404, "404 page not found", UnavailableError, "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"),
        (429, "Connection limit exceeded", UnavailableError, "try again"),
        (500, '{"__type":"InternalFailure"}', UnavailableError, "try again"),
        (502, "", UnavailableError, "try again"),
        (301, "", UnavailableError, "listens on this port"),
    ],
)
def test_each_refusal_is_a_typed_error(
    extension: Extension, status: int, body: str, error: type[SecretError], advice: str
) -> None:
    """AWS's own code counts where the body tells it, else the status; the advice says what to mend."""
    extension.instead = [Answer(status, body.encode())]
    caught = failure(extension.source())
    assert type(caught) is error
    assert advice in caught.advice
    assert NAME in str(caught)


def test_without_a_token(extension: Extension) -> None:
    """Outside of Lambda there is none: the advice says that none was sent."""
    error = failure(extension.source(token=""))
    assert isinstance(error, AccessDeniedError)
    assert "no token was sent" in error.advice


def test_a_token_that_no_header_can_carry(extension: Extension) -> None:
    """A line break in it is an error that does not show it."""
    error = failure(extension.source(token=f"{TOKEN}\r\nX: y"))
    assert isinstance(error, UnavailableError)


def test_nothing_listens() -> None:
    """No layer, or another port: connection refused, and what to attach."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings = ExtensionSettings(port=unused.getsockname()[1])
    error = failure(ExtensionSource(settings, token=lambda: TOKEN, sleep=lambda _: None))
    assert isinstance(error, UnavailableError)
    assert "attach the layer" in error.advice
    assert f"localhost:{settings.port}" in error.detail


def test_no_answer_in_time() -> None:
    """An extension that hangs costs no more than the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = ExtensionSettings(port=silent.getsockname()[1], secrets_timeout_s=0.05)
        error = failure(ExtensionSource(settings, token=lambda: TOKEN, sleep=lambda _: None))
    assert isinstance(error, UnavailableError)
    assert "TimeoutError" in error.detail


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (CANARY, None),
        (f'"{CANARY}"', None),
        (f'{{"SecretString": "{CANARY}"', None),
        (f'{{"SecretString": "{CANARY}"}}', None),
        (f'{{"SecretString": "{CANARY}"}}', 999),
        (f'{{"SecretString": "{CANARY}\xff', None),
    ],
)
def test_an_unusable_answer_shows_nothing_of_itself(
    extension: Extension, body: str, length: int | None
) -> None:
    """No JSON, another JSON, half of it: `UnavailableError`, whose chain of causes has no body in it."""
    extension.instead = [Answer(200, body.encode("latin-1"), length)]
    assert isinstance(failure(extension.source()), UnavailableError)


def test_a_refusal_that_is_json_without_a_code_is_not_quoted(extension: Extension) -> None:
    """Whatever stands in it: only AWS's own code and message are."""
    extension.instead = [Answer(500, f'{{"SecretString": "FooError: {CANARY}"}}'.encode())]
    assert isinstance(failure(extension.source()), UnavailableError)


def test_a_label_that_is_refused_without_a_reason(extension: Extension) -> None:
    """If the secret itself can be read, the label is what is missing; that costs a second request."""
    extension.explains = False
    error = failure(extension.source(), "AWSPENDING")
    assert isinstance(error, StageNotFoundError)
    assert 2 == len(extension.requests)


def test_a_secret_that_is_refused_without_a_reason(extension: Extension) -> None:
    """If the secret cannot be read either, nobody knows: what is held of it is not given up."""
    extension.explains = False
    extension.secrets.purge(NAME)
    assert isinstance(failure(extension.source(), "AWSPENDING"), UnavailableError)


def test_the_agents_dates_are_understood(extension: Extension) -> None:
    """Epoch seconds as text, as the Secrets Manager agent writes them; nonsense is no date."""
    version = extension.secrets.read(NAME, stage="AWSCURRENT")
    body = body_of(version).decode()
    written = body[body.index('"CreatedDate": ') :].split('"')[3]
    for date, seconds in (("1569534789.046", 1569534789.046), ("soon", None), ("1e400", None)):
        extension.instead = [Answer(200, body.replace(written, date).encode())]
        assert seconds == extension.source().read(NAME, stage="AWSCURRENT").created_s


# Its settings


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ExtensionSettings()),
        ({"PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": "4000"}, ExtensionSettings(port=4000)),
        ({"SECRETS_MANAGER_TTL": "0"}, ExtensionSettings(secrets_ttl_s=0)),
        ({"SECRETS_MANAGER_TTL": "9000"}, ExtensionSettings(secrets_ttl_s=300)),
        ({"SSM_PARAMETER_STORE_TTL": "30"}, ExtensionSettings(parameters_ttl_s=30)),
        (
            {"PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED": "false"},
            ExtensionSettings(secrets_ttl_s=0, parameters_ttl_s=0),
        ),
        (
            {"PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE": "0"},
            ExtensionSettings(secrets_ttl_s=0, parameters_ttl_s=0),
        ),
        ({"SECRETS_MANAGER_TIMEOUT_MILLIS": "2500"}, ExtensionSettings(secrets_timeout_s=3.5)),
        ({"SSM_PARAMETER_STORE_TIMEOUT_MILLIS": "500"}, ExtensionSettings(parameters_timeout_s=1.5)),
        ({"PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL": "?", "SECRETS_MANAGER_TTL": ""}, ExtensionSettings()),
    ],
)
def test_the_settings_of_an_environment(variables: dict[str, str], expected: ExtensionSettings) -> None:
    """The variables that AWS documents, with its defaults and limits; what changes nothing is not read."""
    assert expected == ExtensionSettings.from_environment(variables)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "0"),
        ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "65536"),
        ("PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED", "yes"),
        ("PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", "1001"),
        ("SECRETS_MANAGER_TTL", "-1"),
        ("SSM_PARAMETER_STORE_TTL", "5m"),
        ("SECRETS_MANAGER_TIMEOUT_MILLIS", "1.5"),
    ],
)
def test_a_setting_that_is_not_documented_is_refused_by_name(name: str, value: str) -> None:
    """Nobody knows what the extension makes of it, so no bound could be stated."""
    with pytest.raises(ConfigurationError, match=name):
        ExtensionSettings.from_environment({name: value})


# What it costs


def test_no_sdk_is_loaded(extension: Extension) -> None:
    """From the environment to the secret, and to an error: neither botocore nor what it brings."""
    program = """
        import sys
        before = set(sys.modules)
        from keyturn import Peers, SecretCache, SecretNotFoundError
        from keyturn.integrations.awslambda import extension_source
        cache = SecretCache(peers=Peers(source=extension_source()))
        assert 11 == len(cache.get_secret_string("prod/db"))
        try:
            cache.get("nowhere")
        except SecretNotFoundError:
            print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
    """
    variables = {
        "AWS_SESSION_TOKEN": TOKEN,
        "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": str(extension.port),
        "SECRETS_MANAGER_TTL": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(done.stdout.split())
    assert "keyturn" in loaded
    foreign = loaded - {"keyturn"} - sys.stdlib_module_names
    assert set() == foreign


def test_snapstart_has_only_the_other_token(extension: Extension) -> None:
    """A function under SnapStart finds its token in AWS_CONTAINER_AUTHORIZATION_TOKEN."""
    from keyturn.integrations.awslambda import extension_source

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_SESSION_TOKEN", raising=False)
        patch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN)
        patch.setenv("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", str(extension.port))
        assert CANARY == SecretCache(peers=Peers(source=extension_source())).get_secret_string(NAME)


def test_the_pages_examples_run(extension: Extension) -> None:
    """docs/lambda.md: its handler, then its cache through the extension, as they stand."""
    extension.secrets.create("prod/orders", '{"username": "orders_app"}')
    names: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SESSION_TOKEN", TOKEN)
        patch.setenv("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", str(extension.port))
        for example in python_blocks("docs/lambda.md"):
            exec(compile(example, "docs/lambda.md", "exec"), names)  # noqa: S102 # the page's own code
        handler = names["handler"]
        assert callable(handler)
        assert "logged in as orders_app" == handler({}, None)
    assert 1 == len(extension.requests)
