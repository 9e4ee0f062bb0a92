"""What of a secret's value nobody may see, also where an error quotes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from keyturn.model.fields import LOGIN, Flaw, Json, parsed
from keyturn.model.versions import SecretVersion

PASSWORD: Final = "password"  # noqa: S105 # the name of a field

LENGTH_MIN: Final = 8
"""A shorter text of a field may be any word of an error, such as `prod`. A password is never that."""

_SAID: Final = LOGIN.keys() - {PASSWORD}
"""The fields that errors of drivers name, and that operators need: user, host, database."""


def values_of(version: SecretVersion) -> list[str | bytes]:
    """Return the texts of a version that nobody may see.

    Of JSON these are the texts and numbers in it: those of a password, and others of at least `LENGTH_MIN`
    characters. The user, the host and what else `LOGIN` has are left out. Of other texts it is the whole.
    """
    if version.binary is not None:
        return [version.binary]
    text = version.string or ""
    document = parsed(text, as_written=True)
    if isinstance(document, dict | list):
        return list(_texts(document, ""))
    if isinstance(document, Flaw) or not isinstance(document, str):
        return [text.strip()]
    return [text.strip(), document]


def _texts(document: Json, name: str) -> Iterator[str]:
    if isinstance(document, str):
        if name == PASSWORD or (name not in _SAID and len(document) >= LENGTH_MIN):
            yield document
    elif isinstance(document, list):
        for one in document:
            yield from _texts(one, name)
    elif isinstance(document, dict):
        for inner, one in document.items():
            yield from _texts(one, inner)
