"""Cold reads that failed a moment ago: the next callers hear of it without another request."""

from __future__ import annotations

from typing import NamedTuple

from keyturn.cache.holdings import HitKey, id_of
from keyturn.errors import SecretError, UnavailableError
from keyturn.model.bounded import make_room
from keyturn.model.instant import Instant

PAUSE_MAX_S = 10.0
"""The longest pause after a read that failed in passing."""


class RecentFailure(NamedTuple):
    """A cold read that failed, when, how often in a row, and how many seconds it is remembered."""

    error: SecretError
    at: Instant
    failures: int
    pause_s: float


class RecentFailures:
    """At most `size` of them; the oldest makes room. To be called under the cache's lock."""

    def __init__(self, size: int, first_pause_s: float) -> None:
        self._size = size
        self._first_pause_s = first_pause_s
        self._failures: dict[HitKey, RecentFailure] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def add(self, key: HitKey, error: SecretError, now: Instant) -> None:
        """Remember the error. The pause doubles with each failure that may pass, up to `PAUSE_MAX_S`.

        An error of its own is kept: the traceback of the one that was raised holds the frames of its callers.
        """
        before = self._failures.pop(key, None)
        failures = before.failures + 1 if before is not None else 1
        pause_s = self._first_pause_s
        if isinstance(error, UnavailableError):
            pause_s = min(max(PAUSE_MAX_S, pause_s), pause_s * 2.0 ** min(failures - 1, 16))
        self._failures[key] = RecentFailure(error.about(error.secret_id), now, failures, pause_s)
        make_room(self._failures, self._size)

    def find(self, key: HitKey, now: Instant, answered: Instant | None) -> SecretError | None:
        """Return the error that the next caller gets without a request, or None.

        `answered`: when the service last answered. An answer ends the pause after a failure to answer.
        """
        failure = self._failures.get(key)
        if failure is None or failure.at.age_s(now) >= failure.pause_s:
            return None
        has_answered = answered is not None and answered.monotonic_s > failure.at.monotonic_s
        return None if has_answered and isinstance(failure.error, UnavailableError) else failure.error

    def drop(self, *keys: HitKey) -> None:
        """Forget these failures."""
        for key in keys:
            self._failures.pop(key, None)

    def drop_all_of(self, secret_id: str) -> None:
        """Forget the failures of this id, under every stage."""
        self.drop(*(key for key in tuple(self._failures) if id_of(key) == secret_id))

    def clear(self) -> None:
        """Forget all."""
        self._failures.clear()
