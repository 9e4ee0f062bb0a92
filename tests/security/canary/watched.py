"""The canary and the token, what shows them, and the ways in which an error is shown."""

from __future__ import annotations

import base64
import io
import json
import logging
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import sentry_sdk
from rich.console import Console
from rich.traceback import Traceback
from sentry_sdk.envelope import Envelope
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.transport import Transport

# Put together, since an error tracker shows the lines of the source as well.
CANARY = "-".join(["c4n4ry", "Pa55w0rd"])  # noqa: FLY002
TOKEN = "-".join(["t0k3n", "0f", "th3", "s3ssi0n"])  # noqa: FLY002

BYTES = CANARY.encode() + b"\xff"

LIMIT = 1_000_000
"""Nothing that is shown is cut off before this."""


def assert_unseen(shown: str | bytes, witness: str) -> None:
    """Neither the canary nor the token is in what is shown; `witness` is, so something is shown at all."""
    text = shown.decode("latin-1") if isinstance(shown, bytes) else shown
    assert witness in text
    for watched in (CANARY, TOKEN):
        for form in _forms(watched):
            assert form not in text, _around(text, form)


def _forms(text: str) -> Iterator[str]:
    """Yield the text, and the middle of it in base64 wherever it begins in the bytes."""
    yield text
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + text.encode()).decode()
        yield encoded[4:-4]


def _around(text: str, form: str) -> str:
    at = text.index(form)
    return text[max(0, at - 400) : at + 100]


# The ways in which an error is shown


def as_traceback(error: BaseException) -> str:
    """Python's own traceback with all locals, as `traceback.TracebackException` prints them."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(shown.format())


def as_frames(error: BaseException) -> str:
    """All locals of all frames of the error's chain, down into lists and mappings."""
    return f"{type(error).__name__}\n" + "\n".join(
        f"{frame.f_code.co_qualname} {name} = {_deep(value)}"
        for frame in frames_of(error)
        for name, value in frame.f_locals.items()
    )


class _Uncoloured(Traceback):
    """Rich's traceback, but for the colours of the source lines: to find these took most of the time."""

    @classmethod
    def _guess_lexer(cls, filename: str, code: str) -> str:
        return "text"


def as_rich(error: BaseException) -> str:
    """Rich's traceback with `show_locals`."""
    console = Console(file=io.StringIO(), width=400, record=True)
    shown = _Uncoloured.from_exception(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=1000,
        locals_max_string=LIMIT,
        locals_hide_dunder=False,
        max_frames=1000,
    )
    console.print(shown)
    return console.export_text()


class _Kept(Transport):
    """A transport of Sentry's that sends nothing."""

    def __init__(self) -> None:
        super().__init__({})
        self.sent: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent.append(envelope)


def as_sentry(error: BaseException) -> str:
    """What Sentry's SDK sends: locals of all frames, without the scrubber that knows some names."""
    kept = _Kept()
    client = sentry_sdk.Client(
        dsn="https://key@sentry.invalid/1",
        transport=kept,
        include_local_variables=True,
        max_value_length=LIMIT,
        event_scrubber=EventScrubber(denylist=[], pii_denylist=[]),
        default_integrations=False,
        auto_enabling_integrations=False,
    )
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        scope.capture_exception(error)
    client.close()
    return "\n".join(json.dumps(item.payload.json) for envelope in kept.sent for item in envelope.items)


def as_attributes(error: BaseException) -> str:
    """The attributes of all errors of the chain, their texts, notes and arguments."""
    return "\n".join(
        f"{one!r} {one} {one.args!r} {getattr(one, '__notes__', ())} {_deep(vars(one))}"
        for one in chain_of(error)
    )


def as_pickle(error: BaseException) -> str:
    """The error as another process gets it, if it can be sent at all."""
    try:
        return pickle.dumps(error).decode("latin-1") + repr(error)
    except Exception as failure:  # noqa: BLE001 # drivers' errors need not be pickled
        return f"{failure!r} {error!r}"


SHOWN: Mapping[str, Callable[[BaseException], str]] = {
    "a traceback with locals": as_traceback,
    "the locals of frames": as_frames,
    "Rich's show_locals": as_rich,
    "Sentry's capture": as_sentry,
    "the errors' attributes": as_attributes,
    "a pickled error": as_pickle,
}


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that it came from."""
    seen: set[int] = set()
    chain = [error]
    while chain:
        one = chain.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            chain += [link for link in (one.__cause__, one.__context__) if link is not None]
            if isinstance(one, BaseExceptionGroup):
                chain += one.exceptions


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames of all tracebacks of the chain."""
    for one in chain_of(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            yield frame


def _deep(value: object, depth: int = 6) -> str:
    """Return the repr of a value, down into lists and mappings."""
    if depth == 0 or isinstance(value, str | bytes | int | float | None):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {_deep(one, depth - 1)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(_deep(one, depth - 1) for one in value) + "]"
    return repr(value)


# The logs


@contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """Yield what every logger logs while the root logger is at DEBUG, with arguments and tracebacks.

    keyturn's own logger follows the root meanwhile, whichever level a command has given it before.
    """
    seen = io.StringIO()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.write(f"{record.name} {record.getMessage()} {record.args!r} {vars(record)!r}\n")
            if record.exc_info and record.exc_info[1] is not None:
                seen.write(as_traceback(record.exc_info[1]))

    handler, root, own = Handler(), logging.getLogger(), logging.getLogger("keyturn")
    before, own_before = root.level, own.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    own.setLevel(logging.NOTSET)
    try:
        yield seen
    finally:
        own.setLevel(own_before)
        root.setLevel(before)
        root.removeHandler(handler)


def raised_by(call: Callable[[], object]) -> BaseException:
    """Return what the call raises, with a traceback that begins below this function."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 # whatever it is
        trace = error.__traceback__
        return error.with_traceback(trace.tb_next if trace is not None else None)
    raise AssertionError(f"{call} raised nothing", sys.exception())
