"""Errors as text: what a driver raised on a real server, written to JSON, and made anew from it.

An error is made of its driver's own class where the driver is installed. Elsewhere, and on demand, it is made
of a look-alike: a class with the same names and modules up to `Exception`.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import new_class
from typing import Final, TypeAlias

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

ATTRIBUTES: Final = (
    *("code", "errno", "http_status", "message", "msg_no", "number", "orig", "pgcode", "reply_code"),
    *("received_codes", "response", "result", "smtp_code", "smtp_error", "sqlstate", "status", "status_code"),
)
"""What is recorded of an error beside its class, arguments and text, where it has that."""

DEPTH: Final = 5
TEXT_CHARACTERS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Hidden:
    """Replaces what no record may hold, or what changes with each run: passwords, folders, ports, addresses."""

    words: Mapping[str, str]

    def __call__(self, text: str) -> str:
        for word, other in sorted(self.words.items(), key=lambda pair: -len(pair[0])):
            text = text.replace(word, other)
        text = re.sub(r"0x[0-9a-f]{6,}", "0x0", text)
        text = re.sub(r"/(?:tmp|root|home|work)/[^\s'\",)]*", "FOLDER", text)
        return text[:TEXT_CHARACTERS]


def described(error: BaseException, hidden: Hidden, depth: int = DEPTH) -> dict[str, Json]:
    """Return the error as JSON: the classes with their modules, arguments, text, attributes and causes."""
    told: dict[str, Json] = {
        "class": [f"{kind.__module__}:{kind.__qualname__}" for kind in _kinds(type(error))],
        "text": hidden(str(error)),
        "args": [_plain(argument, hidden, depth) for argument in error.args],
    }
    attributes = {name: _plain(_attribute(error, name), hidden, depth) for name in ATTRIBUTES}
    told |= {"attributes": {name: value for name, value in attributes.items() if value is not None}}
    if error.__cause__ is not None and depth:
        told["cause"] = described(error.__cause__, hidden, depth - 1)
    if isinstance(error, BaseExceptionGroup) and depth:
        told["exceptions"] = [described(member, hidden, depth - 1) for member in error.exceptions]
    return told


def rebuilt(told: Mapping[str, Json], *, look_alike: bool = False) -> Exception:
    """Return an error as recorded: of the driver's class if that is installed and no look-alike is wanted."""
    names = [str(name) for name in _list(told["class"])]
    text = str(told["text"])
    kind = (None if look_alike else _installed(names[0])) or _look_alike(names, text)
    if isinstance(members := told.get("exceptions"), list):
        inside = [rebuilt(_dict(member), look_alike=look_alike) for member in members]
        error: Exception = ExceptionGroup(text, inside)
    else:
        attributes = {name: _made(value, look_alike) for name, value in _dict(told["attributes"]).items()}
        arguments = tuple(_made(argument, look_alike) for argument in _list(told["args"]))
        error = _instance(kind, arguments, attributes, text)
    if isinstance(cause := told.get("cause"), dict):
        error.__cause__ = rebuilt(cause, look_alike=look_alike)
    return error


def _instance(
    kind: type[Exception], arguments: tuple[object, ...], attributes: Mapping[str, object], text: str
) -> Exception:
    """Return an error with these arguments, attributes and text, though the class's constructor is not run."""
    error = kind.__new__(kind)
    error.args = arguments
    for name, value in attributes.items():
        _set(error, name, value)
    members: dict[str, object] = {
        name: value for name, value in attributes.items() if repr(_attribute(error, name)) != repr(value)
    }
    if _text(error) != text:
        members["__str__"] = lambda _: text
    if members:
        # What the class keeps where nobody can put it, such as PyMongo's code, a class below it has.
        members["__module__"] = kind.__module__
        kind = new_class(kind.__name__, (kind,), exec_body=lambda namespace: namespace.update(members))
        error = kind.__new__(kind)
        error.args = arguments
        for name in attributes.keys() - members.keys():
            _set(error, name, attributes[name])
    return error


def _kinds(kind: type[BaseException]) -> list[type]:
    return [one for one in kind.__mro__ if one not in (Exception, BaseException, object)] or [kind]


def _attribute(error: BaseException, name: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value: object = getattr(error, name, None)
    except Exception:  # noqa: BLE001 # a property of the driver's
        return None
    return None if callable(value) else value


def _plain(value: object, hidden: Hidden, depth: int) -> Json:
    """Return a value as JSON. What JSON has no type for is an object with one key that names its type."""
    match value:
        case None | bool() | float():
            return value
        case int():
            return int(value)
        case str():
            return hidden(value)
        case bytes():
            return {"bytes": hidden(value.decode(errors="replace"))}
        case BaseException() if depth:
            return {"error": described(value, hidden, depth - 1)}
        case tuple() | list() if depth:
            return {"tuple": [_plain(one, hidden, depth - 1) for one in value]}
        case Mapping() if depth:
            return {"mapping": {str(key): _plain(one, hidden, depth - 1) for key, one in value.items()}}
    fields = {name: _attribute_of(value, name) for name in (*ATTRIBUTES, "full_code")}
    known = {name: _plain(one, hidden, 0) for name, one in fields.items() if isinstance(one, int | str)}
    return {"object": type(value).__name__, "fields": dict(known)}


def _attribute_of(value: object, name: str) -> object:
    try:
        return getattr(value, name, None)
    except Exception:  # noqa: BLE001 # a property of the driver's
        return None


def _made(value: Json, look_alike: bool) -> object:  # noqa: FBT001 # handed on
    match value:
        case {"bytes": str(text)}:
            return text.encode()
        case {"error": dict(error)}:
            return rebuilt(error, look_alike=look_alike)
        case {"tuple": list(members)}:
            return tuple(_made(member, look_alike) for member in members)
        case {"mapping": dict(pairs)}:
            return {key: _made(one, look_alike) for key, one in pairs.items()}
        case {"object": str(name), "fields": dict(fields)}:
            return type(name, (), fields)()
    return value


def _installed(name: str) -> type[Exception] | None:
    module, _, path = name.partition(":")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: object = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _look_alike(names: list[str], text: str) -> type[Exception]:
    """Return a class with these names and modules as its bases, whose text is `text`."""
    kind: type[Exception] = Exception
    for name in reversed(names):
        module, _, path = name.partition(":")
        own = _installed(name) if module == "builtins" else None
        if own is not None:
            kind = own
            continue
        members: dict[str, object] = {"__module__": module, "__str__": lambda _: text}
        kind = type(path.rpartition(".")[2], (kind,), members)
    return kind


def _set(error: Exception, name: str, value: object) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            setattr(error, name, value)
    except (AttributeError, TypeError):
        # A property that reads what has been set already, or a part of the class written in C.
        return


def _text(error: BaseException) -> str:
    try:
        return str(error)[:TEXT_CHARACTERS]
    except Exception:  # noqa: BLE001 # a class that wants its constructor to have run
        return ""


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
