"""A guard for what is stored: the results of durable steps, outputs of a state machine, a job's arguments."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

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

_OF_URLS: Final = str.maketrans("-_", "+/")


class _Place(NamedTuple):
    """A text, and the way to it from what was given: `operations[0].result`."""

    way: str
    text: str


def assert_not_stored(stored: object, *secrets: SecretVersion, harmless: Collection[str] = HARMLESS) -> None:
    """Check that nothing of these secrets is in `stored`, such as the result of a durable function's test.

    It looks at all texts and bytes of data classes, mappings, lists and plain objects, at the JSON and the
    URLs in those texts, and at what is base64. A secret's whole value counts, and each text or number in its
    JSON.

    Args:
        stored: a test's `DurableFunctionTestResult`, an execution's history, or any values of your own.
        secrets: the versions that the code under test could read.
        harmless: names of fields that may be stored.

    Raises `AssertionError` with the place, the secret's name and its field, and never with a value.
    """
    __tracebackhide__ = True
    found = [
        f"{way or 'the text'} holds {field} of secret {secret.name!r}"
        for secret in secrets
        for way, field in _found(stored, secret, frozenset(harmless))
    ]
    # The frame of this function is a part of the traceback.
    del stored
    if found:
        raise AssertionError(
            f"{'; '.join(dict.fromkeys(found))}: a stored value outlives the next rotation, so do not "
            "return a secret from a step"
        )


class _Wanted(NamedTuple):
    """What must not be found, and what it is called. `is_part`: also as a part of a text."""

    field: str
    text: str
    is_part: bool = True


def _found(stored: object, secret: SecretVersion, harmless: frozenset[str]) -> Iterator[tuple[str, str]]:
    wanted = [
        one._replace(text=spelling, is_part=one.is_part and len(one.text) >= LENGTH_MIN)
        for one in _wanted(secret, harmless)
        for spelling in _spellings(one.text)
    ]
    for way, text in _texts(stored, ""):
        for field, needle, is_part in wanted:
            if needle == text or (is_part and needle in text):
                # A key on the way may be the secret itself.
                yield ("a place below it" if needle in way else way), field


def _spellings(text: str) -> set[str]:
    """Return a text as it is, and as it stands within a URL or a form."""
    # Bytes that were no UTF-8 are single surrogates of one kind; JSON may have others.
    is_of_bytes = all(one < "\ud800" or one > "\udfff" or "\udc80" <= one <= "\udcff" for one in text)
    errors = "surrogateescape" if is_of_bytes else "surrogatepass"
    return {text, *(make(text, safe="", errors=errors) for make in (quote, quote_plus))}


def _wanted(secret: SecretVersion, harmless: frozenset[str]) -> Iterator[_Wanted]:
    if secret.binary is not None:
        yield _Wanted("the value", b64encode(secret.binary).decode("ascii"))
        yield _Wanted("the value", secret.binary.decode("utf-8", "surrogateescape"))
        return
    yield _Wanted("the value", secret.text())
    try:
        value = secret.json()
    except SecretError:
        return
    if isinstance(value, dict | list):
        yield from _leaves(value, "", harmless)


def _leaves(value: object, way: str, harmless: frozenset[str]) -> Iterator[_Wanted]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if name not in harmless:
                yield from _leaves(one, f"{way}.{name}" if way else str(name), harmless)
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _leaves(one, f"{way}[{at}]", harmless)
    elif isinstance(value, str) and value:
        yield _Wanted(f"the field {way!r}", value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield _Wanted(f"the field {way!r}", str(value), is_part=False)


def _texts(value: object, way: str, above: tuple[int, ...] = ()) -> Iterator[_Place]:
    """Yield every text in a value, and what that text has as JSON or base64. `above` has what contains it."""
    if isinstance(value, SecretVersion):
        value = value.binary if value.string is None else value.string
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        yield _Place(way, value)
        yield from _within(value, way, above)
    elif isinstance(value, int | float):
        # Python makes no text of thousands of digits, and reads none from a secret.
        with suppress(ValueError):
            yield _Place(way, str(value))
    elif id(value) not in above:
        for name, one in _parts(value):
            yield from _texts(one, f"{way}{name}".removeprefix("."), (*above, id(value)))


def _within(text: str, way: str, above: tuple[int, ...]) -> Iterator[_Place]:
    if text.lstrip()[:1] in {"{", "[", '"'}:
        try:
            parsed: object = json.loads(text)
        except (ValueError, RecursionError):
            return
        yield from _texts(parsed, way, above)
        return
    # Lines, the alphabet of URLs, and no padding: all of them are usual.
    plain = "".join(text.split()).rstrip("=").translate(_OF_URLS)
    try:
        decoded = b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (Base64Error, ValueError):
        return
    if decoded:
        yield from _texts(decoded, way, above)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield the parts of a value, each with its name. What is no data has none."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield f"[{key!r}]", one
            yield ".keys()", key
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{at}]", one) for at, one in enumerate(value))
    elif isinstance(value, Enum):
        yield ".value", value.value
    elif isinstance(value, type) or callable(value):
        return
    elif is_dataclass(value):
        yield from ((f".{one.name}", getattr(value, one.name)) for one in fields(value))
    else:
        yield from ((f".{name}", one) for name, one in getattr(value, "__dict__", {}).items())
        if isinstance(value, BaseException):
            yield ".args", list(value.args)
