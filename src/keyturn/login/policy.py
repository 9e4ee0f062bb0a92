"""What a login may try, for how long, and on which server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, NamedTuple, TypedDict, Unpack

from keyturn.cache.limits import require_duration
from keyturn.errors import SecretFormatError, SecretKindError
from keyturn.login.refusals import is_refused as known_refusal
from keyturn.model.instant import Instant
from keyturn.model.plain import decided, plain, ran
from keyturn.model.values import values_of
from keyturn.model.versions import SecretVersion
from keyturn.runtime.frames import without_locals
from keyturn.runtime.invocation import REMAINING_S
from keyturn.runtime.quotes import without_values

Accept = Callable[[SecretVersion, SecretVersion], bool]
"""Whether a candidate (second) may be tried in place of the current version (first)."""


def _field(version: SecretVersion, name: str) -> object:
    try:
        document = version.json()
    except (SecretFormatError, SecretKindError):
        return None
    return document.get(name) if isinstance(document, dict) else None


def same_host(current: SecretVersion, candidate: SecretVersion) -> bool:
    """Return True if both versions name the same host, or neither names a host."""
    return _field(current, "host") == _field(candidate, "host")


def same_host_and_user(current: SecretVersion, candidate: SecretVersion) -> bool:
    """Return True if both versions name the same host and the same `username`."""
    return same_host(current, candidate) and _field(current, "username") == _field(candidate, "username")


class LoginOptions(TypedDict, total=False):
    """What a login may try, for how long, and on which server.

    Args:
        is_refused: whether an error means "wrong credentials"; by default `keyturn.is_refused`, which
            knows the errors of common drivers.
        accept: whether a version (second) may be tried in place of the current version (first); by default
            `same_host`.
        previous: whether AWSPREVIOUS may be tried also where it is older than AWSCURRENT; by default not.
        budget_s: for how many seconds the login may wait in all: for a rotation that seems to be under way,
            and for another thread that tries the same version. By default 10. An attempt is never cut
            short, so give your own `connect` a time-out.
        remaining_s: returns how many seconds the caller itself has left; no wait goes past that. A Lambda
            handler under `SecretCache.checks_first` need not give it; in any other handler it is
            `lambda: context.get_remaining_time_in_millis() / 1000`.
        server: a name for the server, such as `db-1:5432`, where several servers take logins with this
            secret. What one server accepted or refused is not held against another one. By default the
            secret has one server. The integrations fill it in from the host and port that they are given.
    """

    is_refused: Callable[[Exception], bool]
    accept: Accept
    previous: bool
    budget_s: float
    remaining_s: Callable[[], float] | None
    server: str


class Policy(NamedTuple):
    """`LoginOptions` with their defaults, and which errors mean that the server refused the credentials."""

    is_refused: Callable[[Exception], bool] = known_refusal
    accept: Accept = same_host
    previous: bool = False
    budget_s: float = 10.0
    remaining_s: Callable[[], float] | None = None
    server: str = ""

    def accepts(self, current: SecretVersion, version: SecretVersion) -> bool:
        """Return True if this version may be tried in place of the current one."""
        around = sys.exception()
        try:
            return decided(self.accept(current, version), "accept")
        except BaseException as wrong:
            # The function of the caller's may quote what it compares.
            without_locals(wrong, around)
            without_values(wrong, (*values_of(current), *values_of(version)), around)
            raise

    def refuses(self, error: Exception) -> bool:
        """Return True if this error means that the server refused the credentials."""
        return decided(self.is_refused(error), "is_refused")


def policy_of(**options: Unpack[LoginOptions]) -> Policy:
    """Return the options with their defaults. Raises `ConfigurationError` for what cannot work."""
    policy = Policy(**options)
    require_duration("budget_s", policy.budget_s)
    if policy.remaining_s is not None:
        plain(policy.remaining_s, "remaining_s")
    return policy


LEAST_PAUSE_S: Final = 0.05
"""A shorter pause before another look would show the same."""


class TimeLeft:
    """How long one login may still wait: the rest of `budget_s`, and what its caller has left."""

    def __init__(self, policy: Policy, now: Callable[[], Instant]) -> None:
        self._policy = policy
        self._remaining_s = policy.remaining_s or REMAINING_S.get()
        self._now = now
        self._begun = now()
        self._paused_s = 0.0

    def seconds(self) -> float:
        """Return for how many seconds the login may wait from now on; 0 or less if not at all."""
        return min(self._policy.budget_s - self.waited_s(), self.callers_s())

    def callers_s(self) -> float:
        """Return how many seconds the caller itself has left."""
        return float("inf") if self._remaining_s is None else ran(self._remaining_s(), "remaining_s")

    def pause_s(self, wanted_s: float) -> float:
        """Return for how many seconds to pause before another look: 0 if there is no time for one.

        A pause that would go past `budget_s` ends with it, so the last look uses the whole of it. A pause has
        to end before the caller's own time, for the attempt after it.
        """
        left_s = self._policy.budget_s - self.waited_s()
        if left_s < LEAST_PAUSE_S:
            return 0.0
        pause_s = left_s if wanted_s > left_s - LEAST_PAUSE_S else wanted_s
        return pause_s if pause_s < self.callers_s() else 0.0

    def has_paused(self, seconds: float) -> None:
        """Count a pause that is over: the clock may be a fake one that stands still meanwhile."""
        self._paused_s += seconds

    def waited_s(self) -> float:
        """Return how many seconds have passed since the login began."""
        return max(self._paused_s, self._begun.age_s(self._now()))

    def __str__(self) -> str:
        callers_s = "not given" if self._remaining_s is None else f"{self.callers_s():.1f} s"
        return f"budget_s={self._policy.budget_s:g}, remaining_s: {callers_s}"
