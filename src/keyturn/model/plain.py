"""What a plain function of the caller's returned. An async one returns a coroutine, which is no answer yet.

A coroutine is true, whatever it would return: where nobody awaits it, it would count as yes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import TypeVar

from keyturn.errors import ConfigurationError

_T = TypeVar("_T")


def is_unrun(result: object) -> bool:
    """Return True for a coroutine, and close it, since nobody will run it."""
    if not isinstance(result, Coroutine):
        return False
    result.close()
    return True


def connected(connection: _T) -> _T:
    """Return what `connect` returned. Raises `ConfigurationError` for the coroutine of an async function."""
    if is_unrun(connection):
        raise ConfigurationError("connect is async: use AsyncSecretCache.login, or Login.awaiting")
    return connection


def decided(result: _T, name: str) -> _T:
    """Return what the argument `name` decided. Raises `ConfigurationError` for what is yet to be awaited."""
    if is_unrun(result) or isinstance(result, Awaitable):
        raise ConfigurationError(f"{name} is async, so it has decided nothing: give a plain function")
    return result
