"""A guard for what is stored: the results of durable steps, outputs of a state machine, a job's arguments."""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import UserString
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from html import unescape
from itertools import chain
from types import MemberDescriptorType
from typing import Final, NamedTuple
from urllib.parse import unquote

from keyturn.errors import SecretError
from keyturn.model.versions import SecretVersion

HARMLESS: Final = frozenset(
    {
        *("username", "user", "host", "hostname", "port", "dbname", "database", "engine", "ssl", "region"),
        *("dbInstanceIdentifier", "dbClusterIdentifier", "masterarn"),
    }
)
"""Fields of a database's secret that may be stored: AWS's names for all but the password."""

LENGTH_MIN: Final = 4
"""A shorter text of a secret is found only where it stands alone: `1` is a part of many texts."""

BASE64_MIN: Final = 6
"""So many letters of base64 must be those of a secret: words have fewer of them by chance."""

READINGS_MAX: Final = 16
"""In so many ways a text is read at most."""

_OF_URLS: Final = str.maketrans("-_", "+/")

_ESCAPES: Final = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\x[0-9a-fA-F]{2}|\\.", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class _Place(NamedTuple):
    """A text, and the way to it from what was given: `operations[0].result`."""

    way: str
    text: str


def assert_not_stored(stored: object, *secrets: SecretVersion, harmless: Collection[str] = HARMLESS) -> None:
    """Check that nothing of these secrets is in `stored`, such as the result of a durable function's test.

    It looks at all texts and bytes of data classes, mappings, sequences, sets, exceptions with their causes,
    and plain objects. It reads each text also as JSON or lines of JSON, a URL, a form, HTML, a text within
    quotation marks and base64. A secret's whole value counts, and each text or number in its JSON.

    Args:
        stored: a test's `DurableFunctionTestResult`, an execution's history, or any values of your own.
        secrets: the versions that the code under test could read.
        harmless: names of fields that may be stored.

    Raises `AssertionError` with the place, the secret's name and its field, and never with a value.
    """
    __tracebackhide__ = True
    found = [f"{way or 'the text'} holds {field}" for way, field in _found(stored, secrets, harmless)]
    # The frame of this function is a part of the traceback.
    del stored
    if found:
        raise AssertionError(
            f"{'; '.join(dict.fromkeys(found))}: a stored value outlives the next rotation, so do not "
            "return a secret from a step"
        )


class _Wanted(NamedTuple):
    """What must not be found, and what it is called.

    A short text, or a number, counts only where it stands alone: `is_part` is False. `base64` has the text's
    letters within base64.
    """

    field: str
    text: str
    is_part: bool
    base64: frozenset[str]

    def is_in(self, text: str, bare: str) -> bool:
        """Return True if this is in a text, whose letters of base64 are `bare`."""
        if not self.is_part:
            return self.text == text
        return self.text in text or any(letters in bare for letters in self.base64)


def _found(
    stored: object, secrets: Sequence[SecretVersion], harmless: Collection[str]
) -> Iterator[tuple[str, str]]:
    every = (one for secret in secrets for one in _wanted(secret, frozenset(harmless)))
    wanted = [one for one in every if one.text]
    for way, text in _texts(stored):
        bare = _bare(text)
        for one in wanted:
            if one.is_in(text, bare):
                # A key on the way may be a secret itself.
                yield ("a place below it" if one.text in way or _shows(way, wanted) else way), one.field


def _shows(way: str, wanted: Sequence[_Wanted]) -> bool:
    return any(
        one.is_in(text, _bare(text)) or repr(one.text) in text for text in _readings(way)[0] for one in wanted
    )


def _bare(text: str) -> str:
    """Return a text as base64 without lines and padding, in the usual alphabet."""
    return "".join(text.split()).rstrip("=").translate(_OF_URLS)


def _wanted(secret: SecretVersion, harmless: frozenset[str]) -> Iterator[_Wanted]:
    of = f"of secret {secret.name!r}"
    if secret.binary is not None:
        yield _text_wanted(f"the value {of}", b64encode(secret.binary).decode("ascii"))
        yield _text_wanted(f"the value {of}", secret.binary.decode("utf-8", "surrogateescape"))
        return
    yield _text_wanted(f"the value {of}", secret.text())
    try:
        value = secret.json()
    except SecretError:
        return
    if isinstance(value, dict | list):
        for way, leaf in _leaves(value, "", harmless):
            field = f"the field {way!r} {of}"
            if isinstance(leaf, str):
                yield _text_wanted(field, leaf)
            else:
                yield _Wanted(field, str(leaf), is_part=False, base64=frozenset())


def _text_wanted(field: str, text: str) -> _Wanted:
    is_part = len(text) >= LENGTH_MIN
    return _Wanted(field, text, is_part, frozenset(_in_base64(text)) if is_part else frozenset())


def _in_base64(text: str) -> Iterator[str]:
    """Yield the letters that the text has in base64, wherever it begins there; also as a text of JSON."""
    # Bytes that were no UTF-8 are single surrogates of one kind; JSON may have others.
    is_of_bytes = all(one < "\ud800" or one > "\udfff" or "\udc80" <= one <= "\udcff" for one in text)
    errors = "surrogateescape" if is_of_bytes else "surrogatepass"
    for spelling in {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}:
        content = spelling.encode("utf-8", errors)
        for before in range(3):
            letters = b64encode(bytes(before) + content).decode("ascii")
            # The letters at both ends depend on what stands beside the text.
            whole = letters[-(-8 * before // 6) : 8 * (before + len(content)) // 6]
            if len(whole) >= BASE64_MIN:
                yield whole


def _leaves(value: object, way: str, harmless: frozenset[str]) -> Iterator[tuple[str, str | float]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if name not in harmless:
                yield from _leaves(one, f"{way}.{name}" if way else str(name), harmless)
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _leaves(one, f"{way}[{at}]", harmless)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield way, value


def _texts(stored: object) -> Iterator[_Place]:
    """Yield every text in a value, as it is and as it can be read, and the texts of the documents in it.

    An object at several places is looked at once, and so is a text that one place has in several ways.
    """
    seen: dict[int, object] = {}
    read: set[tuple[str, str]] = set()
    left: list[tuple[str, object]] = [("", stored)]
    while left:
        way, value = left.pop()
        text = _text(value)
        if text is None:
            parts = [] if id(value) in seen else list(_parts(value))
            # Kept, since the id of what is gone is given to another object.
            seen[id(value)] = value
            below = [(f"{way}{name}".removeprefix("."), one) for name, one in parts]
        elif (way, text) in read:
            continue
        else:
            documents = _json(text)
            readings, is_all = ([text], True) if documents else _readings(text)
            yield from (_Place(way, reading) for reading in readings)
            documents = documents or list(_documents(readings))
            # Another reading of all of them has no other readings than these.
            read.update((way, one) for one in (readings if is_all else [text]))
            below = [(way, one) for one in documents]
        left.extend(reversed(below))


def _text(value: object) -> str | None:
    """Return the text of a value that is one, or bytes, or a number; None for any other."""
    if isinstance(value, SecretVersion):
        value = value.binary if value.string is None else value.string
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, str | UserString):
        return str(value)
    if isinstance(value, int | float | Decimal):
        # Python makes no text of thousands of digits, and reads none from a secret.
        with suppress(ValueError):
            return str(value)
    return None


def _readings(text: str) -> tuple[list[str], bool]:
    """Return a text as it is, and as it reads in a URL, a form, HTML or between quotation marks.

    The second value says whether these are all readings.
    """
    readings, is_all = [text], True
    for reading in readings:
        for read in _READ_AS:
            another = read(reading)
            if another in readings:
                continue
            if len(readings) >= READINGS_MAX:
                is_all = False
            else:
                readings.append(another)
    return readings, is_all


def _of_html(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:
        # The number of a character has thousands of digits.
        return text


def _unescaped(text: str) -> str:
    """Return a text of JSON, JavaScript or Python without its escapes."""
    return _ESCAPES.sub(_character, text) if "\\" in text else text


def _character(escape: re.Match[str]) -> str:
    kind, digits = escape[0][1], escape[0][2:]
    if kind == "u" and digits:
        return bytes.fromhex(escape[0].replace("\\u", "")).decode("utf-16-be", "surrogatepass")
    return chr(int(digits, 16)) if kind == "x" and digits else _ESCAPED.get(kind, kind)


_READ_AS: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: unquote(text, errors="surrogateescape"),
    lambda text: text.replace("+", " "),
    _of_html,
    _unescaped,
)
"""The ways to read a text. Each returns the text as it is if nothing in it is written in that way."""


def _documents(readings: Sequence[str]) -> Iterator[object]:
    """Yield the values in readings of a text: of JSON, of the lines that are JSON, and of base64."""
    every = chain.from_iterable(reading.split("\n") for reading in readings)
    lines = (line for line in every if line.lstrip()[:1] in {"{", "["})
    for text in dict.fromkeys(chain(readings, lines)):
        yield from _json(text)
    for reading in readings:
        bare = _bare(reading)
        with suppress(Base64Error, ValueError):
            decoded = b64decode(bare + "=" * (-len(bare) % 4), validate=True)
            if decoded:
                yield decoded


def _json(text: str) -> list[object]:
    """Return the value that a text is as JSON; nothing if it is not."""
    text = text.lstrip("\ufeff \t\r\n")
    if text[:1] in {"{", "[", '"'}:
        with suppress(ValueError, RecursionError):
            return [_DECODER.decode(text)]
    return []


def _object(pairs: list[tuple[str, object]]) -> object:
    """Return an object of JSON; as a list if a name is there twice, of which a mapping keeps one."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else [{name: one} for name, one in pairs]


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield the parts of a value, each with its name. What is no data has none."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield f"[{key!r}]", one
            yield ".keys()", key
    elif isinstance(value, range | type):
        return
    elif isinstance(value, Sequence | AbstractSet | ValuesView):
        yield from ((f"[{at}]", one) for at, one in enumerate(value))
    elif isinstance(value, Enum):
        yield ".value", value.value
    elif not callable(value):
        yield from ((f".{name}", one) for name, one in _attributes(value).items())
        if isinstance(value, BaseException):
            yield ".args", list(value.args)
            yield ".__cause__", value.__cause__
            if not value.__suppress_context__:
                yield ".__context__", value.__context__


def _attributes(value: object) -> dict[str, object]:
    """Return the attributes of a data class, of an object's dictionary and of its slots."""
    of_class = fields(value) if is_dataclass(value) and not isinstance(value, type) else ()
    found: dict[str, object] = {one.name: getattr(value, one.name, None) for one in of_class}
    found.update(getattr(value, "__dict__", {}))
    for one in type(value).__mro__:
        slots = vars(one).items() if "__slots__" in vars(one) else ()
        for name, slot in slots:
            if isinstance(slot, MemberDescriptorType):
                with suppress(AttributeError):
                    found.setdefault(name, slot.__get__(value))
    return found
