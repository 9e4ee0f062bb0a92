"""A value that shows itself to nobody who does not ask for it."""

from __future__ import annotations

from typing import Self


class Concealed:
    """The text or the bytes of a secret, as `SecretVersion` keeps them. None where a value is not known.

    `repr`, `str`, `format`, `dataclasses.asdict`, JSON encoders, serializers and the comparison that pytest
    prints show that there is a value, and not which. So do tools that look into an object field by field. A
    pickle holds it. Copies are the same object.
    """

    __slots__ = ("_content",)

    def __init__(self, content: str | bytes | None) -> None:
        self._content = content

    def reveal(self) -> str | bytes | None:
        """Return the value."""
        return self._content

    def __repr__(self) -> str:
        return "<concealed>"

    def __eq__(self, other: object) -> bool:
        return self._content == other.reveal() if isinstance(other, Concealed) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._content)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _copied: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[str | bytes | None]]:
        return type(self), (self._content,)


# Error trackers, differs and encoders look for the fields of an object under this name.
del Concealed.__slots__
