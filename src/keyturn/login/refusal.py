"""One row of the table of refusals: what an error must be and say to mean "wrong credentials".

An error is judged by the modules of its class, by the code that it carries and by its text, so no driver is
imported. Whatever an error is made of, to judge it raises nothing and takes a bounded time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TEXT_LENGTH_MAX: Final = 10_000
"""How much of an error's text is looked at. What a server says of a login is shorter."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way in which a server says that the credentials are wrong.

    An error fits if everything holds that is given. Its class, or one of the bases of that, is defined in one
    of `packages`. One of `codes` stands at one of the paths `at`; a path is made of attributes, keys and
    indices, such as "args.0.code". The code None means that nothing stands at any of them. The message has
    `text`, a regular expression, and has not `unless`, another one. The message is the string at the first of
    the paths `says` that leads to one, and the error's own text where none does.
    """

    server: str
    at: tuple[str, ...] = ()
    codes: tuple[str | int | None, ...] = ()
    packages: frozenset[str] = frozenset()
    text: str | None = None
    unless: str | None = None
    says: tuple[str, ...] = ()

    def fits(self, error: BaseException) -> bool:
        """Return True if this very error is such a refusal. Its causes are left out."""
        if self.packages and self.packages.isdisjoint(_packages(error)):
            return False
        if self.codes and not self._has_code(error):
            return False
        if self.text is None and self.unless is None:
            return bool(self.codes)
        message = self._message(error)
        if self.unless is not None and re.search(self.unless, message):
            return False
        return bool(self.codes) if self.text is None else re.search(self.text, message) is not None

    def _has_code(self, error: BaseException) -> bool:
        found = [code for code in (value_at(error, path) for path in self.at) if code is not None]
        if not found:
            return None in self.codes
        # An object of any class could claim to equal a code, so only numbers and strings are compared.
        return any(isinstance(code, int | str) and code in self.codes for code in found)

    def _message(self, error: BaseException) -> str:
        said = (value_at(error, path) for path in self.says)
        message = next((one for one in said if isinstance(one, str)), None)
        return (_text(error) if message is None else message)[:TEXT_LENGTH_MAX]


def _packages(error: BaseException) -> set[str]:
    """Return the packages in which the error's class and its bases are defined."""
    return {str(kind.__module__).partition(".")[0] for kind in type(error).__mro__}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 # an error whose text cannot be had says nothing
        return ""


def value_at(value: object, path: str) -> object:
    """Return what stands at a path of attributes, keys and indices; None if it leads nowhere."""
    for part in path.split("."):
        try:
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, tuple) and part.isdigit():
                value = value[int(part)] if int(part) < len(value) else None
            else:
                value = getattr(value, part, None)
        except Exception:  # noqa: BLE001 # a property of the driver's that raises has no code
            return None
    return value
