"""Try a check with one version after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from keyturn.errors import KeyMismatchError
from keyturn.model.plain import decided
from keyturn.model.values import values_of
from keyturn.model.versions import SecretVersion
from keyturn.runtime.frames import without_locals
from keyturn.runtime.quotes import without_values

_T = TypeVar("_T")

Mismatch = type[Exception] | tuple[type[Exception], ...]
"""The errors by which a check says that a message was not made with this version."""


class Trial(Generic[_T]):
    """One message, and the versions that were tried with it: each once, whatever labels it has."""

    def __init__(self, check: Callable[[SecretVersion], _T], mismatch: Mismatch) -> None:
        self._check = check
        self._mismatch = mismatch
        self._tried: set[tuple[str, str]] = set()
        self._results: list[_T] = []
        self._error: Exception | None = None

    def finds(self, versions: Iterable[SecretVersion]) -> bool:
        """Return True if one of these fits. All other errors of the check than a mismatch are raised."""
        return any(self._fits(version) for version in versions)

    def outcome(self, secret_id: str) -> _T:
        """Return what the check returned for the version that fits.

        Raises, if none fits, the check's own error with the first version, else `KeyMismatchError`.
        """
        if self._results:
            return self._results[0]
        if self._error is not None:
            raise self._error
        raise KeyMismatchError(
            secret_id, f"{len(self._tried)} of its versions were tried, after another look"
        )

    def _fits(self, version: SecretVersion) -> bool:
        if version.identity in self._tried:
            return False
        self._tried.add(version.identity)
        around = sys.exception()
        try:
            result = self._check(version)
        except BaseException as error:
            # Below this block are the frames of a library that verifies, which hold the key.
            without_locals(error, around)
            without_values(error, values_of(version), around)
            if not (isinstance(error, Exception) and isinstance(error, self._mismatch)):
                raise
            self._error = self._error or error
            return False
        if decided(result, "check") is False:
            return False
        self._results.append(result)
        return True
