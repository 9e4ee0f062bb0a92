"""The log of `keyturn serve`: one line for each record, of one format, and never more than a stated size.

Records of keyturn come at the level that was asked for. Of other libraries only warnings and errors are
written, whatever their loggers are set to: at DEBUG botocore logs the answers of Secrets Manager and urllib3
the requests, so secret values, session tokens and signatures.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TextIO, TypeAlias

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"

LINES_MAX: Final = 20
"""The number of lines of one kind within a window. Further ones are counted."""

KINDS_MAX: Final = 64
"""The number of kinds of lines that are told apart within a window."""

WINDOW_S: Final = 10.0

LINE_LENGTH_MAX: Final = 1000
"""The number of characters of a line. A longer one is cut."""

_KEYTURN: Final = "keyturn"
Kind: TypeAlias = tuple[str, int, str]
"""Logger, level and template of a line."""

_OTHERS: Final[Kind] = (_KEYTURN, logging.WARNING, "")


@dataclass(slots=True)
class Said:
    """How often a kind of line was said in this window, and the first of these lines."""

    first: str
    count: int = 0


class Budget:
    """Says of each line whether it may still be written in this window, and counts those that may not."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._since_s = monotonic()
        self._said: dict[Kind, Said] = {}

    def admits(self, kind: Kind, line: str) -> bool:
        """Return True if one more line of this kind may be written."""
        if kind not in self._said and len(self._said) >= KINDS_MAX:
            kind = _OTHERS
        said = self._said.setdefault(kind, Said(line))
        said.count += 1
        return said.count <= LINES_MAX

    def left_out(self) -> Iterator[tuple[Kind, str]]:
        """Yield what a window that has ended left out, and begin another."""
        now_s = self._monotonic()
        if now_s - self._since_s < WINDOW_S:
            return
        ended, self._said, self._since_s = self._said, {}, now_s
        for kind, said in ended.items():
            if said.count > LINES_MAX:
                yield kind, _more(said)


class OneLine(logging.Formatter):
    """Writes each record as one printable line. Of an exception it has the type and the place.

    The words of an exception may quote anything, for example an answer with a secret value.
    """

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = self.formatMessage(self._prepared(record))
        if record.exc_info and record.exc_info[1] is not None:
            line = f"{line} [{place_of(record.exc_info[1])}]"
        return printable(line)[:LINE_LENGTH_MAX]

    def _prepared(self, record: logging.LogRecord) -> logging.LogRecord:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        return record


class Limited(logging.StreamHandler[TextIO]):
    """Writes what the budget admits, and what it left out as a count."""

    def __init__(self, stream: TextIO, monotonic: Callable[[], float]) -> None:
        super().__init__(stream)
        self._budget = Budget(monotonic)
        self.setFormatter(OneLine())

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless another library says it below WARNING or the budget is used up."""
        is_own = record.name == _KEYTURN or record.name.startswith(f"{_KEYTURN}.")
        if not is_own and record.levelno < logging.WARNING:
            return
        self.tell()
        try:
            kind, line = (record.name, record.levelno, str(record.msg)), record.getMessage()
        except Exception:  # noqa: BLE001 # its template and arguments do not fit, or cannot be made a text
            # Nothing is written of them, and whoever logs hears nothing of it.
            return
        if self._budget.admits(kind, line):
            super().emit(record)

    def tell(self) -> None:
        """Write how many lines were left out, if a window has ended."""
        self.acquire()
        try:
            for (logger, level, _), words in self._budget.left_out():
                super().emit(logging.LogRecord(logger, level, "", 0, words, None, None))
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 # logging's own name
        """Write nothing: the standard handler would print the record's arguments."""


def set_up(level: str, stream: TextIO, monotonic: Callable[[], float]) -> Limited:
    """Write the log of this process to `stream`: that of keyturn at this level (`debug` and so on).

    Returns the handler. It takes the place of all others of the root logger.
    """
    handler = Limited(stream, monotonic)
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.handlers = [handler]
    logging.getLogger(_KEYTURN).setLevel(level.upper())
    return handler


def printable(text: str) -> str:
    """Return the text with an escape for each character that could end a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _more(said: Said) -> str:
    return f"{said.count - LINES_MAX} more lines such as: {said.first}"


def place_of(error: BaseException) -> str:
    """Return the type of an error and the functions and lines it went through, without its words."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} in {where}"
