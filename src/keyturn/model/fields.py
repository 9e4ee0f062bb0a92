"""What the text of a secret may be. It is judged here, once, before a part of it goes anywhere else.

Whoever may write a secret chooses every character of it. A driver, a URL, a header, a statement of SQL, a log
line and a terminal each have characters that end a text or start a command. Code that hands a part of a
secret on therefore asks this module first.

Nothing here raises an error. The functions return a `Flaw`, and the caller raises that from a frame whose
variables hold no value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias, TypeVar

from keyturn.errors import SecretFormatError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Value: TypeAlias = str | int | bool

_V = TypeVar("_V")

LENGTH_MAX: Final = 262_144
"""Characters of a JSON document. Secrets Manager holds at most 65,536 bytes."""

DEPTH_MAX: Final = 64
"""Lists and objects inside each other."""

NAME_LENGTH_MAX: Final = 1024
"""Characters of a field of a login that is not the password."""

PASSWORD_LENGTH_MAX: Final = 16_384

PORT_MAX: Final = 65_535

ADVICE_FIELDS: Final = "read it with json(), or store an object of texts, numbers and booleans"
ADVICE_LOGIN: Final = "store the fields of a login as AWS's database secrets have them"

# A text may have lines (a certificate has), a password may not. U+0080 to U+009F control a terminal as well.
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_PASSWORD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# A text without an end reaches to the end of the document, so that each character is looked at once.
_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_NUMBER: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?")
_KINDS: Final = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}


class Flaw(NamedTuple):
    """What is wrong with a secret's text. Neither of the two has a part of the value."""

    detail: str
    advice: str | None = None

    def error(self, secret_id: str, kind: type[SecretFormatError] = SecretFormatError) -> SecretFormatError:
        """Return the error to raise."""
        return kind(secret_id, self.detail, advice=self.advice)


class ConcealedValues(dict[str, _V]):
    """Values by their names. The repr, which a log or a debugger may show, has the names only."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


class _FlawError(ValueError):
    """Ends the parsing at a flaw. It does not leave this module."""

    def __init__(self, detail: str) -> None:
        self.flaw = Flaw(detail)


def parsed(text: str, *, as_written: bool = False) -> Json | Flaw:
    """Return the JSON document. With `as_written` its numbers are texts, to the last digit.

    Refused are a document that is too long or nested too deeply, a name that an object has twice, NaN and
    numbers that Python cannot hold, and half of a surrogate pair, which no encoding can write.
    """
    if len(text) > LENGTH_MAX:
        return Flaw(f"longer than {LENGTH_MAX} characters")
    if _is_deep(text):
        return Flaw(f"more than {DEPTH_MAX} lists and objects inside each other")
    number = str if as_written else None
    try:
        document: Json = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=number or _float,
            parse_int=number,
        )
    except _FlawError as error:
        return error.flaw
    except json.JSONDecodeError as error:
        return Flaw(f"not JSON at character {error.pos}")
    except ValueError:
        return Flaw("not JSON that can be used: a number has too many digits")
    except RecursionError:
        return Flaw("more lists and objects inside each other than the caller's stack has room for")
    if not all(map(is_encodable, _texts(document))):
        return Flaw("not JSON that can be used: it has half of a surrogate pair")
    return document


def texts(text: str) -> dict[str, str] | Flaw:
    """Return the fields of a JSON object as texts; a number or a boolean as JSON writes it.

    A text may have lines and tabs, and no other control character. The fields of a login are judged as
    `login` judges them.
    """
    document = parsed(text, as_written=True)
    if isinstance(document, Flaw):
        return document
    if not isinstance(document, dict):
        return Flaw("its JSON is no object", ADVICE_FIELDS)
    found: dict[str, str] = {}
    for position, (name, value) in enumerate(document.items(), start=1):
        # The names of the fields are part of the secret value, so the position has to do.
        where = f"the field {name}" if name in LOGIN else f"field {position} of its JSON object"
        if value is None or isinstance(value, list | dict):
            kind = "null" if value is None else _KINDS[type(value)]
            return Flaw(f"field {position} of its JSON object is {kind}", ADVICE_FIELDS)
        if not is_text(name):
            return Flaw(f"the name of field {position} has a control character", ADVICE_FIELDS)
        judged: object = value
        if name in _DRIVEN and value != "":
            judged = LOGIN[name](value)
        elif isinstance(value, str) and not is_text(value):
            judged = Flaw("has a control character")
        if isinstance(judged, Flaw):
            return Flaw(f"{where} {judged.detail}", ADVICE_FIELDS)
        found[name] = judged if isinstance(judged, str) else json.dumps(judged)
    return found


def login(document: Json, wanted: Collection[str]) -> Mapping[str, Value] | Flaw:
    """Return those of the fields `wanted` that the document has. Each is of the type that `LOGIN` gives it.

    A field that is empty or null counts as absent. Other fields are not looked at.
    """
    if not isinstance(document, dict):
        return Flaw("its JSON is not an object with the fields of a login", ADVICE_LOGIN)
    found: ConcealedValues[Value] = ConcealedValues()
    for name in wanted:
        value = document.get(name)
        if value is None or value == "":
            continue
        judged = LOGIN[name](value)
        if isinstance(judged, Flaw):
            return Flaw(f"the field {name} {judged.detail}", ADVICE_LOGIN)
        found[name] = judged
    return found


def flaw(value: Json | list[str], name: object = None) -> Flaw | None:
    """Return what is wrong with the first part of `value` that cannot be handed on; None if nothing is.

    Each text may have lines and tabs, and no other control character. A text or number whose name is that of
    a user, a password, a host, a port or a database is judged as the field of a login. `name` is the value's.
    """
    if isinstance(value, dict):
        of_names = (Flaw("has a control character in a name") for one in value if not is_text(one))
        of_values = (_flaw_of_field(inner, one) for inner, one in value.items())
        return next((one for one in (*of_names, *of_values) if one is not None), None)
    if isinstance(value, list):
        return next((one for one in map(flaw, value) if one is not None), None)
    if name in _DRIVEN and value not in (None, "") and isinstance(name, str):
        judged = LOGIN[name](value)
        return judged if isinstance(judged, Flaw) else None
    return Flaw("has a control character") if isinstance(value, str) and not is_text(value) else None


def _flaw_of_field(name: str, value: Json) -> Flaw | None:
    """Return the flaw of a field of an object. It names a field of a login; other names are secret."""
    found = flaw(value, name)
    is_named = found is not None and name in _DRIVEN and not isinstance(value, dict | list)
    return Flaw(f"the field {name} {found.detail}") if found is not None and is_named else found


def is_text(value: str) -> bool:
    """Return True if the text has no control character but those that separate lines and columns."""
    return _NO_TEXT.search(value) is None


def _name(value: Json) -> Value | Flaw:
    """Judge what a person may read: a user, a host, a database."""
    if not isinstance(value, str):
        return _no_text(value)
    if len(value) > NAME_LENGTH_MAX:
        return Flaw(f"is longer than {NAME_LENGTH_MAX} characters")
    # Python's word for it leaves out what turns the direction of writing, and all blanks but the space.
    return value if value.isprintable() else Flaw("has a control character, or another that no name has")


def _password(value: Json) -> Value | Flaw:
    if not isinstance(value, str):
        return _no_text(value)
    if len(value) > PASSWORD_LENGTH_MAX:
        return Flaw(f"is longer than {PASSWORD_LENGTH_MAX} characters")
    return Flaw("has a control character") if _NO_PASSWORD.search(value) else value


def _port(value: Json) -> Value | Flaw:
    """Judge a port, which some tools store as a text or as a number with a fraction of zero."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    is_port = not isinstance(value, bool) and isinstance(value, int | float) and 1 <= value <= PORT_MAX
    if not is_port or value != math.floor(value):  # type: ignore[arg-type] # a number by now
        return Flaw(f"is no whole number from 1 to {PORT_MAX}")
    return int(value)


def _switch(value: Json) -> Value | Flaw:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value if isinstance(value, bool) else Flaw("is neither true nor false")


LOGIN: Final[Mapping[str, Callable[[Json], Value | Flaw]]] = {
    "username": _name,
    "password": _password,
    "host": _name,
    "port": _port,
    "dbname": _name,
    "ssl": _switch,
    "engine": _name,
    "masterarn": _name,
}
"""The fields of AWS's database secrets, and what judges each."""

_DRIVEN: Final = frozenset({"username", "password", "host", "port", "dbname"})
"""The fields that a driver is given as they are."""


def _no_text(value: Json) -> Flaw:
    return Flaw(f"is {_KINDS[type(value)]} and no text")


def _is_deep(text: str) -> bool:
    """Return True if the brackets that are outside of texts open more than `DEPTH_MAX` levels."""
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return False
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
        if depth > DEPTH_MAX:
            return True
    return False


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Two readers of the document might each take another one.
        raise _FlawError("an object of its JSON has a name twice")
    return found


def _constant(_word: str) -> Json:
    raise _FlawError("not JSON: NaN and Infinity are no numbers of it")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _FlawError("not JSON that can be used: a number is too large")
    return number


def _texts(document: Json) -> Iterator[str]:
    """Yield all texts of the document, with the names of fields."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        yield from document
        for value in document.values():
            yield from _texts(value)
    elif isinstance(document, list):
        for value in document:
            yield from _texts(value)


def is_encodable(text: str) -> bool:
    """Return True if the text can be written: no half of a surrogate pair stands by itself."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
