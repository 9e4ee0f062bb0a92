"""The token that a caller must send. It is read from where the extension and the agent read theirs.

The token stops attackers that can make this host send a request, but cannot read its environment or files
(server-side request forgery).
"""

from __future__ import annotations

import hmac
import logging
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from keyturn.errors import ConfigurationError

log = logging.getLogger("keyturn.serve")

HEADERS: Final = ("X-Aws-Parameters-Secrets-Token", "X-Vault-Token")
"""The headers that may hold the token. The extension accepts the first, the agent both."""

VARIABLES: Final = ("AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
"""The first variable that is set counts, in the agent's order. The extension reads only the second."""

FILE_PREFIX: Final = "file://"

TOKEN_BYTES_MIN: Final = 16
"""A shorter token could be guessed by somebody who may send requests."""

TOKEN_BYTES_MAX: Final = 16 * 1024
"""A longer token leaves no room for the rest of a request."""

LOOK_S: Final = 1.0
"""The file of the token is read again at most once in so many seconds."""

LOOK_AFTER_REFUSAL_S: Final = 0.05
"""The same when a caller has sent another token than the known one: it may have read the new one first."""

_VISIBLE: Final = re.compile(r"[\x21-\x7e]*")


class Token:
    """The token. Of a file it is read again when the file changes; nothing of it can be read from here.

    An event loop may call it: a look at the file is one read of a small file.

    Args:
        read: returns the token, or raises `ConfigurationError`.
        is_fixed: says that `read` returns the same for ever.
        monotonic: returns the time in seconds.
    """

    def __init__(self, read: Callable[[], str], *, is_fixed: bool, monotonic: Callable[[], float]) -> None:
        self._read = read
        self._is_fixed = is_fixed
        self._monotonic = monotonic
        self._digest = _digest(read().encode())
        self._looked_s = monotonic()
        self._trouble = ""

    def matches(self, given: Sequence[bytes]) -> bool:
        """Return True if a caller gave the token, and nothing else in the place of a token."""
        self._look(LOOK_S)
        if not given:
            return False
        if self._equals(given):
            return True
        return self._look(LOOK_AFTER_REFUSAL_S) and self._equals(given)

    def _equals(self, given: Sequence[bytes]) -> bool:
        # Digests have one length, so that the comparison does not tell the length of the token.
        return all(hmac.compare_digest(_digest(one), self._digest) for one in given)

    def _look(self, after_s: float) -> bool:
        """Read the file if the last look is so long ago. Return True if there is another token now."""
        now_s = self._monotonic()
        if self._is_fixed or now_s - self._looked_s < after_s:
            return False
        self._looked_s = now_s
        try:
            digest = _digest(self._read().encode())
        except ConfigurationError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("the token is as before, since %s", error)
            return False
        self._trouble = ""
        if digest == self._digest:
            return False
        self._digest = digest
        log.info("the token's file has changed: callers need the new token")
        return True


def found_token(environment: Mapping[str, str], monotonic: Callable[[], float]) -> Token:
    """Return the token: the value of the first variable that is set, or the text of the file it names.

    Raises `ConfigurationError` if there is no token, since no caller could then be accepted, or a bad one.
    """
    name = next((name for name in VARIABLES if environment.get(name)), None)
    if name is None:
        raise ConfigurationError(
            f"no token: set AWS_TOKEN to the token, or to {FILE_PREFIX}PATH of a file with the token "
            f"(looked for {', '.join(VARIABLES)})"
        )
    value = environment[name]
    if not value.startswith(FILE_PREFIX):
        return Token(lambda: checked_token(value, name), is_fixed=True, monotonic=monotonic)
    path = value.removeprefix(FILE_PREFIX)
    where = f"{name}, which names {path!r},"
    return Token(lambda: checked_token(_text(path, where), where), is_fixed=False, monotonic=monotonic)


def checked_token(token: str, where: str) -> str:
    """Return the token if it is long enough and fit for a header; else raise `ConfigurationError`."""
    if not token:
        raise ConfigurationError(f"the token of {where} is empty")
    if not _VISIBLE.fullmatch(token):
        raise ConfigurationError(
            f"the token of {where} has a character that a header cannot carry: "
            "use visible ASCII characters without spaces"
        )
    if len(token) < TOKEN_BYTES_MIN:
        raise ConfigurationError(
            f"the token of {where} is shorter than {TOKEN_BYTES_MIN} bytes, so it could be guessed: "
            "make one of 32 random bytes (openssl rand -base64 32)"
        )
    if len(token) > TOKEN_BYTES_MAX:
        raise ConfigurationError(f"the token of {where} is longer than {TOKEN_BYTES_MAX} bytes")
    return token


def _text(path: str, where: str) -> str:
    """Return the text of a file without the white space around it. It never waits, as for a pipe."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(TOKEN_BYTES_MAX + 2) if stat.S_ISREG(mode) else None
        text = content.decode() if content is not None else None
    except OSError as error:
        raise ConfigurationError(f"the token of {where} cannot be read: {error.strerror}") from error
    except ValueError:
        # A UnicodeDecodeError holds the content, so it is no cause.
        text, mode = None, 0
    if text is None:
        raise ConfigurationError(f"the token of {where} is not the text of a file")
    if mode & stat.S_IWOTH:
        raise ConfigurationError(f"the token of {where} may be written by every user: chmod o-w")
    return text.strip()


def _without_waiting(path: str, flags: int) -> int:
    """Open a file. Without O_NONBLOCK the opening of a named pipe waits for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()
