"""Announcements of a rotation's steps, also for rotation functions that are not keyturn's.

An announcement only saves time: readers find a rotation without it, too. So an announcement that fails is
logged, the step counts as done, and the next steps do not wait for the same trouble: nothing is announced for
a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Final, Protocol, TypeVar

from keyturn.announcing import announce
from keyturn.errors import ConfigurationError
from keyturn.model.instant import Clock, Instant
from keyturn.model.plain import plain, ran
from keyturn.runtime.host import SYSTEM_CLOCK
from keyturn.runtime.logs import about, log

FIELDS: Final = ("Step", "SecretId", "ClientRequestToken")
"""The fields of the event by which Secrets Manager asks for a step."""

ANNOUNCED: Final = frozenset({"createSecret", "setSecret", "finishSecret"})
"""The steps after which readers have something to do. testSecret changes nothing."""

SILENCE_S: Final = 60.0
"""For so many seconds after an announcement that failed no other one is tried."""

_E = TypeVar("_E", bound=Mapping[str, object])
_C = TypeVar("_C")
_R = TypeVar("_R")


class Announce(Protocol):
    """Announces to the marker table that a step has ended, as `keyturn.announce` does."""

    def __call__(self, secret_id: str, *, version_id: str, step: str) -> object: ...


def announcing(handler: Callable[[_E, _C], _R], *, announce: Announce = announce) -> Callable[[_E, _C], _R]:
    """Return `handler` with announcements: a rotation function of AWS's templates, or one written by hand.

        lambda_handler = announcing(lambda_handler)

    After each step but testSecret the new handler announces the step and its token, once `handler` has
    returned. It returns what `handler` returned. An error of `handler` passes through, and nothing is
    announced. An announcement that fails is logged, and the step counts as done; the new handler announces
    nothing in the 60 s after it. `handler` alone gets an event that is not one of a rotation.

    Args:
        handler: called as `handler(event, context)`. It must have done the step when it returns.
        announce: `keyturn.announce` reads the table's name from the environment variable
            `KEYTURN_MARKER_TABLE`.

    Raises `ConfigurationError` if `handler` cannot be called, or if one of the two is async.
    """
    if not callable(handler):
        raise ConfigurationError(f"announcing() takes a handler, not {type(handler).__name__}")
    plain(handler, "handler")
    announcements = Announcements(announce)

    @wraps(handler)
    def announcing_handler(event: _E, context: _C) -> _R:
        # The handler may change the event.
        step, secret_id, token = parsed(event)
        returned = ran(handler(event, context), "handler")
        if secret_id is not None and token is not None and step in ANNOUNCED:
            announcements.tell(secret_id, token, step)
        return returned

    return announcing_handler


def parsed(event: object) -> tuple[str | None, str | None, str | None]:
    """Return the step, the secret's id and the token of an event, None for each that is no text."""
    found = [event.get(name) if isinstance(event, Mapping) else None for name in FIELDS]
    step, secret_id, token = (value if isinstance(value, str) else None for value in found)
    return step, secret_id, token


class Announcements:
    """The announcements of one rotation function. Threads may share it.

    Args:
        announce: tells the marker table of a step.
        clock: tells when the silence after a failure ends.
    """

    def __init__(self, announce: Announce, clock: Clock = SYSTEM_CLOCK) -> None:
        self._announce = plain(announce, "announce")
        self._clock = clock
        self._failed: Instant | None = None

    def tell(self, secret_id: str, token: str, step: str) -> None:
        """Announce a step that has ended, unless an announcement failed in the last `SILENCE_S` seconds.

        A failure is logged, and raises nothing.
        """
        if self._failed is not None and self._failed.age_s(Instant.now(self._clock)) < SILENCE_S:
            return
        try:
            ran(self._announce(secret_id, version_id=token, step=step), "announce")
        except Exception as error:  # noqa: BLE001 # the step is done: a marker only saves time
            self._failed = Instant.now(self._clock)
            log.warning(
                "%s of %s was not announced: %s; no step is announced in the next %g s",
                step,
                secret_id,
                error,
                SILENCE_S,
                extra=about("not_announced", secret=secret_id, error=error),
            )
