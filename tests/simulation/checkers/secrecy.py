"""No secret value leaves: every value has the canary in it, and nothing else may."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from keyturn.model.versions import SecretVersion
from keyturn.testing.parts import parts_of
from tests.simulation.checkers.broken import BrokenPromiseError
from tests.simulation.reader import Served
from tests.simulation.rotator import CANARY


def no_canary(text: str, where: str) -> None:
    """Raise if a value is in there."""
    if CANARY in text:
        raise BrokenPromiseError("secrecy", f"a secret value is in {where}")


class Listening(logging.Handler):
    """Reads every log record in full."""

    def emit(self, record: logging.LogRecord) -> None:
        no_canary(f"{record.getMessage()} {record.args!r}", "a log record")
        if record.exc_info is not None:
            no_canary(logging.Formatter().formatException(record.exc_info), "a logged traceback")


@contextmanager
def listening_to_logs() -> Iterator[None]:
    """While it lasts, read the logs of both packages instead of printing them."""
    handler = Listening()
    loggers = [logging.getLogger(name) for name in ("keyturn", "rotation_listener")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def served(one: Served) -> None:
    """Look at all that can be printed of one answer."""
    outcome = one.outcome
    if isinstance(outcome, SecretVersion):
        no_canary(f"{outcome!r} {outcome}", "the repr of a version")
        no_canary(repr(one.reader.cache.status()), "the status")
        no_canary(repr(parts_of(one.reader.cache).caches[0].__dict__), "the repr of what the cache holds")
    else:
        error(outcome)


def error(outcome: BaseException) -> None:
    """Look at all that can be printed of one error, and of what it follows from."""
    for one in _chain(outcome):
        no_canary(f"{one} {one!r} {one.args!r} {vars(one)!r}", "an error or what it follows from")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that it follows from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
