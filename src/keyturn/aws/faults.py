"""What went wrong in a call to AWS: the failure as a small value (`Fault`), and as keyturn's errors.

Importing this module does not import botocore. Its exceptions are imported once one of them was raised.
No text here ever holds a response body, since the body of a GetSecretValue holds the secret:
botocore's parser puts a body that it cannot parse into the error's message.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.aws.unseen import Unseen
from keyturn.errors import (
    AccessDeniedError,
    DecryptionError,
    InvalidSecretIdError,
    KeyturnError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.runtime.frames import chain_of

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

MESSAGE_LENGTH_MAX: Final = 400
"""How many characters of AWS's own message are kept."""

TEXT_LENGTH_MAX: Final = 10 * MESSAGE_LENGTH_MAX
"""How many characters of an error's text are looked at."""

CODE_LENGTH_MAX: Final = 128
"""An error code that is longer is not AWS's."""


class FaultKind(Enum):
    """The reason why a call failed, which tells whether the same call can succeed later by itself."""

    REFUSED = "the service rejected the request"
    DENIED = "a policy denies the call"
    THROTTLED = "the service throttled the call"
    UNAVAILABLE = "the service did not answer, or its answer cannot be used"
    CREDENTIALS_EXPIRED = "the credentials are missing or have expired"
    CREDENTIALS_WRONG = "the credentials are wrong or were revoked"
    ARGUMENT = "the call was not sent, because an argument cannot be right"
    FOREIGN = "the client raised an error that is not botocore's"


class Fault(NamedTuple):
    """One failed call.

    `code` is AWS's error code or the name of botocore's exception class. `status` is the HTTP status,
    0 if there was no answer. `advice` says what to do, where the caller knows more than `kind` tells.
    """

    kind: FaultKind
    code: str
    message: str = ""
    status: int = 0
    advice: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class CallFailedError(Exception):
    """A call that was made without botocore failed; `fault` says how.

    The source that made the call turns this error into a `SecretError`.
    """

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
    # STS could not ask the identity provider.
    "IDPCommunicationError": FaultKind.UNAVAILABLE,
}
_KIND_BY_STATUS: Final = {
    403: FaultKind.DENIED,
    408: FaultKind.UNAVAILABLE,
    429: FaultKind.THROTTLED,
}
_NO_CREDENTIALS: Final = frozenset(
    {
        "CredentialRetrievalError",
        "LoginError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "RefreshWithMFAUnsupportedError",
        "SSOError",
        "TokenRetrievalError",
    }
)
"""botocore's errors, by name: an older botocore lacks some."""
_SIGNATURES: Final = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch"})
_SKEWED: Final = ("Signature expired: ", "Signature not yet current: ")
"""How the message of such an error begins if a clock is wrong, and not a key.

AWS's user guide of IAM ("Troubleshoot Signature Version 4 signing for AWS API requests") is the source of
these words. They were not tried on AWS.
"""

_ADVICE_CLOCK: Final = "set this host's clock (NTP): AWS takes a signature for some minutes only"
ADVICE_CREDENTIALS: Final = (
    "check the role or the credentials of the client (missing, expired or revoked), and the host's clock"
)
_ADVICE_KMS: Final = "allow kms:Decrypt on the secret's KMS key, in the role's policy or the key's"


ADVICE_FOREIGN: Final = (
    "look at the cause: the client or its credentials raised it (a token file, a proxy, a hook of your own)"
)


def fault_of(error: Exception) -> Fault:
    """Return the fault of a failed call. Whatever a client raises is one, of any class.

    So nothing but the client's own call may stand in the `try`. The text of an error that is not botocore's
    is left out, since it may quote anything.
    """
    if isinstance(error, CallFailedError):
        return error.fault
    # If the error is botocore's, these modules are loaded already. Importing them at the top of this module
    # would load botocore where no call is made.
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        HTTPClientError,
        ParamValidationError,
        ResponseStreamingError,
    )
    from botocore.parsers import ResponseParserError

    name = type(error).__name__
    if isinstance(error, ClientError):
        return _of_credentials(error) or _answered(error.response)
    if isinstance(error, ParamValidationError):
        return _unsent(name, _one_line(str(error)))
    if isinstance(error, ResponseParserError | UnicodeDecodeError | ResponseStreamingError):
        return Fault(FaultKind.UNAVAILABLE, name)
    if type(error) is HTTPClientError:
        # Its text is that of any error of the HTTP client's.
        return Fault(FaultKind.UNAVAILABLE, name)
    if isinstance(error, BotoCoreError):
        lacks = any(one.__name__ in _NO_CREDENTIALS for one in type(error).__mro__)
        kind = FaultKind.CREDENTIALS_EXPIRED if lacks else FaultKind.UNAVAILABLE
        return Fault(kind, name, _one_line(str(error)))
    return Fault(FaultKind.FOREIGN, name, advice=ADVICE_FOREIGN)


def _of_credentials(error: ClientError) -> Fault | None:
    """Return the fault of a call by which the client gets its credentials; None for any other call."""
    operation: object = getattr(error, "operation_name", None)
    if operation not in _CREDENTIALS_CALLS:
        return None
    fault, call = _answered(error.response), _CREDENTIALS_CALLS[operation]
    match fault.kind:
        case FaultKind.DENIED:
            advice = (
                f"let the trust policy of the client's role allow {call} to this caller, "
                "and check the role's ARN (AWS_ROLE_ARN, the service account, the profile)"
            )
            return fault._replace(kind=FaultKind.CREDENTIALS_WRONG, advice=advice)
        case FaultKind.REFUSED:
            # Of a role, a token or a session, never of the secret: else its copy would be dropped.
            advice = (
                f"look at the call {call}, by which the client gets its credentials: its service refuses it"
            )
            return fault._replace(kind=FaultKind.CREDENTIALS_WRONG, advice=advice)
    return fault


def _unsent(name: str, report: str) -> Fault:
    """Return the fault of a call whose arguments botocore refuses: keyturn's, or the one for credentials."""
    if _CREDENTIALS_ARGUMENT.search(report):
        return Fault(FaultKind.CREDENTIALS_WRONG, name, report, advice=_ADVICE_ROLE)
    return Fault(FaultKind.ARGUMENT, name, report)


_CREDENTIALS_ARGUMENT: Final = re.compile(
    r"parameter (?:in input: \")?(?:RoleArn|RoleSessionName|WebIdentityToken|ExternalId|DurationSeconds|"
    r"SerialNumber|TokenCode|PrincipalArn|SAMLAssertion|roleName|accountId|accessToken|tokenInput)\b"
)
"""How botocore names an argument of a call by which the client gets its credentials.

No call of keyturn's has an argument of such a name.
"""

_ADVICE_ROLE: Final = (
    "correct what the client gets its credentials with: AWS_ROLE_ARN takes a role's ARN, and the file "
    "AWS_WEB_IDENTITY_TOKEN_FILE may not be empty; or the same in the profile"
)

_CREDENTIALS_CALLS: Final[Mapping[object, str]] = {
    "AssumeRole": "sts:AssumeRole",
    "AssumeRoleWithSAML": "sts:AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity": "sts:AssumeRoleWithWebIdentity",
    "CreateOAuth2Token": "signin:CreateOAuth2Token",
    "GetRoleCredentials": "sso:GetRoleCredentials",
}


def _quotes_the_body(error: Exception, around: BaseException | None) -> bool:
    """Return True if the error, or one that it came from, quotes the answer's body, which may be the secret.

    Such an error must be neither the cause nor the context of another error. Python's HTTP client and urllib3
    quote the body where they look for a status line or the length of a chunk. `around` is the error that was
    being handled when the call began.
    """
    if isinstance(error, CallFailedError):
        return False
    from http.client import HTTPException, RemoteDisconnected

    from botocore.parsers import ResponseParserError

    return any(
        isinstance(one, ResponseParserError | UnicodeDecodeError | HTTPException)
        and not isinstance(one, RemoteDisconnected)
        for one in chain_of(error, around)
    )


def secret_error(error: Exception, secret_id: str) -> SecretError:
    """Make the `SecretError` of a failed call about `secret_id`; the caller raises it."""
    return _secret_error(fault_of(error), secret_id)


def _secret_error(fault: Fault, secret_id: str) -> SecretError:
    detail, advice = str(fault), fault.advice
    match fault.kind:
        case FaultKind.DENIED:
            advice = advice or (_ADVICE_KMS if "KMS" in fault.message else None)
            return AccessDeniedError(secret_id, detail, advice=advice)
        case FaultKind.CREDENTIALS_WRONG:
            return AccessDeniedError(secret_id, detail, advice=advice or ADVICE_CREDENTIALS)
        case FaultKind.CREDENTIALS_EXPIRED:
            return UnavailableError(secret_id, detail, advice=advice or ADVICE_CREDENTIALS)
        case FaultKind.ARGUMENT:
            return _impossible(fault, secret_id)
        case FaultKind.REFUSED:
            return _refused(fault, secret_id)
        case FaultKind.THROTTLED | FaultKind.UNAVAILABLE | FaultKind.FOREIGN:
            return UnavailableError(secret_id, detail, advice=advice)


def asked(
    secret_id: str,
    call: Callable[[], Mapping[str, object]],
    error_of: Callable[[Fault, str], SecretError] = _secret_error,
) -> Mapping[str, object]:
    """Make a call about `secret_id` and return the answer.

    If the call fails, raises the error that `error_of` makes of the fault and the id; see `called`.
    """

    def failure(error: Exception) -> Exception:
        # keyturn's own: there is no client, or it is one that reads through keyturn itself.
        return error if isinstance(error, KeyturnError) else error_of(fault_of(error), secret_id)

    return called(call, failure)


def called(
    call: Callable[[], Mapping[str, object]], failure_of: Callable[[Exception], Exception]
) -> Mapping[str, object]:
    """Make a call and return the answer.

    If the call fails, raises what `failure_of` makes of the error, with the error as the cause where that is
    safe.
    """
    around = sys.exception()
    try:
        with Unseen():
            return call()
    except Exception as error:
        failure = failure_of(error)
        if failure is error:
            raise
        if not _quotes_the_body(error, around):
            raise failure from error
    # Raised outside of the `except`, so that botocore's error is neither cause nor context: it quotes the
    # body, which may hold the secret.
    raise failure


def _refused(fault: Fault, secret_id: str) -> SecretError:
    """Make the error of a rejected request from the error code and the words of Secrets Manager's message."""
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
        return _impossible(fault, secret_id)
    return UnavailableError(secret_id, detail, advice=fault.advice)


def _impossible(fault: Fault, secret_id: str) -> SecretError:
    """Make the error of arguments that AWS, or botocore before it, takes for no secret's."""
    said = fault.message.lower()
    of_version = _OF_VERSION.search(said) and not _OF_ID.search(said)
    return (StageNotFoundError if of_version else InvalidSecretIdError)(secret_id, str(fault))


_OF_VERSION: Final = re.compile(r"at 'version(stage|id)' failed|(parameter|length of) version(stage|id)\b")
"""What AWS and botocore say of a label or a version that cannot be, in small letters."""

_OF_ID: Final = re.compile(r"at 'secretid' failed|(parameter|length of) secretid\b")
"""What they say of such an id."""


def answered_fault(code: str, message: str, status: int) -> Fault:
    """Make the fault of an answer that has AWS's error code and message, and an HTTP status."""
    if code in _SIGNATURES and message.startswith(_SKEWED):
        return Fault(FaultKind.CREDENTIALS_EXPIRED, code, _one_line(message), status, _ADVICE_CLOCK)
    return Fault(_kind(code, status), code, _one_line(message), status)


def _answered(response: object) -> Fault:
    """Return the fault in a `ClientError.response` of any shape, since stubs and proxies answer anything."""
    answer = response if isinstance(response, dict) else {}
    error, meta = answer.get("Error"), answer.get("ResponseMetadata")
    code = error.get("Code") if isinstance(error, dict) else None
    message = error.get("Message") if isinstance(error, dict) else None
    status = meta.get("HTTPStatusCode") if isinstance(meta, dict) else None
    status = status if isinstance(status, int) else 0
    if not isinstance(code, str) or not (len(code) <= CODE_LENGTH_MAX and code.isidentifier()):
        # The answer was not AWS's JSON, so its "message" is the body, which is not quoted.
        return Fault(_KIND_BY_STATUS.get(status, FaultKind.UNAVAILABLE), f"HTTP {status}", status=status)
    return answered_fault(code, message if isinstance(message, str) else "", status)


def _kind(code: str, status: int) -> FaultKind:
    if code in _KIND_BY_CODE:
        return _KIND_BY_CODE[code]
    if status >= 500 or code.startswith("Internal") or code == "ServiceUnavailable":
        return FaultKind.UNAVAILABLE
    return _KIND_BY_STATUS.get(status, FaultKind.REFUSED)


def _one_line(text: str) -> str:
    return " ".join(text[:TEXT_LENGTH_MAX].split())[:MESSAGE_LENGTH_MAX].rstrip(".")
