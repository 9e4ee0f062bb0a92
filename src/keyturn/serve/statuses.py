"""How each error is answered: one table, and the API that a path belongs to.

AWS documents no status of the extension. Its column holds what its users report, the agent's what
its code does: the service's own status. docs/serve.md has the same table with the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from keyturn.errors import (
    AccessDeniedError,
    ConfigurationError,
    DecryptionError,
    InvalidParameterNameError,
    InvalidSecretIdError,
    KeyturnError,
    ParameterDecryptionError,
    ParameterNotFoundError,
    ParameterVersionNotFoundError,
    SecretDeletedError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)

AGENT_PREFIX: Final = "/v1/"


class Api(Enum):
    """Whose manners a path has; both have `/secretsmanager/get`, which answers as the extension."""

    EXTENSION = "extension"
    AGENT = "agent"

    @classmethod
    def of(cls, path: str) -> Api:
        """The API of a request's path."""
        return cls.AGENT if path.startswith(AGENT_PREFIX) else cls.EXTENSION


class Answer(NamedTuple):
    """`code` is AWS's name of the error (`__type` of the body), then the status in each API."""

    code: str
    extension: int
    agent: int

    def status(self, api: Api) -> int:
        """The HTTP status on a path of this API."""
        return self.agent if api is Api.AGENT else self.extension


INTERNAL: Final = Answer("InternalFailure", 500, 500)
"""What nobody foresaw; says no more than this."""

ANSWERS: Final[Mapping[type[KeyturnError], Answer]] = {
    InvalidSecretIdError: Answer("InvalidParameterException", 400, 400),
    SecretNotFoundError: Answer("ResourceNotFoundException", 400, 400),
    StageNotFoundError: Answer("ResourceNotFoundException", 400, 400),
    SecretDeletedError: Answer("InvalidRequestException", 400, 400),
    AccessDeniedError: Answer("AccessDeniedException", 403, 400),
    DecryptionError: Answer("DecryptionFailure", 400, 400),
    UnavailableError: Answer("ServiceUnavailable", 503, 503),
    InvalidParameterNameError: Answer("ValidationException", 400, 400),
    ParameterNotFoundError: Answer("ParameterNotFound", 400, 400),
    ParameterVersionNotFoundError: Answer("ParameterVersionNotFound", 400, 400),
    ParameterDecryptionError: Answer("InvalidKeyId", 400, 400),
    # A version or label beside one in the name.
    ConfigurationError: Answer("ValidationException", 400, 400),
}
"""Error -> answer; a kind that is not here answers as the nearest kind above it."""

BAD_TOKEN: Final[Mapping[Api, int]] = {Api.EXTENSION: 401, Api.AGENT: 403}
"""The extension's users report 401; the agent's code says 403."""


def answer_to(error: Exception) -> Answer:
    """The answer to this error."""
    found = (ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)
    return next(found, INTERNAL)
