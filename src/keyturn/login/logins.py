"""Logging in with whichever version of a secret the server accepts.

Between setSecret and finishSecret a server takes only the new password, while AWSCURRENT is still the
old one. So a refusal is not the end: the candidates are tried in an order that avoids refusals, each at
most once per look, and only a refused credential moves on to the next one. `turns` says which thread may
try which version, and remembers for some seconds which versions were refused.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Generator, Iterator
from functools import partial
from types import TracebackType
from typing import Protocol

from keyturn.cache.freshness import Evidence
from keyturn.cache.limits import Limits
from keyturn.errors import LoginRefusedError, SecretError, StageNotFoundError
from keyturn.login.caller import CALLER, caller_is_gone
from keyturn.login.memory import REFUSED_S, Identity
from keyturn.login.policy import Policy, TimeLeft
from keyturn.login.refusals import is_about_another_login
from keyturn.login.turns import SLICE_S, Queued, Turn, Turns
from keyturn.metrics.hook import SILENT, Measures, Metric
from keyturn.model.instant import Clock, Instant
from keyturn.model.values import values_of
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion
from keyturn.runtime.frames import without_locals
from keyturn.runtime.logs import about, log
from keyturn.runtime.quotes import without_values

READ_LEAST_S = 1.0
"""A login waits so many seconds for a read of the secret even with a budget of 0, which is about pauses."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
"""Between two looks, while a rotation seems to be under way; doubled each time, with jitter."""


class Versions(Protocol):
    """What a login needs of the cache."""

    def get(self, secret_id: str, stage: str, within_s: float | None = None) -> SecretVersion:
        """Return the version under `stage` from the cache. Raises a `SecretError`.

        `within_s`: for how many seconds the caller waits at most; by default as any other caller.
        """
        ...

    def recheck(self, secret_id: str, within_s: float | None = None) -> SecretVersion:
        """Return AWSCURRENT after a forced check and a forced read; both are limited in rate."""
        ...

    def join(self, secret_id: str, stage: str, within_s: float | None = None) -> SecretVersion:
        """Return what `get` returns after the reads of this stage that other threads have under way."""
        ...

    def evidence(self, secret_id: str) -> Evidence:
        """Return what is known of a rotation that may be under way; no I/O."""
        ...


class Attempt:
    """One try to log in with one version: `with attempt as version: …`.

    A refusal inside the block is kept in `refusal` and not raised; every other error is raised as it is.
    When the block ends, the outcome is remembered and the next thread may try: a caller may leave the
    loop right there, and keep its iterator.

    Attributes:
        version: the version to log in with.
        current: the version that was AWSCURRENT at this look.
        refusal: the error by which the server refused the version, or None.
        has_succeeded: whether the block ended without an error.
    """

    def __init__(self, version: SecretVersion, current: SecretVersion, turn: Turn, login: _Login) -> None:
        self.version = version
        self.current = current
        self.refusal: Exception | None = None
        self.has_succeeded = False
        self._turn = turn
        self._login = login
        self._around: BaseException | None = None

    def __enter__(self) -> SecretVersion:
        self._login.turns.begin(self._turn)
        # What the caller handles meanwhile is the caller's own, and is left alone.
        self._around = sys.exception()
        return self.version

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            # Below this block are the frames of a driver, which hold the password.
            without_locals(error, self._around)
        try:
            self._judge(error)
        finally:
            self._turn.end()
        self._login.deliver()
        return self.refusal is not None

    def _judge(self, error: BaseException | None) -> None:
        """Remember what the attempt has shown. The error is judged by its own words."""
        try:
            if error is None:
                self.has_succeeded = True
                self._login.accepted(self._turn, self.version, self.current)
            elif isinstance(error, Exception) and self._login.is_refused(error):
                self.refusal = error
                self._login.refused(self._turn, self.version, error)
            else:
                self._login.turns.unanswered(self._turn)
        except BaseException as wrong:
            # A judge may quote what it was to judge.
            without_locals(wrong, self._around)
            without_values(wrong, values_of(self.version), self._around)
            raise
        finally:
            if error is not None:
                # A server may quote the password in what it says.
                without_values(error, values_of(self.version), self._around)


class Logins:
    """The logins of one process through one cache. Threads may share it.

    A version that this process never logged in with, or that was refused lately, is tried by one
    thread at a time. So a wrong password causes at most as many attempts as callers were in flight
    with a password that had been right, and beyond those two per server, version and `REFUSED_S`.
    """

    def __init__(
        self,
        versions: Versions,
        *,
        limits: Limits,
        clock: Clock,
        sleep: Callable[[float], None],
        random: Callable[[], float],
        metrics: Measures = SILENT,
    ) -> None:
        self.versions = versions
        self.random = random
        self.metrics = metrics
        self._clock = clock
        self._sleep = sleep
        # Not a method of this object, which would keep a cache alive that nobody holds any more.
        now = partial(Instant.now, clock)
        self.turns = Turns(secrets_max=limits.max_secrets, settle_s=limits.settle_s, now=now)

    def after_fork(self) -> None:
        """End all turns in a forked child: the threads that they belong to are the parent's."""
        self.turns.after_fork()

    def forget(self) -> None:
        """Drop the versions and refusals remembered."""
        self.turns.forget()

    def attempts(self, secret_id: str, policy: Policy) -> Iterator[Attempt]:
        """Yield attempts until one succeeds, holding no lock while the caller's code runs.

        Raises `LoginRefusedError` after the last attempt, or the `SecretError` of reading AWSCURRENT.
        """
        return _Login(self, secret_id, policy).attempts()

    def of_a_task(self, secret_id: str, policy: Policy) -> _Login:
        """Return a login of which a task of an event loop takes the steps that need no wait."""
        return _Login(self, secret_id, policy, is_for_a_task=True)

    def pause(self, seconds: float) -> None:
        """Sleep; in slices where the login works for a task, which may be cancelled meanwhile."""
        if CALLER.get() is None:
            self._sleep(seconds)
            return
        while seconds > 0 and not caller_is_gone():
            self._sleep(min(seconds, SLICE_S))
            seconds -= SLICE_S

    def complain(self, current: SecretVersion, stage: str, error: SecretError | None) -> None:
        """Log that a login could not read a candidate: once, until it can be read or fails otherwise."""
        kind = type(error).__name__ if error is not None else ""
        if self.turns.is_news(current.arn, stage, kind) and error is not None:
            extra = about("candidate_unreadable", secret=current.name, error=error)
            log.warning("a login could not read %s as a candidate: %s", stage, error, extra=extra)

    def now(self) -> Instant:
        """Return this moment."""
        return Instant.now(self._clock)


class _Login:
    """One login: what it tries, in which order, and how long it waits."""

    def __init__(
        self, logins: Logins, secret_id: str, policy: Policy, *, is_for_a_task: bool = False
    ) -> None:
        self.turns = logins.turns
        self._logins = logins
        self._versions = logins.versions
        self._secret_id = secret_id
        self._policy = policy
        self._tried = _Tried()
        self._is_for_a_task = is_for_a_task
        self.has_run_out = False
        """Whether the login failed because its time was over: with more of it, it would have looked again."""
        self.time = TimeLeft(policy, logins.now)

    def attempts(self) -> Generator[Attempt, None, None]:
        """Yield attempts, look after look, until one succeeds."""
        time, pauses = self.time, _pauses_s(self._logins.random)
        # Attempts run outside of the context in which the task's threads take the steps.
        self._is_for_a_task = self._is_for_a_task or CALLER.get() is not None
        while not caller_is_gone():
            current = self._versions.get(self._secret_id, AWSCURRENT, time.callers_s())
            for version in self._in_order(current):
                yield from self._try(version, current)
                if self._tried.has_succeeded or caller_is_gone():
                    return
            pause_s = time.pause_s(next(pauses))
            is_moving = self._is_moving(current) or self._may_have_crossed()
            if not (is_moving and pause_s):
                raise self._failed(current, is_moving=is_moving) from self._tried.refusal
            self._logins.pause(pause_s)
            time.has_paused(pause_s)

    def at_once(
        self, current: SecretVersion, pending: SecretVersion | None, *, is_nested: bool = False
    ) -> Attempt | Queued | None:
        """Return an attempt that needs no read and no wait, a place in the queue for it, or None.

        It is the attempt that `attempts` would yield first. `pending` is AWSPENDING as far as it is at hand.
        `is_nested`: whether it is made inside of another attempt with this secret.
        """
        is_set = self._versions.evidence(self._secret_id).pending_is_set
        if is_set and pending is None:
            return None
        first = [pending] if pending is not None and is_set and self._may_be_first(pending) else []
        for version in (*first, *self._at_hand(current)):
            if not self._policy.accepts(current, version):
                continue
            if version.identity in self._tried.refused:
                continue
            turn = self.turns.take_at_once(self._policy.server, version, is_nested=is_nested)
            if turn is not None:
                return Attempt(version, current, turn, self) if isinstance(turn, Turn) else turn
        return None

    def _may_be_first(self, pending: SecretVersion) -> bool:
        """Return True if a marker's word is enough to try this version first: it was never refused.

        A marker may be forged: it gets a version tried first once, and never after a refusal.
        """
        return self.turns.verdict(self._policy.server, pending.identity).refused is None

    def _at_hand(self, current: SecretVersion) -> Iterator[SecretVersion]:
        """Yield the versions that need no read, in the order of `_candidates`."""
        last = self.turns.last(self._policy.server, current.arn)
        if last is not None and last.current == current.identity:
            yield last.version
        yield current

    def _try(self, version: SecretVersion, current: SecretVersion) -> Iterator[Attempt]:
        """Yield an attempt with this version, if it is this thread's turn."""
        turn = self.turns.take(
            self._policy.server,
            version,
            refused_by_caller=version.identity in self._tried.refused,
            time=self.time,
        )
        if isinstance(turn, str):
            self._tried.add(version, turn)
            return
        # Only the caller keeps the attempt, and only the attempt keeps the turn: a dropped attempt ends it.
        offered, reference = [Attempt(version, current, turn, self)], weakref.ref(turn)
        del turn
        try:
            yield offered.pop()
        finally:
            left = reference()
            if left is not None:
                left.end()

    def _in_order(self, current: SecretVersion) -> Iterator[SecretVersion]:
        """Yield every version worth trying, once; those that were refused lately come last.

        The last of these are the ones that this very login was refused with. Each has one second try, which
        is lost where another version is the right one.
        """
        offered: set[Identity] = set()
        postponed: list[SecretVersion] = []
        for version in self._candidates(current):
            if version.identity in offered or not self._policy.accepts(current, version):
                continue
            offered.add(version.identity)
            if self.turns.is_refused(self._policy.server, version):
                postponed.append(version)
            else:
                yield version
        yield from sorted(postponed, key=lambda version: version.identity in self._tried.refused)

    def _candidates(self, current: SecretVersion) -> Iterator[SecretVersion]:
        """Yield versions in the order in which they are likely to be right; each is read when it is reached.

        A pending version comes first when its setSecret was announced, unless it was ever refused. Else the
        version last logged in with, while AWSCURRENT has not moved since: within the window that is the
        pending version, and after a cancelled rotation it has no label at all. AWSPREVIOUS is newer than
        AWSCURRENT where the label was moved back, and the server perhaps not yet; an older one is tried by
        choice only.
        """
        if self._versions.evidence(self._secret_id).pending_is_set:
            for pending in self._under(AWSPENDING, current):
                if self._may_be_first(pending):
                    yield pending
        last = self.turns.last(self._policy.server, current.arn)
        yield from self._at_hand(current)
        yield from self._read(
            AWSCURRENT, current, lambda: self._versions.recheck(self._secret_id, self._read_within_s())
        )
        doubted = self._versions.evidence(self._secret_id).doubted
        if doubted is not None:
            yield doubted
        yield from self._under(AWSPENDING, current)
        for previous in self._under(AWSPREVIOUS, current):
            if self._policy.previous or _is_newer(previous, current):
                yield previous
        if last is not None:
            yield last.version

    def _under(self, stage: str, current: SecretVersion) -> Iterator[SecretVersion]:
        """Yield the version under this stage, if it can be read."""
        return self._read(
            stage, current, lambda: self._versions.join(self._secret_id, stage, self._read_within_s())
        )

    def _read_within_s(self) -> float:
        """Return how many seconds one read may take: a moment even where the budget is spent."""
        return min(max(READ_LEAST_S, self.time.seconds()), self.time.callers_s())

    def _read(
        self, stage: str, current: SecretVersion, read: Callable[[], SecretVersion]
    ) -> Iterator[SecretVersion]:
        """Yield what `read` returns. An error is noted, unless it says that no version has the stage."""
        try:
            version = read()
        except SecretError as error:
            if isinstance(error, StageNotFoundError) and stage != AWSCURRENT:
                self._logins.complain(current, stage, None)
                return
            self._tried.unreadable[stage] = type(error).__name__
            self._logins.complain(current, stage, error)
            return
        self._tried.unreadable.pop(stage, None)
        self._logins.complain(current, stage, None)
        yield version

    # What attempts tell

    def is_refused(self, error: Exception) -> bool:
        """Return True if this error means that the server refused the credentials."""
        return not is_about_another_login(error) and self._policy.refuses(error)

    def accepted(self, turn: Turn, version: SecretVersion, current: SecretVersion) -> None:
        """Remember that the server took this version, while `current` was AWSCURRENT."""
        self._tried.has_succeeded = True
        self.turns.accepted(turn, version, current.identity)
        if version.identity != current.identity:
            self._logins.metrics.record(Metric.BRIDGES, 1, secret=version.name, stage=_label(version))

    def refused(self, turn: Turn, version: SecretVersion, error: Exception) -> None:
        """Remember that the server refused this version with `error`."""
        self.turns.refused(turn, version)
        kind = type(error).__name__
        self._tried.add(version, kind, error)
        self._logins.metrics.record(Metric.REFUSALS, 1, secret=version.name, error=kind)

    def deliver(self) -> None:
        """Tell the metrics hook what was recorded. On a loop that is left to whoever gives the attempts."""
        if not self._is_for_a_task or CALLER.get() is not None:
            self._logins.metrics.deliver()

    # Waiting

    def _is_moving(self, current: SecretVersion) -> bool:
        """Return True if a rotation may explain the refusals, so that waiting can help.

        If a version was right until lately and is refused now, somebody changed the password.
        """
        evidence = self._versions.evidence(self._secret_id)
        if evidence.moving or evidence.doubted is not None:
            return True
        last = self.turns.last(self._policy.server, current.arn)
        if last is None:
            return False
        return last.refused is None or last.refused.age_s(self._logins.now()) < REFUSED_S

    def _may_have_crossed(self) -> bool:
        """Return True if the server may have gone from one version to another between two attempts.

        Then the version that was refused first is right now: wait until each had its second try.
        """
        verdicts = [self.turns.verdict(self._policy.server, identity) for identity in self._tried.said]
        open_tries = [one for one in verdicts if one.refused is not None and not one.has_second_try_begun]
        return len(verdicts) > 1 and bool(open_tries)

    def _failed(self, current: SecretVersion, *, is_moving: bool) -> LoginRefusedError:
        """Return the error that says what was tried, and what was waited for."""
        self.has_run_out = is_moving
        self._logins.metrics.record(
            Metric.LOGINS_FAILED, 1, secret=current.name, error=LoginRefusedError.__name__
        )
        self.deliver()
        detail = str(self._tried)
        if is_moving:
            detail += (
                f"; a rotation seems to be under way, and after {self.time.waited_s():.1f} s "
                f"the login may wait no longer ({self.time})"
            )
        return LoginRefusedError(self._secret_id, detail)


class _Tried:
    """What one login tried and could not read: for the error's text, and its cause."""

    def __init__(self) -> None:
        self.has_succeeded = False
        self.refusal: Exception | None = None
        self.refused: set[Identity] = set()
        self.said: dict[Identity, str] = {}
        self.unreadable: dict[str, str] = {}

    def add(self, version: SecretVersion, said: str, refusal: Exception | None = None) -> None:
        """Note why this version did not lead to a login."""
        labels = ", ".join(sorted(version.stages)) or "no label"
        if refusal is not None or version.identity not in self.said:
            self.said[version.identity] = f"version {version.version_id} ({labels}): {said}"
        if refusal is not None:
            self.refused.add(version.identity)
            self.refusal = refusal

    def __str__(self) -> str:
        unreadable = (f"{stage} could not be read: {kind}" for stage, kind in self.unreadable.items())
        return "; ".join((*self.said.values(), *unreadable))


def _label(version: SecretVersion) -> str:
    """Return the label of AWS's own that the version was under when it was read; empty if under none."""
    return next((one for one in (AWSCURRENT, AWSPENDING, AWSPREVIOUS) if one in version.stages), "")


def _is_newer(version: SecretVersion, than: SecretVersion) -> bool:
    """Return True if the version was made later, by the dates that Secrets Manager gave (CreatedDate)."""
    made_s, other_s = version.created_s, than.created_s
    return made_s is not None and other_s is not None and made_s > other_s


def _pauses_s(random: Callable[[], float]) -> Iterator[float]:
    """Yield doubling pauses with jitter, up to `LONGEST_PAUSE_S`."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s * (0.5 + random() / 2)
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
