"""Errors without values: what an error quotes of a secret is replaced before the error leaves keyturn.

A server or a driver may put what it was given into the text of an error. A Redis server that does not know
AUTH or HELLO answers with the words that follow the command, the password among them. Python's own errors do
it as well: `int(text)`, `text.encode("latin-1")`, a key that a mapping does not have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final
from urllib.parse import quote, quote_plus

from keyturn.runtime.frames import chain_of

CONCEALED: Final = "<concealed>"

HEAD: Final = 16
"""The number of characters by which the beginning of a longer value is recognized.

A server may cut off what it quotes. Redis repeats 128 characters.
"""

_DEPTH_MAX: Final = 6
"""Lists and dictionaries inside each other, in the arguments and attributes of an error."""


def without_values(
    error: BaseException, values: Iterable[str | bytes], around: BaseException | None = None
) -> None:
    """Replace these values in the texts of the error and of all that it came from.

    That is done in arguments, notes and attributes, also inside of lists, tuples and dictionaries. A value is
    found as it is, quoted for a URL, and with Python's or JSON's escapes. Of a value of more than `HEAD`
    characters the beginning suffices. Other objects that an error refers to are left as they are, and so is
    `around`, the error that was being handled when the call began.
    """
    forms = tuple(dict.fromkeys(form for value in values if value for form in _forms(value)))
    if not forms:
        return
    for one in chain_of(error, around):
        # A class may make a text of its own at each call, and take no other arguments.
        with suppress(AttributeError, TypeError):
            one.args = tuple(_without(argument, forms, _DEPTH_MAX) for argument in one.args)
        if isinstance(one, UnicodeError):
            _change(one, "object", forms)
        for name in tuple(vars(one)):
            _change(one, name, forms)


def _change(error: BaseException, name: str, forms: tuple[str, ...]) -> None:
    with suppress(AttributeError, TypeError):
        before: object = getattr(error, name)
        after = _without(before, forms, _DEPTH_MAX)
        if after is not before:
            setattr(error, name, after)


def _forms(value: str | bytes) -> Iterator[str]:
    """Yield how a value may stand in a text. Bytes are looked for as the text that latin-1 makes of them."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    utf8 = text.encode("utf-8", "surrogatepass")
    yield text
    # An error's argument may be bytes.
    yield utf8.decode("latin-1")
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield repr(utf8)[2:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield quote(utf8, safe="")
    yield quote_plus(utf8)


def _without(value: object, forms: tuple[str, ...], depth: int) -> object:
    """Return the value without the forms: the same object if it has none."""
    if isinstance(value, str):
        return _replaced(value, forms)
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        replaced = _replaced(text, forms)
        return value if replaced is text else replaced.encode("latin-1")
    if depth == 0:
        return value
    if type(value) is dict:
        inside = list(chain.from_iterable(value.items()))
        changed = [_without(one, forms, depth - 1) for one in inside]
        return value if _are_same(inside, changed) else dict(zip(changed[::2], changed[1::2], strict=True))
    if type(value) is list or type(value) is tuple:
        inside = list(value)
        changed = [_without(one, forms, depth - 1) for one in inside]
        if not _are_same(inside, changed):
            return changed if type(value) is list else tuple(changed)
    return value


def _are_same(before: Sequence[object], after: Sequence[object]) -> bool:
    return all(one is other for one, other in zip(before, after, strict=True))


def _replaced(text: str, forms: tuple[str, ...]) -> str:
    """Return the text without the forms. Where several fit, the first place counts, and there the longest."""
    places = {form: text.find(form[:HEAD]) for form in forms}
    kept, at = list[str](), 0
    while places := {form: place for form, place in places.items() if place >= 0}:
        first = min(places.values())
        length = max(_fitting(form, text, first) for form, place in places.items() if place == first)
        kept += (text[at:first], CONCEALED)
        at = first + length
        for form, place in places.items():
            if place < at:
                places[form] = text.find(form[:HEAD], at)
    return "".join((*kept, text[at:])) if kept else text


def _fitting(form: str, text: str, start: int) -> int:
    """Return how many characters of the form stand at this place. It takes time with that number only."""
    if text.startswith(form, start):
        return len(form)
    length, step = 0, HEAD
    while step:
        fits = length + step <= len(form) and text.startswith(form[length : length + step], start + length)
        length += step if fits else 0
        step = 2 * step if fits else step // 2
    return length
