"""The token that a caller must send. It is read from where the extension and the agent read theirs.

The token stops attackers that can make this host send a request, but cannot read its environment or files
(server-side request forgery).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from keyturn.errors import ConfigurationError

HEADERS: Final = ("X-Aws-Parameters-Secrets-Token", "X-Vault-Token")
"""The headers that may hold the token. The extension accepts the first, the agent both."""

VARIABLES: Final = ("AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
"""The first variable that is set counts, in the agent's order. The extension reads only the second."""

FILE_PREFIX: Final = "file://"


def found_token(environment: Mapping[str, str], read_text: Callable[[str], str]) -> str:
    """Return the token: the value of the first variable that is set, or the text of the file it names.

    Raises `ConfigurationError` if there is no token, since no caller could then be accepted.
    """
    name = next((name for name in VARIABLES if environment.get(name)), None)
    if name is None:
        raise ConfigurationError(
            f"no token: set AWS_TOKEN to the token, or to {FILE_PREFIX}PATH of a file with the token "
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
