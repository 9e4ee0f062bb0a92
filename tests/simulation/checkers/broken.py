"""A promise that was seen broken."""

from __future__ import annotations


class BrokenPromiseError(BaseException):
    """`checker` saw what must not be. No production code may catch it, so it is no `Exception`."""

    def __init__(self, checker: str, what: str) -> None:
        super().__init__(f"{checker}: {what}")
        self.checker = checker
        self.what = what


def require(holds: bool, checker: str, what: str) -> None:  # noqa: FBT001 - an assertion
    """Raise unless it holds."""
    if not holds:
        raise BrokenPromiseError(checker, what)
