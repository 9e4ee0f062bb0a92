"""The table of answers to errors, and the API that a path belongs to.

AWS documents no status of the extension. Its column holds the statuses that its users report. The agent's
column holds what the agent's code does: it passes on the service's own status. docs/serve.md has the same
table with the reasons.
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
    """The API whose answers a path has. `/secretsmanager/get`, which both have, answers as the extension."""

    EXTENSION = "extension"
    AGENT = "agent"

    @classmethod
    def of(cls, path: str) -> Api:
        """Return the API of a request's path."""
        return cls.AGENT if path.startswith(AGENT_PREFIX) else cls.EXTENSION


class Answer(NamedTuple):
    """An error's answer: AWS's name of the error (`__type` of the body), and the status in each API."""

    code: str
    extension: int
    agent: int

    def status(self, api: Api) -> int:
        """Return the HTTP status on a path of this API."""
        return self.agent if api is Api.AGENT else self.extension


INTERNAL: Final = Answer("InternalFailure", 500, 500)
"""The answer to an unexpected error. It says nothing more."""

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
    # The name has a version or label, and the query has a second one.
    ConfigurationError: Answer("ValidationException", 400, 400),
}
"""Error -> answer. A class that is not listed is answered as its nearest listed base class."""

BAD_TOKEN: Final[Mapping[Api, int]] = {Api.EXTENSION: 401, Api.AGENT: 403}
"""The extension's users report 401; the agent's code has 403."""


def answer_to(error: Exception) -> Answer:
    """Return the answer to this error."""
    found = (ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)
    return next(found, INTERNAL)
