"""The AWS Parameters and Secrets Lambda Extension as a source, by the standard library alone.

The extension answers HTTP on localhost from a cache of its own. AWS's user guides of Secrets Manager
("retrieving secrets in Lambda") and Parameter Store ("Lambda extensions") are the source of the paths, the
queries, the header and the variables. AWS does not document the extension's errors. The statuses and texts
here are those that users have reported, and an error that this module does not recognise is reported by its
status only.

Each call opens a connection of its own. A connection that is kept would save some tenths of a millisecond, at
a miss only. Each thread would need its own, and it could not be used after a fork or trusted after a freeze.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self

from keyturn.aws.faults import TEXT_LENGTH_MAX, CallFailedError, Fault, FaultKind, answered_fault
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.errors import ConfigurationError, SecretError, StageNotFoundError, UnavailableError
from keyturn.model.names import parameter_id
from keyturn.model.versions import AWSCURRENT, SecretVersion

TTL_MAX_S: Final = 300.0
"""The extension's default TTL and the longest one: the extension takes a longer TTL as this one."""

READY_PAUSES_S: Final = (0.02, 0.04, 0.08, 0.16, 0.32)
"""The pauses between attempts while the extension answers that it is not ready: 0.62 s in all."""

TIMEOUT_S: Final = 5.0
"""The time-out of one read where the extension has no time-out of its own."""

_TOKEN_HEADER: Final = "X-Aws-Parameters-Secrets-Token"  # noqa: S105 # the name of a header
_NOT_READY: Final = b"not ready to serve traffic"
_PREFIX: Final = "PARAMETERS_SECRETS_EXTENSION_"
_PORT: Final = _PREFIX + "HTTP_PORT"
_SAID: Final = re.compile(r"\b([A-Z][A-Za-z]*(?:Exception|Failure|Error|NotFound|KeyId)): (.*)", re.DOTALL)
"""AWS's error code and message in an error text of the SDK that the extension is made with."""

_UNEXPLAINED: Final = "HTTP 400"
_ADVICE_LAYER: Final = (
    "attach the layer AWS-Parameters-and-Secrets-Lambda-Extension to the function (in a container image, "
    f"copy it into the image), and set {_PORT} to the same port for both"
)
_ADVICE_READY: Final = (
    "read it in the handler, because the extension may not serve before the first invocation; a cache that "
    "reads at import must use a client instead"
)
_ADVICE_UNEXPLAINED: Final = (
    "look for the extension's ERROR line in the function's log, which says why; most often the id is "
    "wrong, or the function's role may not read it or may not use its KMS key"
)
_ADVICE_TOKEN: Final = (
    f"the header {_TOKEN_HEADER} must carry the function's current AWS_SESSION_TOKEN; do not copy the token "
    "at deployment, and do not send it from another environment"
)
_ADVICE_TOKENLESS: Final = (
    "no token was sent, because AWS_SESSION_TOKEN is not set: run this as a Lambda function"
)
_ADVICE_PORT: Final = f"something other than the extension listens on this port: check {_PORT}"


class ExtensionSettings(NamedTuple):
    """The settings of the extension that matter to a reader; durations are in seconds.

    With a TTL of 0 the extension caches nothing. The extension's other variables (MAX_CONNECTIONS, LOG_LEVEL)
    change nothing for a reader.
    """

    port: int = 2773
    secrets_ttl_s: float = TTL_MAX_S
    parameters_ttl_s: float = TTL_MAX_S
    secrets_timeout_s: float = TIMEOUT_S
    parameters_timeout_s: float = TIMEOUT_S

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings that these environment variables give the extension.

        Raises `ConfigurationError` for a value that AWS does not document.
        """
        port = _whole(environment, _PORT, 2773, least=1, most=65535)
        size = _whole(environment, _PREFIX + "CACHE_SIZE", 1000, most=1000)
        caches = _is_on(environment, _PREFIX + "CACHE_ENABLED") and size > 0
        secrets_ttl_s = _whole(environment, "SECRETS_MANAGER_TTL", 300)
        parameters_ttl_s = _whole(environment, "SSM_PARAMETER_STORE_TTL", 300)
        return cls(
            port=port,
            secrets_ttl_s=min(TTL_MAX_S, secrets_ttl_s) if caches else 0.0,
            parameters_ttl_s=min(TTL_MAX_S, parameters_ttl_s) if caches else 0.0,
            secrets_timeout_s=_timeout_s(environment, "SECRETS_MANAGER_TIMEOUT_MILLIS"),
            parameters_timeout_s=_timeout_s(environment, "SSM_PARAMETER_STORE_TIMEOUT_MILLIS"),
        )


class ExtensionSource:
    """A `SecretSource` that reads secrets through the extension. Threads and forked processes may share it.

    `token` returns the current AWS_SESSION_TOKEN at each call. `sleep` waits so many seconds while the
    extension is not ready. `ttl_s` is how old an answer from the extension's cache may be. The extension
    measures that by its own clock, which may stand still while the environment is frozen, so
    SECRETS_MANAGER_TTL is best set to 0.
    """

    def __init__(
        self, settings: ExtensionSettings, *, token: Callable[[], str], sleep: Callable[[float], None]
    ) -> None:
        self.ttl_s = settings.secrets_ttl_s
        client = ExtensionClient(settings.port, settings.secrets_timeout_s, token=token, sleep=sleep)
        self._source = SecretsManagerSource(lambda: client)

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        """Read a version by one request; see `SecretSource.read`.

        If the extension rejects the request without a reason, a second request tells whether the secret is
        there and only the version is missing.
        """
        try:
            return self._source.read(secret_id, stage=stage, version_id=version_id)
        except UnavailableError as error:
            is_of_a_version = stage != AWSCURRENT or version_id is not None
            if not (is_of_a_version and is_unexplained(error) and self._has_current(secret_id)):
                raise
            detail = f"the extension rejects {stage} and serves AWSCURRENT"
            raise StageNotFoundError(secret_id, detail) from error

    def _has_current(self, secret_id: str) -> bool:
        try:
            self._source.read(secret_id, stage=AWSCURRENT)
        except UnavailableError:
            return False
        return True


class ExtensionClient:
    """Answers the reads of boto3's clients for Secrets Manager and Systems Manager through the extension.

    A call that fails raises `CallFailedError`. No exception carries a header or the body of an answer.
    """

    def __init__(
        self, port: int, timeout_s: float, *, token: Callable[[], str], sleep: Callable[[float], None]
    ) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._token = token
        self._sleep = sleep

    def get_secret_value(
        self, *, SecretId: str, VersionId: str | None = None, VersionStage: str | None = None
    ) -> Mapping[str, object]:
        answer = self._get(
            "/secretsmanager/get", secretId=SecretId, versionId=VersionId, versionStage=VersionStage
        )
        created, binary = answer.get("CreatedDate"), answer.get("SecretBinary")
        return {**answer, "CreatedDate": _moment(created), "SecretBinary": _blob(binary)}

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> Mapping[str, object]:
        name, selector = parameter_id(Name)
        by = "version" if selector.isdecimal() else "label"
        answer = self._get(
            "/systemsmanager/parameters/get",
            name=name,
            **({} if selector == AWSCURRENT else {by: selector}),
            withDecryption="true" if WithDecryption else "false",
        )
        found = answer.get("Parameter")
        if not isinstance(found, dict):
            return answer
        return {"Parameter": {**found, "LastModifiedDate": _moment(found.get("LastModifiedDate"))}}

    def _get(self, path: str, **query: str | None) -> dict[str, object]:
        """Wait until the extension is ready, and return the JSON object that it answers."""
        from urllib.parse import quote, urlencode

        given = {key: value for key, value in query.items() if value is not None}
        target = f"{path}?{urlencode(given, quote_via=quote, safe='')}"
        token = self._token()
        status, body = self._exchange(target, token)
        for pause_s in READY_PAUSES_S:
            if not _is_not_ready(status, body):
                break
            self._sleep(pause_s)
            status, body = self._exchange(target, token)
        if status == 200:
            return _json_object(body)
        raise CallFailedError(_fault(status, body, has_token=bool(token)))

    def _exchange(self, target: str, token: str) -> tuple[int, bytes]:
        """Make one GET, and return the status and the body of the answer."""
        from http.client import HTTPConnection, HTTPException

        connection = HTTPConnection("localhost", self._port, timeout=self._timeout_s)
        try:
            connection.request("GET", target, headers={_TOKEN_HEADER: token} if token else {})
            response = connection.getresponse()
            return response.status, response.read()
        except ConnectionRefusedError as error:
            raise CallFailedError(
                Fault(
                    FaultKind.UNAVAILABLE,
                    "ConnectionRefusedError",
                    f"nothing listens on localhost:{self._port}",
                    advice=_ADVICE_LAYER,
                )
            ) from error
        except OSError as error:
            what = f"localhost:{self._port}, within {self._timeout_s:g} s"
            raise CallFailedError(Fault(FaultKind.UNAVAILABLE, type(error).__name__, what)) from error
        except (HTTPException, ValueError) as error:
            # Raised below, outside of the `except`: these errors quote the header or a part of the body.
            fault = Fault(FaultKind.UNAVAILABLE, type(error).__name__, advice=_ADVICE_PORT)
        finally:
            connection.close()
        raise CallFailedError(fault)


def _is_not_ready(status: int, body: bytes) -> bool:
    return status == 400 and _NOT_READY in body


def is_unexplained(error: SecretError) -> bool:
    """Return True if the extension rejected a request and did not say why."""
    cause = error.__cause__
    return isinstance(cause, CallFailedError) and cause.fault.code == _UNEXPLAINED


def _fault(status: int, body: bytes, *, has_token: bool) -> Fault:
    """Make the fault of an answer whose status is not 200."""
    said = _said(body)
    if said is not None:
        return answered_fault(*said, status)
    code = f"HTTP {status}"
    if _is_not_ready(status, body):
        return Fault(FaultKind.UNAVAILABLE, "not ready to serve traffic", status=status, advice=_ADVICE_READY)
    if status == 401 or b"Bad Token" in body or (status in (400, 403) and not has_token):
        advice = _ADVICE_TOKEN if has_token else _ADVICE_TOKENLESS
        return Fault(FaultKind.CREDENTIALS_WRONG, code, status=status, advice=advice)
    match status:
        case 400:
            return Fault(FaultKind.REFUSED, _UNEXPLAINED, status=status, advice=_ADVICE_UNEXPLAINED)
        case 403:
            return Fault(FaultKind.DENIED, code, status=status)
        case 429 | 500 | 502 | 503 | 504:
            return Fault(FaultKind.UNAVAILABLE, code, status=status)
    return Fault(FaultKind.UNAVAILABLE, code, status=status, advice=_ADVICE_PORT)


def _said(body: bytes) -> tuple[str, str] | None:
    """Return AWS's error code and message if the body has them; else None, and the body is not quoted."""
    text = body.decode(errors="replace")
    try:
        told = json.loads(text)
    except ValueError:
        found = _SAID.search(text[:TEXT_LENGTH_MAX])
        return (found[1], found[2]) if found else None
    code = told.get("__type") if isinstance(told, dict) else None
    if not isinstance(code, str) or not code.rpartition("#")[2].isidentifier():
        return None
    message = told.get("message", told.get("Message"))
    return code.rpartition("#")[2], message if isinstance(message, str) else ""


def _json_object(body: bytes) -> dict[str, object]:
    try:
        answer: object = json.loads(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    # Raised outside of the `except`, because a JSONDecodeError carries the document.
    raise CallFailedError(Fault(FaultKind.UNAVAILABLE, "the answer is no JSON object", advice=_ADVICE_PORT))


def _moment(written: object) -> datetime | None:
    """Parse a date in ISO 8601, as the extension writes it, or in epoch seconds, as the agent does."""
    if not isinstance(written, str):
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        try:
            return datetime.fromtimestamp(float(written), UTC)
        except (ValueError, OverflowError, OSError):
            return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _blob(written: object) -> bytes | None:
    """Decode a SecretBinary, which JSON carries in base64; None if it is none."""
    if not isinstance(written, str):
        return None
    try:
        return b64decode(written, validate=True)
    except (binascii.Error, ValueError):
        return None


def _whole(
    environment: Mapping[str, str], name: str, default: int, *, least: int = 0, most: int | None = None
) -> int:
    """Return the whole number in a variable, or `default` if the variable is absent or empty.

    Raises `ConfigurationError` for any other text.
    """
    text = environment.get(name, "").strip()
    number = int(text) if text.isdecimal() and len(text) < 10 else None
    if not text:
        return default
    if number is None or number < least or (most is not None and number > most):
        limits = f"{least} to {most}" if most is not None else f"{least} or more"
        raise ConfigurationError(f"{name} is {text[:20]!r}; it must be a whole number, {limits}")
    return number


def _is_on(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").strip()
    if text.upper() not in ("", "TRUE", "FALSE"):
        raise ConfigurationError(f"{name} is {text[:20]!r}; it must be TRUE or FALSE")
    return text.upper() != "FALSE"


def _timeout_s(environment: Mapping[str, str], name: str) -> float:
    """Return a time-out that is longer than the extension's own, so that the extension's error comes first.

    A variable of 0 means that the extension has no time-out.
    """
    own_s = _whole(environment, name, 0) / 1000
    return own_s + 1.0 if own_s else TIMEOUT_S
