"""Tracebacks without values: frames lose their local variables before an error leaves keyturn.

A traceback refers to every frame that the error passed through, and a frame keeps its local variables: the
text of a secret, a driver's arguments, a signed request. Error trackers, Rich and debuggers show them. So the
frames stay in the traceback, with file and line, and what they held is dropped.
"""

from __future__ import annotations

import functools
import gc
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Final, ParamSpec, TypeVar

_T = TypeVar("_T")
_P = ParamSpec("_P")

_SUSPENDABLE: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def without_locals(error: BaseException, around: BaseException | None = None) -> None:
    """Drop the local variables of every frame that has ended, of this error and of all that it came from.

    Frames that still run keep theirs: those of the callers, and of other threads. `around` is the error that
    was being handled when the call began; it is the caller's own, and is left alone.
    """
    for one in chain_of(error, around):
        _clear(one.__traceback__)
        drop_attributes(one)


def chain_of(error: BaseException, around: BaseException | None = None) -> Iterator[BaseException]:
    """Yield the error and all that it came from, each once. `around` and what only that came from are not."""
    seen, chain = {id(around)}, [error]
    while chain:
        one = chain.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        chain += [link for link in (one.__cause__, one.__context__) if link is not None]
        if isinstance(one, BaseExceptionGroup):
            chain += one.exceptions


def errors_without_locals(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Decorate a function whose frames hold values: its errors are raised with the locals dropped.

    The arguments stay to be seen, so they must show no value by themselves.
    """

    @functools.wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        around = sys.exception()
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            without_locals(error, around)
            raise

    return guarded


def _clear(trace: TracebackType | None) -> None:
    while trace is not None:
        frame = trace.tb_frame
        if _has_ended(frame):
            # A frame that still runs raises.
            with suppress(RuntimeError):
                frame.clear()
        trace = trace.tb_next


def drop_attributes(error: BaseException) -> None:
    """Drop what drivers' errors keep beside their text.

    psycopg keeps the connection's parameters with the password, botocore the request with the session token.
    """
    module = type(error).__module__.partition(".")[0]
    if module == "psycopg":
        connection: object = getattr(error, "pgconn", None)
        if type(connection).__name__ == "FinishedPGconn":
            vars(connection).update(password=b"", info=[])
    elif module == "botocore" and "request" in vars(error):
        vars(error).update(request=None, response=None)


def _has_ended(frame: FrameType) -> bool:
    """Return False for a generator or coroutine that is suspended: to clear its frame would close it.

    Of a frame that is suspended or runs, the collector visits nothing; an ended one owns its code and locals.
    """
    if not frame.f_code.co_flags & _SUSPENDABLE:
        return True
    return any(owned is frame.f_code for owned in gc.get_referents(frame))
