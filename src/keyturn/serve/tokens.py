"""The token that a caller has to know: where the extension and the agent take it from.

It keeps out what can make this host send a request and not read its environment or files
(server-side request forgery).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from keyturn.errors import ConfigurationError

HEADERS: Final = ("X-Aws-Parameters-Secrets-Token", "X-Vault-Token")
"""Either may carry it: the first is the extension's, both are the agent's."""

VARIABLES: Final = ("AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
"""The first that is set counts, in the agent's order; the extension knows the second alone."""

FILE_PREFIX: Final = "file://"


def found_token(environment: Mapping[str, str], read_text: Callable[[str], str]) -> str:
    """The token: the value of the first variable that is set, or what is in the file that it names.

    Raises `ConfigurationError` if there is none: without a token nobody could be let in.
    """
    name = next((name for name in VARIABLES if environment.get(name)), None)
    if name is None:
        raise ConfigurationError(
            f"no token: set AWS_TOKEN to one, or to {FILE_PREFIX}PATH of a file that holds one "
            f"(looked for {', '.join(VARIABLES)})"
        )
    value = environment[name]
    if not value.startswith(FILE_PREFIX):
        return value
    path = value.removeprefix(FILE_PREFIX)
    try:
        token = read_text(path).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} names {path}, which cannot be read as text") from error
    if not token:
        raise ConfigurationError(f"{name} names {path}, which is empty")
    return token
