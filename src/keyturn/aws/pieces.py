"""botocore's list of endpoints, parsed in pieces, so that other threads need not wait for the whole of it.

`json.loads` keeps the interpreter's lock until it returns: for these 1.2 MB that is 18 ms, in which an event
loop stands still, whichever thread parses. The largest of the 1,200 pieces takes 0.3 ms. Together they take
1.4 ms more than the whole, which a process without other threads does not pay.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from json import JSONDecoder
from pathlib import Path
from typing import Final, Protocol, TypeAlias

ALONE: Final = 2
"""The thread that reads, and the one that waits for it: no other thread waits for the lock."""

DEPTH: Final = 4
"""Down to here each value is a piece: the list has partitions, and each of them has services."""

Parse: TypeAlias = Callable[[str, int], tuple[object, int]]
"""Parses the value that begins at a position of a text, and says where it ends."""

_WHOLE: Final[Parse] = JSONDecoder(object_pairs_hook=OrderedDict).raw_decode
# The blanks of JSON: in a pattern \s is any of Unicode's.
_BEGIN: Final = re.compile(r"[{\[][ \t\n\r]*")
_COLON: Final = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_NEXT: Final = re.compile(r"[ \t\n\r]*([,\]}])[ \t\n\r]*")


class FileLoader(Protocol):
    """Loads the files of a `botocore.loaders.Loader`."""

    def exists(self, file_path: str) -> bool: ...

    def load_file(self, file_path: str) -> object: ...


class InPieces:
    """Loads what `loader`, which is botocore's own, loads; the list of endpoints in pieces.

    A list that is not as expected is left to botocore. `threads` says how many threads there are.
    """

    def __init__(self, loader: FileLoader, threads: Callable[[], int] = threading.active_count) -> None:
        self._loader = loader
        self._threads = threads

    def exists(self, file_path: str) -> bool:
        """Return True if there is a file of this name, without its extension."""
        return self._loader.exists(file_path)

    def load_file(self, file_path: str) -> object:
        """Return what the file holds, or None if there is none."""
        file = Path(f"{file_path}.json")
        if file.name == "endpoints.json" and self._threads() > ALONE and file.is_file():
            found = in_pieces(file.read_text("utf-8"))
            if found is not None:
                return found
        return self._loader.load_file(file_path)


def in_pieces(text: str, parse: Parse = _WHOLE) -> object:
    """Return what `json.loads` returns, with ordered objects; None for a text that is no such document.

    `parse` parses one piece.
    """
    try:
        found, end = _value(text, 0, DEPTH, parse)
    except (ValueError, LookupError):
        return None
    return None if text[end:].strip(" \t\n\r") else found


def _value(text: str, at: int, depth: int, parse: Parse) -> tuple[object, int]:
    """Return the value that begins here, and where it ends. `depth`: how deep objects and lists are split."""
    if depth == 0 or text[at] not in "{[":
        return parse(text, at)
    end = "}" if text[at] == "{" else "]"
    names, values = list[str](), list[object]()
    at = _found(_BEGIN.match(text, at)).end()
    is_over = text[at] == end
    at += is_over
    while not is_over:
        if end == "}":
            name, at = parse(text, at)
            if not isinstance(name, str):
                raise ValueError
            names.append(name)
            at = _found(_COLON.match(text, at)).end()
        value, at = _value(text, at, depth - 1, parse)
        values.append(value)
        after = _found(_NEXT.match(text, at))
        at, is_over = after.end(), after[1] == end
        if not is_over and after[1] != ",":
            raise ValueError
    return (OrderedDict(zip(names, values, strict=True)) if end == "}" else values), at


def _found(match: re.Match[str] | None) -> re.Match[str]:
    """Return the match. Raises `ValueError` if there is none."""
    if match is None:
        raise ValueError
    return match
