"""Calls that leave no trace of what they carry: in no debug log, and in no frame of an error.

At level DEBUG botocore logs each request with its session token, and each answer with its body, which may be
a secret. hpack, by which HTTP clients speak HTTP/2, logs each header, which may be a key. An application that
sets the root logger to DEBUG would have them in its log. So these records are withheld while keyturn makes a
call or lets a client send a key. Those of the application's own calls pass, and so do those of other levels.
A warning passes without the error that it was to show, since that may quote a broken answer.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache, wraps
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from keyturn.runtime.frames import without_locals

_T = TypeVar("_T")
_P = ParamSpec("_P")

_OF_BOTOCORE: Final = (
    "auth",
    "awsrequest",
    "compress",
    "credentials",
    "discovery",
    "endpoint",
    "handlers",
    "hooks",
    "httpsession",
    "monitoring",
    "parsers",
    "retries.special",
    "retries.standard",
    "retryhandler",
    "tokens",
    "utils",
)

_OF_HEADERS: Final = ("urllib3.connection", "urllib3.connectionpool")
"""urllib3 warns of headers that it cannot parse, and quotes all that follows. The second is of version 1."""

LOGGERS: Final = (
    *(f"botocore.{name}" for name in _OF_BOTOCORE),
    "hpack.hpack",
    "hpack.table",
    *_OF_HEADERS,
)
"""The loggers that log a request, an answer, credentials, a header, or an error with such frames."""

_IS_UNSEEN: ContextVar[bool] = ContextVar("keyturn_unseen", default=False)


class Unseen:
    """`with Unseen(): answer = call()`: none of it is logged at DEBUG, and errors hold no locals."""

    def __enter__(self) -> None:
        _withhold()
        self._around = sys.exception()
        self._token = _IS_UNSEEN.set(True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _IS_UNSEEN.reset(self._token)
        if error is not None:
            without_locals(error, self._around)


def unseen(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Decorate a function that makes calls of its own, and whose frames hold values."""

    @wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with Unseen():
            return function(*args, **kwargs)

    return guarded


def _passes(record: logging.LogRecord) -> bool:
    """Return False for a record to withhold. Take from any other the error that it was to show."""
    if not _IS_UNSEEN.get():
        return True
    if record.name in _OF_HEADERS:
        # Its text quotes the error. Without one it tells of connections only.
        return not record.exc_info
    record.exc_info = record.exc_text = None
    return record.levelno > logging.DEBUG


@cache
def _withhold() -> None:
    """Give each of the loggers the filter, once: no later configuration of logging takes it away."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_passes)
