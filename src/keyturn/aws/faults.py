"""What went wrong in a call to AWS: the failure as a small value, and as keyturn's errors.

Importing this module does not import botocore: when one of its errors is at hand, it is loaded.
No text here ever holds a response body, since the body of a GetSecretValue holds the secret:
botocore's parser puts a body it cannot parse into the error's message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, NamedTuple

from keyturn.errors import (
    AccessDeniedError,
    DecryptionError,
    InvalidSecretIdError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)

MESSAGE_LENGTH_MAX: Final = 400
"""Characters of AWS's own message that are kept."""


class FaultKind(Enum):
    """Who refused, and whether the same call can succeed later without anybody's help."""

    REFUSED = "the service refused the request"
    DENIED = "a policy denies the call"
    THROTTLED = "the service asked for fewer calls"
    UNAVAILABLE = "no answer, or an unusable one"
    CREDENTIALS_EXPIRED = "the credentials are missing or have expired"
    CREDENTIALS_WRONG = "the credentials are not, or no longer, valid"
    ARGUMENT = "the call was never sent: an argument cannot be right"


class Fault(NamedTuple):
    """One failed call. `code` is AWS's error code or botocore's class, `status` HTTP's (0: no answer).

    `advice`: what to do, where the way of the call makes that more than the kind can tell.
    """

    kind: FaultKind
    code: str
    message: str = ""
    status: int = 0
    advice: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class CallFailedError(Exception):
    """A call that was made without botocore failed; `fault` says how. Never leaves the sources as it is."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


_THROTTLES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_DENIALS: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"}
)
_EXPIRED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "TokenRefreshRequired",
    }
)
_INVALID_CREDENTIALS: Final = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_KIND_BY_CODE: Final = {
    **dict.fromkeys(_THROTTLES, FaultKind.THROTTLED),
    **dict.fromkeys(_DENIALS, FaultKind.DENIED),
    **dict.fromkeys(_EXPIRED, FaultKind.CREDENTIALS_EXPIRED),
    **dict.fromkeys(_INVALID_CREDENTIALS, FaultKind.CREDENTIALS_WRONG),
}
_KIND_BY_STATUS: Final = {
    403: FaultKind.DENIED,
    408: FaultKind.UNAVAILABLE,
    429: FaultKind.THROTTLED,
}
_ADVICE_CREDENTIALS: Final = (
    "check the role or the credentials of the client (missing, expired or revoked) and the host's clock"
)
_ADVICE_KMS: Final = "allow kms:Decrypt on the secret's KMS key, in the role's policy or the key's"


def fault_of(error: Exception) -> Fault | None:
    """What the error of a call says, or None if it is neither botocore's nor a `CallFailedError`."""
    if isinstance(error, CallFailedError):
        return error.fault
    # Loaded long ago if the error is botocore's; importing this module must not cost it.
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        NoAuthTokenError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
        SSOError,
        TokenRetrievalError,
    )
    from botocore.parsers import ResponseParserError

    name = type(error).__name__
    if isinstance(error, ClientError):
        return _answered(error.response)
    if isinstance(error, ParamValidationError):
        return Fault(FaultKind.ARGUMENT, name, _one_line(str(error)))
    if isinstance(
        error,
        NoCredentialsError
        | PartialCredentialsError
        | CredentialRetrievalError
        | TokenRetrievalError
        | NoAuthTokenError
        | SSOError,
    ):
        return Fault(FaultKind.CREDENTIALS_EXPIRED, name, _one_line(str(error)))
    if isinstance(error, ResponseParserError | UnicodeDecodeError):
        return Fault(FaultKind.UNAVAILABLE, name)
    if isinstance(error, BotoCoreError):
        return Fault(FaultKind.UNAVAILABLE, name, _one_line(str(error)))
    return None


def quotes_the_body(error: Exception) -> bool:
    """Whether the error carries the answer's body, which may be the secret: it must be no cause."""
    if isinstance(error, CallFailedError):
        return False
    from botocore.parsers import ResponseParserError

    return isinstance(error, ResponseParserError | UnicodeDecodeError)


def secret_error(error: Exception, secret_id: str) -> SecretError | None:
    """The `SecretError` for a failed call about `secret_id`, or None if `error` is no call's.

    Built, not raised: `raise mapped from error`.
    """
    fault = fault_of(error)
    return None if fault is None else _secret_error(fault, secret_id)


def asked(secret_id: str, call: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
    """The answer of a call about `secret_id`; botocore's error as a `SecretError` with it as the cause."""
    try:
        return call()
    except Exception as error:
        failure = secret_error(error, secret_id)
        if failure is None:
            raise
        if not quotes_the_body(error):
            raise failure from error
    # Neither cause nor context: the unreadable body may hold the secret, and error quotes it.
    raise failure


def _secret_error(fault: Fault, secret_id: str) -> SecretError:
    detail, advice = str(fault), fault.advice
    match fault.kind:
        case FaultKind.DENIED:
            advice = advice or (_ADVICE_KMS if "KMS" in fault.message else None)
            return AccessDeniedError(secret_id, detail, advice=advice)
        case FaultKind.CREDENTIALS_WRONG:
            return AccessDeniedError(secret_id, detail, advice=advice or _ADVICE_CREDENTIALS)
        case FaultKind.CREDENTIALS_EXPIRED:
            return UnavailableError(secret_id, detail, advice=advice or _ADVICE_CREDENTIALS)
        case FaultKind.ARGUMENT:
            return InvalidSecretIdError(secret_id, detail)
        case FaultKind.REFUSED:
            return _refused(fault, secret_id)
        case FaultKind.THROTTLED | FaultKind.UNAVAILABLE:
            return UnavailableError(secret_id, detail, advice=advice)


def _refused(fault: Fault, secret_id: str) -> SecretError:
    """A refusal that only the error code and the words of Secrets Manager's message tell apart."""
    said = fault.message.lower()
    detail = str(fault)
    if fault.code == "ResourceNotFoundException":
        about_version = any(word in said for word in ("secret value", "staging label", "versionid"))
        return (StageNotFoundError if about_version else SecretNotFoundError)(secret_id, detail)
    if fault.code == "InvalidRequestException" and "delet" in said:
        return SecretDeletedError(secret_id, detail)
    if fault.code == "InvalidRequestException" and "versionstage" in said:
        return StageNotFoundError(secret_id, detail)
    if fault.code == "DecryptionFailure":
        return DecryptionError(secret_id, detail)
    if fault.code in ("InvalidParameterException", "ValidationException"):
        return InvalidSecretIdError(secret_id, detail)
    return UnavailableError(secret_id, detail, advice=fault.advice)


def table_advice(fault: Fault) -> str:
    """What happened to a call on a DynamoDB table, and what to do, where its purpose does not matter."""
    match fault.kind:
        case FaultKind.CREDENTIALS_EXPIRED | FaultKind.CREDENTIALS_WRONG:
            return "no valid credentials; check the role or the profile of the DynamoDB client"
        case FaultKind.THROTTLED:
            return "throttled; it should be on demand, and one item serves 3,000 strongly consistent reads/s"
        case FaultKind.UNAVAILABLE:
            return "unreachable; check the network path (VPC endpoint, DNS) and the client's Region"
    if fault.code == "ValidationException":
        return "it refused the request; its primary key must be the String pk alone, as the stack makes it"
    return "it refused the request"


def answered_fault(code: str, message: str, status: int) -> Fault:
    """The fault of an answer with AWS's own error code and message, and HTTP's status."""
    return Fault(_kind(code, status), code, _one_line(message), status)


def _answered(response: object) -> Fault:
    """The fault in a `ClientError.response`; total, since stubs and proxies answer anything."""
    answer = response if isinstance(response, dict) else {}
    error, meta = answer.get("Error"), answer.get("ResponseMetadata")
    code = error.get("Code") if isinstance(error, dict) else None
    message = error.get("Message") if isinstance(error, dict) else None
    status = meta.get("HTTPStatusCode") if isinstance(meta, dict) else None
    status = status if isinstance(status, int) else 0
    if not isinstance(code, str) or not code.isidentifier():
        # Without a code of its own the answer was not AWS's JSON, and the "message" is its body.
        return Fault(_KIND_BY_STATUS.get(status, FaultKind.UNAVAILABLE), f"HTTP {status}", status=status)
    return answered_fault(code, message if isinstance(message, str) else "", status)


def _kind(code: str, status: int) -> FaultKind:
    if code in _KIND_BY_CODE:
        return _KIND_BY_CODE[code]
    if status >= 500 or code.startswith("Internal") or code == "ServiceUnavailable":
        return FaultKind.UNAVAILABLE
    return _KIND_BY_STATUS.get(status, FaultKind.REFUSED)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_LENGTH_MAX].rstrip(".")
