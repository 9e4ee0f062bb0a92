"""What is refused, with which status, and that no refusal or log line says too much."""

from __future__ import annotations

import logging

import pytest

from keyturn import errors
from keyturn.errors import (
    AccessDeniedError,
    DecryptionError,
    InvalidSecretIdError,
    KeyMismatchError,
    LoginRefusedError,
    ParameterError,
    SecretDeletedError,
    SecretError,
    SecretFormatError,
    SecretKindError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.model.versions import SecretVersion
from keyturn.serve.bodies import agent_secret, extension_secret
from keyturn.serve.statuses import ANSWERS, INTERNAL, answer_to
from tests.serve.endpoint import AUTHORIZED, TOKEN, Endpoint
from tests.world import NAME

BY_QUERY = f"/secretsmanager/get?secretId={NAME}"
BY_PATH = f"/v1/{NAME}"
CANARY = "canary-secret-value"


@pytest.fixture
def endpoint() -> Endpoint:
    """A server that has read nothing yet."""
    return Endpoint()


@pytest.mark.parametrize("header", ["X-Aws-Parameters-Secrets-Token", "x-vault-token", "X-VAULT-TOKEN"])
def test_either_header_lets_in(endpoint: Endpoint, header: str) -> None:
    """The token may come in the extension's or in the agent's header, in any case."""
    assert endpoint.ask(BY_QUERY, {header: TOKEN}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Aws-Parameters-Secrets-Token": ""},
        {"X-Aws-Parameters-Secrets-Token": TOKEN + "x"},
        {"X-Vault-Token": TOKEN[:-1]},
        {"X-Vault-Token": TOKEN.upper()},
        {"X-Vault-Token": f"{TOKEN}, {TOKEN}"},
        {"X-Vault-Token": TOKEN, "X-Aws-Parameters-Secrets-Token": "other"},
        {"Cookie": f"X-Vault-Token={TOKEN}"},
        {"Authorization": TOKEN},
    ],
)
def test_without_the_token_nobody_is_let_in(endpoint: Endpoint, headers: dict[str, str]) -> None:
    """No token or a wrong one: 401 on the extension's paths, 403 on the agent's, and no read."""
    by_query, by_path = endpoint.ask(BY_QUERY, headers), endpoint.ask(BY_PATH, headers)
    assert (401, "Bad Token") == (by_query.status_code, by_query.text)
    assert (403, "Bad Token") == (by_path.status_code, by_path.text)
    assert endpoint.ask("/nothing", headers).status_code == 401
    assert endpoint.world.reads == 0


@pytest.mark.parametrize("target", [BY_QUERY, BY_PATH, "/openapi.json"])
@pytest.mark.parametrize(
    "header",
    [
        *("X-Forwarded-For", "x-forwarded-host", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP"),
        *("X-Forwarded", "X-Original-Forwarded-For", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"),
        *("Fastly-Client-IP", "X-Cluster-Client-Ip", "X-Envoy-External-Address"),
    ],
)
def test_a_forwarded_request_is_refused(endpoint: Endpoint, target: str, header: str) -> None:
    """Headers of proxies tell of one: refused even with the token."""
    answer = endpoint.ask(target, AUTHORIZED | {header: "10.0.0.1"})
    assert (400, "Forwarded") == (answer.status_code, answer.text)


def test_the_health_check_needs_no_token(endpoint: Endpoint) -> None:
    """/ping answers `healthy` to anybody on this host, also behind a proxy."""
    answer = endpoint.ask("/ping", {"X-Forwarded-For": "10.0.0.1"})
    assert (200, "healthy") == (answer.status_code, answer.text)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("target", [BY_QUERY, BY_PATH, "/ping", "/nothing"])
def test_only_get_is_allowed(endpoint: Endpoint, method: str, target: str) -> None:
    """Any other method is 405, which says so."""
    answer = endpoint.ask(target, method=method)
    assert (405, "GET") == (answer.status_code, answer.headers["allow"])


def test_a_body_is_refused(endpoint: Endpoint) -> None:
    """A GET needs none: what somebody else wants to send is not read."""
    assert endpoint.ask(BY_QUERY, body=b"x").status_code == 413


@pytest.mark.parametrize(
    "large", [{"X-Large": 40_000 * "a"}, dict.fromkeys(("a" * n for n in range(1, 260)), "")]
)
def test_a_large_request_is_refused(endpoint: Endpoint, large: dict[str, str]) -> None:
    """More than 32 KiB of path, query and headers are nobody's question about a secret."""
    answer = endpoint.ask(BY_QUERY, AUTHORIZED | large)
    assert (431, "Request too large") == (answer.status_code, answer.text)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/secretsmanager/get", "missing parameter secretId"),
        ("/secretsmanager/get?secretId=", "missing parameter secretId"),
        ("/secretsmanager/get?secret_id=a", "missing parameter secretId"),
        (BY_QUERY + "&abc=1", "unknown parameter: abc"),
        (BY_QUERY + "&a%0D%0A%1B%5B2Jb=1", r"unknown parameter: a\r\n\x1b[2Jb"),
        (BY_QUERY + "".join(f"&a{number}=1" for number in range(40)), "too many parameters"),
        (BY_QUERY + "&roleArn=arn:aws:iam::111122223333:role/a", "unknown parameter: roleArn"),
        (BY_QUERY + "&refreshNow=yes", "invalid refreshNow value"),
        (BY_QUERY + "&refreshNow=", "invalid refreshNow value"),
        (BY_QUERY + "&versionId=" + 65 * "a", "invalid versionId value"),
        (BY_QUERY + "&versionStage=a%0Ab", "invalid versionStage value"),
        ("/secretsmanager/get?secretId=" + 2049 * "a", "invalid secretId value"),
        (BY_PATH + "?secretId=a", "unknown parameter: secretId"),
        ("/v1/", "missing secret ID"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(endpoint: Endpoint, target: str, words: str) -> None:
    """400 and the parameter's name, in the agent's words; Secrets Manager is not asked."""
    answer = endpoint.ask(target)
    assert (400, words) == (answer.status_code, answer.text)
    assert endpoint.world.reads == 0


@pytest.mark.parametrize(
    "target", ["/", "/secretsmanager", "/secretsmanager/get/x", "/v1", "/v2/prod", "/docs", "/redoc"]
)
def test_any_other_path_is_not_found(endpoint: Endpoint, target: str) -> None:
    """404 for a path of neither API."""
    answer = endpoint.ask(target)
    assert (404, "Not found") == (answer.status_code, answer.text)


@pytest.mark.parametrize(
    ("error", "code", "by_query", "by_path"),
    [
        (InvalidSecretIdError, "InvalidParameterException", 400, 400),
        (SecretNotFoundError, "ResourceNotFoundException", 400, 400),
        (StageNotFoundError, "ResourceNotFoundException", 400, 400),
        (SecretDeletedError, "InvalidRequestException", 400, 400),
        (AccessDeniedError, "AccessDeniedException", 403, 400),
        (DecryptionError, "DecryptionFailure", 400, 400),
        (UnavailableError, "ServiceUnavailable", 503, 503),
    ],
)
def test_each_error_has_its_status(
    endpoint: Endpoint, error: type[SecretError], code: str, by_query: int, by_path: int
) -> None:
    """An error is answered with AWS's name of it and the status that this API's users know."""
    endpoint.world.secrets.fail = lambda name: error(name, "as AWS says")
    for target, status in ((BY_QUERY, by_query), (BY_PATH, by_path)):
        answer = endpoint.ask(target)
        assert (status, "application/json") == (answer.status_code, answer.headers["content-type"])
        body = answer.json()
        assert {"__type", "message"} == body.keys()
        assert code == body["__type"]
        assert f"secret '{NAME}'" in body["message"]
        assert "as AWS says" in body["message"]


def test_every_error_of_a_read_is_in_the_table() -> None:
    """No kind of error that a read can raise is left to the answer for what nobody foresaw."""
    of_values = (SecretKindError, SecretFormatError, LoginRefusedError, KeyMismatchError)
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, SecretError) and not issubclass(kind, of_values)
        if kind not in (SecretError, ParameterError)
    ]
    assert len(kinds) >= len(ANSWERS)
    assert [kind for kind in kinds if answer_to(kind("prod/db")) is INTERNAL] == []


def test_a_foreign_error_out_of_the_source_says_nothing(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """503, since the read failed, whatever the source raised; nobody sees the error's own words."""
    endpoint.world.secrets.fail = lambda _: RuntimeError(CANARY)
    with caplog.at_level(logging.DEBUG):
        answer = endpoint.ask(BY_QUERY)
    assert 503 == answer.status_code
    assert "RuntimeError" in answer.text
    assert CANARY not in answer.text
    assert CANARY not in caplog.text


def test_an_unforeseen_error_says_nothing(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 without a message; the log has its kind and place and not its words, which may be a secret."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("keyturn.serve.app.parsed", fail)
    with caplog.at_level(logging.DEBUG):
        answer = endpoint.ask(BY_QUERY)
    assert (500, {"__type": "InternalFailure"}) == (answer.status_code, answer.json())
    assert "/secretsmanager/get: RuntimeError in fail:" in caplog.text
    assert CANARY not in caplog.text


def test_no_secret_and_no_token_is_logged(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    """The log of answers and refusals has neither value, nor token, nor any part of a query."""
    endpoint.world.secrets.put(NAME, CANARY, "v2")
    with caplog.at_level(logging.DEBUG, "keyturn.serve"):
        for target in (
            BY_QUERY,
            BY_PATH,
            BY_QUERY + "&versionStage=OTHER",
            "/%20canary",
            BY_QUERY + "&canary=1",
        ):
            endpoint.ask(target)
            endpoint.ask(target, {"X-Vault-Token": TOKEN + "canary"})
    routes = [record.getMessage() for record in caplog.records if record.name == "keyturn.serve"]
    assert "/secretsmanager/get: 200" in routes
    assert "/v1/...: 403 Bad Token" in routes
    assert "no route: 404" in routes
    assert "canary" not in caplog.text


def test_models_of_answers_show_no_value() -> None:
    """The value is not in the repr of what is answered, should anybody ever print it."""
    text = SecretVersion("a", "arn", "a", "v1", frozenset(), 0.0, string=CANARY)
    blob = SecretVersion("a", "arn", "a", "v1", frozenset(), 0.0, binary=CANARY.encode())
    shown = [repr(model(one)) for model in (agent_secret, extension_secret) for one in (text, blob)]
    assert [one for one in shown if CANARY in one or "Y2FuYXJ5" in one] == []
